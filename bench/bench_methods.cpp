// The methods beside each other: MVP and QC, SOM's one step and twenty, SAC. What a claim compares is timed in turns.
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

#include "app/version.h"
#include "bench/machine.h"
#include "bench/methods.h"
#include "core/error.h"
#include "kernels/isa.h"
#include "kernels/threads.h"

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

struct Finding {
  const Claim* claim;
  int threads;
  double ratio;
  bool met() const { return ratio >= claim->wanted; }
};

std::vector<Finding> findings(const std::vector<Row>& rows, int threads) {
  const auto median = [&](const std::string& name) {
    return std::ranges::find_if(rows, [&](const Row& r) { return r.name == name && r.threads == threads; })->median();
  };
  std::vector<Finding> found;
  for (const Claim& claim : method_claims()) found.push_back({&claim, threads, median(claim.slow) / median(claim.fast)});
  return found;
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

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, value < 100 ? "%.2f" : value < 1e4 ? "%.1f" : "%.0f", value);
  return text;
}

void print(const std::vector<Row>& rows, const std::vector<Finding>& found) {
  std::cout << "| case | threads | us | fastest - slowest |\n| --- | --- | --- | --- |\n";
  for (const Row& row : rows)
    std::cout << "| `" << row.name << "` | " << row.threads << " | " << number(row.median()) << " | "
              << number(quantile(row.times, 0)) << " - " << number(quantile(row.times, 1)) << " |\n";
  std::cout << "\n| claim | threads | wanted | measured | met |\n| --- | --- | --- | --- | --- |\n";
  for (const Finding& f : found)
    std::cout << "| " << f.claim->text << " | " << f.threads << " | >= " << f.claim->wanted << " | " << number(f.ratio)
              << " | " << (f.met() ? "yes" : "no") << " |\n";
}

json as_json(const std::vector<Row>& rows, const std::vector<Finding>& found, const Options& options,
             const json& peaks) {
  json result;
  for (const Row& row : rows)
    result["rows"].push_back({{"case", row.name}, {"threads", row.threads}, {"median_us", row.median()},
                              {"min_us", quantile(row.times, 0)}, {"max_us", quantile(row.times, 1)},
                              {"samples", row.times.size()}});
  for (const Finding& f : found)
    result["claims"].push_back({{"claim", f.claim->text}, {"threads", f.threads}, {"wanted", f.claim->wanted},
                                {"measured", f.ratio}, {"met", f.met()}});
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
    std::vector<Finding> found;
    json peaks;
    for (const int threads : options.threads) {
      kernels::set_threads(threads);
      peaks[std::to_string(threads)] = 1e-9 * measure_peaks().fma;
      for (const std::vector<MethodCase>& group : method_cases()) {
        const std::vector<Row> more = measure(group, threads, options.rounds);
        rows.insert(rows.end(), more.begin(), more.end());
      }
      const std::vector<Finding> more = findings(rows, threads);
      found.insert(found.end(), more.begin(), more.end());
    }
    std::cout << processor() << ", commit " << commit() << ", multiply-add peak (GFLOP/s) " << peaks << "\n\n";
    print(rows, found);
    if (file.is_open()) file << as_json(rows, found, options, peaks).dump(1) << "\n";
    return 0;
  } catch (const Error& error) {
    std::cerr << argv[0] << ": " << error.what() << "\n";
    return 2;
  }
}
