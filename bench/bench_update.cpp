// Time of one MFPO update against the time OpenBLAS takes for the matrix products of that update alone.
//
//   bench_update [--threads N] [--json FILE]
//
// Each measurement runs in a process of its own (this program again, with --worker), in turns: update, OpenBLAS as it
// comes, update, OpenBLAS told to use its AVX-512 kernels (it does not know every processor that has them). The faster
// of the two counts. The ratio is update / products: 1 means that everything but the products was free.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "algos/mfpo.h"
#include "bench/products_of_update.h"
#include "kernels/isa.h"
#include "kernels/philox.h"
#include "kernels/threads.h"

#ifdef MEANDER_OPENBLAS
#include <cblas.h>
#endif

using namespace meander;

namespace {

struct Task {
  const char* name;
  int observations, actions;
  bool clipped_double_q;
  double gflop;  // of the unreduced update; asserted
};
const Task tasks[] = {{"HalfCheetah", 17, 6, false, 15.99}, {"Humanoid", 376, 17, true, 24.88}};

std::vector<float> normals(int64_t n, uint64_t seed) {
  std::vector<float> x(static_cast<size_t>(n));
  kernels::philox_normal({.seed = seed}, n, x.data());
  return x;
}

// Microseconds of each of `repeats` calls, after `warm` unmeasured ones.
template <class F>
std::vector<double> measure(int warm, int repeats, F&& f) {
  std::vector<double> times;
  for (int i = -warm; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    f();
    const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - start;
    if (i >= 0) times.push_back(time.count());
  }
  return times;
}

// ---- the workers: print a note, then one time a line ----------------------------------------------------------------
struct Learner {
  MfpoSettings settings;
  std::unique_ptr<Mfpo> agent;
  explicit Learner(const Task& task) {
    settings.clipped_double_q = task.clipped_double_q;
    agent = std::make_unique<Mfpo>(task.observations, task.actions, settings, 1);
  }
};

std::vector<double> time_update(const Task& task, int repeats) {
  Learner learner(task);
  const int64_t b = learner.settings.batch_size, s = task.observations, a = task.actions;
  std::vector<float> state = normals(b * s, 1), action = normals(b * a, 2), reward = normals(b, 3),
                     next = normals(b * s, 4);
  std::vector<float> mask(static_cast<size_t>(b), 1.0f);
  for (float& v : action) v = std::clamp(v, -1.0f, 1.0f);
  const Batch batch{view(state.data(), b, s), view(action.data(), b, a), view(reward.data(), b, 1),
                    view(mask.data(), b, 1), view(next.data(), b, s)};
  std::vector<float> metrics(learner.agent->metric_names().size());
  uint64_t step = 0;
  return measure(2, repeats, [&] { static_cast<Agent&>(*learner.agent).update(batch, ++step, metrics); });
}

std::vector<double> time_explore(const Task& task, int repeats) {
  Learner learner(task);
  const std::vector<float> state = normals(task.observations, 1);
  std::vector<float> action(static_cast<size_t>(task.actions));
  uint64_t step = 0;
  constexpr int calls = 100;
  std::vector<double> times = measure(3, repeats, [&] {
    for (int i = 0; i < calls; ++i) learner.agent->explore(state, ++step, action);
  });
  for (double& t : times) t /= calls;
  return times;
}

std::vector<double> time_products([[maybe_unused]] const Task& task, [[maybe_unused]] int repeats) {
#ifdef MEANDER_OPENBLAS
  std::printf("note %s\n", openblas_get_corename());
  const ProductsOfUpdate products(task.observations, task.actions);
  int64_t most = 0;
  for (const Product& p : products.list()) most = std::max({most, p.m * p.n, p.m * p.k, p.n * p.k});
  const std::vector<float> a = normals(most, 1), b = normals(most, 2);
  std::vector<float> c(static_cast<size_t>(most));
  return measure(2, repeats, [&] {
    for (const Product& p : products.list()) {
      const bool ta = p.kind == Product::weight_gradient, tb = p.kind == Product::input_gradient;
      const int m = static_cast<int>(p.m), n = static_cast<int>(p.n), k = static_cast<int>(p.k);
      for (int64_t i = 0; i < p.count; ++i)
        cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, m, n, k, 1.0f,
                    a.data(), ta ? m : k, b.data(), tb ? k : n, 0.0f, c.data(), n);
    }
  });
#else
  return {};
#endif
}

int work(const std::string& what, const Task& task, int threads, int repeats) {
  kernels::set_threads(threads);
  if (what != "products") std::printf("note %s\n", kernels::isa_name(kernels::isa()));
  const auto times = what == "update"    ? time_update(task, repeats)
                     : what == "explore" ? time_explore(task, repeats)
                                         : time_products(task, repeats);
  for (double t : times) std::printf("%.3f\n", t);
  return 0;
}

// ---- the parent -----------------------------------------------------------------------------------------------------
struct Sample {
  std::string note;
  std::vector<double> times;

  double quantile(double q) const {
    if (times.empty()) return 0;
    std::vector<double> sorted = times;
    std::sort(sorted.begin(), sorted.end());
    return sorted[static_cast<size_t>(q * static_cast<double>(sorted.size() - 1) + 0.5)];
  }
  double median() const { return quantile(0.5); }
};

