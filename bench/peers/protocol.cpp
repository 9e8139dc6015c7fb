#include "bench/peers/protocol.h"

#include "bench/mlp_cases.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include <meander/kernels/error.h>

namespace meander::bench {
namespace {

using nlohmann::json;

WorkerOptions read_options(int argc, char** argv) {
  WorkerOptions options;
  for (int i = 1; i < argc; i += 2) {
    const std::string option = argv[i], value = i + 1 < argc ? argv[i + 1] : "";
    if (option == "--threads") {
      const char* const end = value.data() + value.size();
      if (std::from_chars(value.data(), end, options.threads).ptr != end || options.threads < 1)
        throw Error(message("--threads wants a number from 1, got '", value, "'"));
    } else if (option == "--who" && !value.empty()) {
      options.who = value;
    } else if (option == "--device" && !value.empty()) {
      options.device = value;
    } else if (option == "--data" && !value.empty()) {
      options.data = Data(value);
    } else {
      throw Error(message("usage: ", argv[0], " [--threads N] [--data FILE] [--who NAME] [--device NAME]"));
    }
  }
  return options;
}

void answer(const json& line) { std::cout << line.dump() << std::endl; }

// What is prepared, and the numbers it was made from.
struct Prepared {
  std::map<std::string, Case> cases = {};
  std::string path = {};
  Data data = {};
  std::vector<std::vector<double>> expected = {};
};

bool takes(const Worker& worker, const std::string& name) {
  if (name.starts_with("machine/read/")) return worker.who == "machine";
  if (!name.starts_with("mlp/")) return std::ranges::find(worker.cases, name) != worker.cases.end();
  const std::string pass = MlpDescription(name).pass;
  if (std::ranges::find(worker.passes, pass) == worker.passes.end()) throw Error(message("no pass '", pass, "' here"));
  return true;
}

json measure(const json& request, const Worker& worker, const Data& given, Prepared& ready) {
  if (request.contains("write")) {
    const MlpDescription description(request.at("case").get<std::string>());
    const double plain = write_mlp_data(request.at("write"), description);
    return {{"plain", plain}, {"flop", description.flop()}, {"bytes", description.bytes()}};
  }
  const std::string name = request.at("case");
  const int samples = request.value("samples", 9);
  const double seconds = request.value("seconds", 0.02);
  if (samples < 1 || !(seconds >= 0)) throw Error("samples must be from 1, seconds from 0");
  if (!takes(worker, name)) throw Error(message("no case '", name, "'"));
  if (const std::string path = request.value("data", ready.path); path != ready.path) {
    ready = {};
    ready.data = Data(path);
    ready.expected = expected_of(ready.data);
    ready.path = path;
  }
  const Data& data = ready.path.empty() ? given : ready.data;
  auto& prepared = ready.cases;
  if (!prepared.contains(name)) {
    Case made = worker.make(name, data);
    time_samples(made.run, 2, seconds, made.wait);
    prepared.emplace(name, std::move(made));
  }
  const Case& timed = prepared.at(name);
  std::vector<double> times = time_samples(timed.run, samples, seconds, timed.wait);
  for (double& us : times) us /= timed.calls;
  json result = {{"us", times}};
  if (timed.check) result["check"] = timed.check();
  if (timed.results && !ready.expected.empty()) {
    const double deviation = error_of(timed.results(), ready.expected);
    result["deviation"] = std::isfinite(deviation) ? deviation : 1e30;   // JSON knows no infinity
  }
  if (timed.flop > 0) result["flop"] = timed.flop;
  if (timed.bytes > 0) result["bytes"] = timed.bytes;
  return result;
}

}  // namespace

int serve(int argc, char** argv, const std::function<Worker(const WorkerOptions&)>& start) {
  try {
    const WorkerOptions options = read_options(argc, argv);
    const Worker worker = start(options);
    answer({{"who", worker.who}, {"version", worker.version}, {"note", worker.note}, {"cases", worker.cases},
            {"passes", worker.passes}});
    Prepared prepared;
    for (std::string line; std::getline(std::cin, line);) {
      try {
        answer(measure(json::parse(line), worker, options.data, prepared));
      } catch (const std::exception& error) {
        std::string text = error.what();
        std::ranges::replace(text, '\n', ' ');
        answer({{"error", text}});
      }
    }
    return 0;
  } catch (const std::exception& error) {
    std::cerr << argv[0] << ": " << error.what() << "\n";
    return 2;
  }
}

}  // namespace meander::bench
