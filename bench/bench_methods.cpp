// The methods beside each other: MVP, QC, FQL, BFN and the flow map, SOM's one step and twenty, SAC. What a claim
// compares is timed in turns.
//
//   bench_methods [--threads N,...] [--rounds N] [--json FILE]      1 and all threads, 3 rounds, no file if not said
#include <sys/utsname.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include <meander/app/version.h>
#include "bench/machine.h"
#include "bench/methods.h"
#include <meander/kernels/error.h>
#include <meander/kernels/isa.h>
#include <meander/kernels/threads.h>

using namespace meander;
using namespace meander::bench;
using nlohmann::json;

namespace {

struct Options {
  std::vector<int> threads = {1};
  int rounds = 3;
  std::string json;
};

int positive(const std::string& option, const std::string& text) {
  int number = 0;
  const char* const end = text.data() + text.size();
  if (std::from_chars(text.data(), end, number).ptr != end || number < 1)
    throw Error(message(option, " wants a number from 1, got '", text, "'"));
  return number;
}

Options read_options(int argc, char** argv) {
  Options options;
  if (const int all = static_cast<int>(std::thread::hardware_concurrency()); all > 1) options.threads.push_back(all);
  for (int i = 1; i < argc; i += 2) {
    const std::string option = argv[i], value = i + 1 < argc ? argv[i + 1] : "";
    if (option == "--threads") {
      options.threads.clear();
      std::istringstream list(value + ",");
      for (std::string number; std::getline(list, number, ',');) options.threads.push_back(positive(option, number));
    } else if (option == "--rounds") {
      options.rounds = positive(option, value);
    } else if (option == "--json" && !value.empty()) {
      options.json = value;
    } else {
      throw Error(message("usage: ", argv[0], " [--threads N,...] [--rounds N] [--json FILE]"));
    }
  }
  return options;
}

// ---- the measurement ------------------------------------------------------------------------------------------------
struct Row {
  std::string name;
  int threads;
  std::vector<double> times;  // microseconds of a call
  double median() const { return quantile(times, 0.5); }
};

// A group's cases in turns, A B C C B A.
std::vector<Row> measure(const std::vector<MethodCase>& group, int threads, int rounds) {
  std::vector<Row> rows;
  std::vector<Case> cases;
  for (const MethodCase& one : group) {
    std::cerr << "bench methods: " << one.name << std::endl;
    rows.push_back({one.name, threads, {}});
    cases.push_back(one.make());
    time_samples(cases.back().run, 2, 0);
  }
  for (int visit = 0; visit < 2 * rounds; ++visit)
    for (size_t i = 0; i < cases.size(); ++i) {
      const size_t turn = visit % 2 ? cases.size() - 1 - i : i;
      const auto times = time_samples(cases[turn].run, 3, 0.02);
      rows[turn].times.insert(rows[turn].times.end(), times.begin(), times.end());
    }
  return rows;
}

const Row& row_of(const std::vector<Row>& rows, const std::string& name, int threads) {
  return *std::ranges::find_if(rows, [&](const Row& r) { return r.name == name && r.threads == threads; });
}

double ratio(const Claim& claim, const std::vector<Row>& rows, int threads) {
  return row_of(rows, claim.slow, threads).median() / row_of(rows, claim.fast, threads).median();
}

// ---- the report -----------------------------------------------------------------------------------------------------
std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

std::string date() {
  const std::time_t now = std::time(nullptr);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S+00:00", std::gmtime(&now));
  return text;
}

std::string digits(double value) {
  char text[32];
  std::snprintf(text, sizeof text, value < 10 ? "%.2f" : value < 100 ? "%.1f" : "%.0f", value);
  return text;
}

// The median, and in brackets the fastest and the slowest.
std::string time_of(const Row& row) {
  const double unit = row.median() < 1e4 ? 1 : 1e3;
  const auto at = [&](double q) { return digits(quantile(row.times, q) / unit); };
  return at(0.5) + (unit == 1 ? " us [" : " ms [") + at(0) + "-" + at(1) + "]";
}

void print(const std::vector<Row>& rows, const std::vector<int>& threads) {
  const auto line = [&](const std::string& first, auto&& cell) {
    std::cout << "| " << first << " |";
    for (const int n : threads) std::cout << " " << cell(n) << " |";
    std::cout << "\n";
  };
  const auto head = [](int n) { return "threads: " + std::to_string(n); };
  const auto rule = [](int) { return "---"; };
  line("case", head), line("---", rule);
  for (const std::vector<MethodCase>& group : method_cases())
    for (const MethodCase& one : group)
      line("`" + one.name + "`", [&](int n) { return time_of(row_of(rows, one.name, n)); });
  std::cout << "\n";
  line("claim | published | wanted", head), line("--- | --- | ---", rule);
  for (const Claim& claim : method_claims()) {
    const auto number = [](double value) { return value > 0 ? digits(value) : ""; };
    line(claim.text + " | " + number(claim.published) + " | " + (claim.wanted > 0 ? ">= " : "") + number(claim.wanted),
         [&](int n) {
           const double measured = ratio(claim, rows, n);
           return digits(measured) + (claim.wanted > 0 ? measured >= claim.wanted ? ", met" : ", missed" : "");
         });
  }
}

json as_json(const std::vector<Row>& rows, const Options& options, const json& peaks) {
  json result;
  for (const Row& row : rows)
    result["rows"].push_back({{"case", row.name}, {"threads", row.threads}, {"median_us", row.median()},
                              {"min_us", quantile(row.times, 0)}, {"max_us", quantile(row.times, 1)},
                              {"samples", row.times.size()}});
  for (const Claim& claim : method_claims())
    for (const int n : options.threads) {
      json one = {{"claim", claim.text}, {"threads", n}, {"measured", ratio(claim, rows, n)}};
      if (claim.published > 0) one["published"] = claim.published;
      if (claim.wanted > 0) one["wanted"] = claim.wanted, one["met"] = ratio(claim, rows, n) >= claim.wanted;
      result["claims"].push_back(one);
    }
  utsname system;
  uname(&system);
  result["machine"] = {{"processor", processor()}, {"cores", std::thread::hardware_concurrency()},
                       {"kernel", system.release}, {"instructions", kernels::isa_name(kernels::isa())},
                       {"fma_gflops", peaks}};
  result["version"] = version(), result["commit"] = commit(), result["date"] = date();
  result["rounds"] = options.rounds;
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Options options = read_options(argc, argv);
    std::ofstream file;
    if (!options.json.empty()) {
      file.open(options.json);
      if (!file) throw Error(message("cannot write ", options.json));
    }
    std::vector<Row> rows;
    json peaks;
    for (const int threads : options.threads) {
      kernels::set_threads(threads);
      peaks[std::to_string(threads)] = 1e-9 * measure_peaks().fma;
      for (const std::vector<MethodCase>& group : method_cases()) {
        const std::vector<Row> more = measure(group, threads, options.rounds);
        rows.insert(rows.end(), more.begin(), more.end());
      }
    }
    std::cout << processor() << ", commit " << commit() << ", multiply-add peak (GFLOP/s) " << peaks << "\n\n";
    print(rows, options.threads);
    if (file.is_open()) file << as_json(rows, options, peaks).dump(1) << "\n";
    return 0;
  } catch (const Error& error) {
    std::cerr << argv[0] << ": " << error.what() << "\n";
    return 2;
  }
}