// Runs this program as a worker and adds what it prints to `sample`.
void run(const std::string& environment, const char* what, const Task& task, int threads, int repeats, Sample& sample) {
  char self[4096];
  const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  if (length < 0) throw std::runtime_error("cannot find this program through /proc/self/exe");
  self[length] = 0;
  setenv("MEANDER_BENCH_SELF", self, 1);
  const std::string command = environment + " \"$MEANDER_BENCH_SELF\" --worker " + what + " " + task.name + " " +
                              std::to_string(threads) + " " + std::to_string(repeats);
  FILE* const pipe = popen(command.c_str(), "r");
  if (!pipe) throw std::runtime_error("cannot start a worker");
  char line[256], note[200];
  double time;
  while (std::fgets(line, sizeof line, pipe)) {
    if (std::sscanf(line, "note %199s", note) == 1) sample.note = note;
    else if (std::sscanf(line, "%lf", &time) == 1) sample.times.push_back(time);
  }
  if (pclose(pipe) != 0) throw std::runtime_error("a worker failed: " + command);
}

struct Row {
  std::string name;
  int threads;
  Sample sample;
  double ratio;  // of an update to the faster products; 0: none
};

void print(const Row& row) {
  std::printf("%-46s %d thread%s  median %9.1f us  min %9.1f  max %9.1f", row.name.c_str(), row.threads,
              row.threads == 1 ? " " : "s", row.sample.median(), row.sample.quantile(0), row.sample.quantile(1));
  std::printf("  (%s)", row.sample.note.c_str());
  if (row.ratio > 0) std::printf("  ratio %.3f", row.ratio);
  std::printf("\n");
  std::fflush(stdout);
}

void write_json(const std::string& path, const std::vector<Row>& rows) {
  FILE* const file = std::fopen(path.c_str(), "w");
  if (!file) throw std::runtime_error("cannot write " + path + ": " + std::strerror(errno));
  std::fprintf(file, "{\"rows\": [");
  for (size_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    std::fprintf(file,
                 "%s\n  {\"name\": \"%s\", \"threads\": %d, \"median_us\": %.3f, \"min_us\": %.3f, \"max_us\": %.3f, "
                 "\"ratio\": ",
                 i ? "," : "", row.name.c_str(), row.threads, row.sample.median(), row.sample.quantile(0),
                 row.sample.quantile(1));
    if (row.ratio > 0) std::fprintf(file, "%.4f}", row.ratio);
    else std::fprintf(file, "null}");
  }
  std::fprintf(file, "\n]}\n");
  if (std::fclose(file) != 0) throw std::runtime_error("cannot write " + path + ": " + std::strerror(errno));
}

void compare(const Task& task, int threads, std::vector<Row>& rows) {
  const double gflop = ProductsOfUpdate(task.observations, task.actions).gflop();
  if (std::abs(gflop - task.gflop) > 0.005) throw std::logic_error("the list of products does not add up");
  Sample update, as_it_comes, told;
  const std::string blas_threads = "OPENBLAS_NUM_THREADS=" + std::to_string(threads);
  for (int turn = 0; turn < 3; ++turn) {
    run("", "update", task, threads, 4, update);
#ifdef MEANDER_OPENBLAS
    run(blas_threads, "products", task, threads, 4, as_it_comes);
#endif
    run("", "update", task, threads, 4, update);
#ifdef MEANDER_OPENBLAS
    run(blas_threads + " OPENBLAS_CORETYPE=SKYLAKEX", "products", task, threads, 4, told);
#endif
  }
  const bool told_wins = told.median() < as_it_comes.median();
  const Sample& best = told_wins ? told : as_it_comes;
  const std::string name = task.name;
  rows.push_back({name + " update", threads, update, best.times.empty() ? 0 : update.median() / best.median()});
  print(rows.back());
#ifdef MEANDER_OPENBLAS
  for (const Sample* sample : {&as_it_comes, &told}) {
    const bool by_itself = sample == &as_it_comes;
    rows.push_back(
        {name + " products, OpenBLAS " + (by_itself ? "as it comes" : "told SKYLAKEX"), threads, *sample, 0});
    print(rows.back());
  }
  std::printf("  %.2f GFLOP: products at %.0f GFLOP/s, update at %.0f\n", gflop, gflop / best.median() * 1e6,
              gflop / update.median() * 1e6);
#endif
}

int bench(int only_threads, const std::string& json) {
  std::vector<int> counts = {1};
  if (only_threads > 0) counts = {only_threads};
  else if (std::thread::hardware_concurrency() > 1)
    counts.push_back(static_cast<int>(std::thread::hardware_concurrency()));
#ifndef MEANDER_OPENBLAS
  std::printf("built without OpenBLAS (libopenblas-dev): no comparison\n");
#endif
  std::vector<Row> rows;
  for (const Task& task : tasks)
    for (int threads : counts) compare(task, threads, rows);
  for (const Task& task : tasks) {
    Sample explore;
    run("", "explore", task, 1, 30, explore);
    rows.push_back({std::string(task.name) + " exploration action", 1, explore, 0});
    print(rows.back());
  }
  if (!json.empty()) write_json(json, rows);
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc == 6 && std::string(argv[1]) == "--worker") {
    for (const Task& task : tasks)
      if (std::string(argv[3]) == task.name) return work(argv[2], task, std::atoi(argv[4]), std::atoi(argv[5]));
    return 2;
  }
  int threads = 0;
  std::string json;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--threads" && i + 1 < argc && std::atoi(argv[i + 1]) > 0) threads = std::atoi(argv[++i]);
    else if (option == "--json" && i + 1 < argc) json = argv[++i];
    else {
      std::fprintf(stderr, "usage: bench_update [--threads N] [--json FILE]\n");
      return 2;
    }
  }
  return bench(threads, json);
} catch (const std::exception& error) {
  std::fprintf(stderr, "bench_update: %s\n", error.what());
  return 1;
}
