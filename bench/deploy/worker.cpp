#include "bench/deploy/worker.h"

#include <dlfcn.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <stdexcept>

namespace meander::bench {
namespace {

using nlohmann::json;

constexpr int checked_rows = 64;

void answer(const json& line) { std::cout << line.dump() << std::endl; }

Inputs read_inputs(char** words) {
  Inputs inputs{.observations = std::stol(words[2]), .numbers = std::stol(words[3]), .candidates = std::stol(words[4])};
  std::ifstream file(words[1], std::ios::binary | std::ios::ate);
  const auto bytes = static_cast<size_t>(std::max<std::streamoff>(0, file.tellg()));
  inputs.rows.resize(bytes / sizeof(float));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(inputs.rows.data()), static_cast<std::streamsize>(bytes));
  if (!file || bytes % (static_cast<size_t>(inputs.width()) * sizeof(float)))
    throw std::runtime_error(std::string("cannot read ") + words[1]);
  return inputs;
}

long resident_kib() {
  long all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

class Measurement {
 public:
  Measurement(const Inputs& inputs, Subject& subject) : inputs_(inputs), subject_(subject) {}

  double call(int64_t i) {
    const auto row = static_cast<uint64_t>(i % std::max<int64_t>(1, inputs_.count()));
    if (inputs_.count()) {
      const float* const from = inputs_.rows.data() + static_cast<int64_t>(row) * inputs_.width();
      std::copy_n(from, subject_.observation.size(), subject_.observation.data());
      std::copy_n(from + inputs_.observations, subject_.noise.size(), subject_.noise.data());
    }
    const double start = microseconds();
    subject_.act(row);
    return microseconds() - start;
  }

  json run(const json& request) {
    if (request.contains("last")) {
      if (!subject_.last) throw std::runtime_error("this one does not spin");
      subject_.last(request["last"]);
      return {{"last", request["last"]}};
    }
    const int64_t calls = request.at("calls");
    other_.resize(request.value("cold", size_t{0}));
    std::vector<float> us(static_cast<size_t>(calls));
    double size = 0;
    for (int i = 0; i < checked_rows; ++i) {  // which warms up, too
      call(i);
      for (const float a : subject_.action) size += std::fabs(static_cast<double>(a));
    }
    const auto counted = reinterpret_cast<unsigned long (*)()>(dlsym(RTLD_DEFAULT, "meander_bench_allocations"));
    const unsigned long before = counted ? counted() : 0;
    for (int64_t i = 0; i < calls; ++i) {
      for (size_t j = 0; j < other_.size(); j += 64) ++other_[j];
      us[static_cast<size_t>(i)] = static_cast<float>(call(i));
    }
    const unsigned long allocated = counted ? counted() - before : 0;
    json result = {{"check", size / (checked_rows * std::max<size_t>(1, subject_.action.size()))}};
    if (counted) result["allocations"] = static_cast<double>(allocated) / static_cast<double>(calls);
    std::ofstream file(request.at("to").get<std::string>(), std::ios::binary);
    file.write(reinterpret_cast<const char*>(us.data()), static_cast<std::streamsize>(us.size() * sizeof(float)));
    if (!file.flush()) throw std::runtime_error("cannot write the times");
    return result;
  }

 private:
  const Inputs& inputs_;
  Subject& subject_;
  std::vector<unsigned char> other_;  // which fills the caches
};

}  // namespace

double microseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) * 1e-3;
}

void* load_library(const std::string& path) {
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (!library) throw std::runtime_error(dlerror());
  return library;
}

void* symbol(void* library, const char* name) {
  void* const found = dlsym(library, name);
  if (!found) throw std::runtime_error(std::string("the library has no ") + name);
  return found;
}

int serve(int argc, char** argv, const std::function<Subject(const Inputs&, const std::string& model,
                                                             const std::string& library)>& open) {
  try {
    if (argc < 5) throw std::runtime_error("usage: WORKER INPUTS S D K [MODEL [LIBRARY]]");
    const Inputs inputs = read_inputs(argv);
    const double start = microseconds();
    Subject subject = open(inputs, argc > 5 ? argv[5] : "", argc > 6 ? argv[6] : "");
    json about = {{"load_us", microseconds() - start}};
    about.update(subject.about);
    Measurement measurement(inputs, subject);
    about["first_us"] = measurement.call(0);
    about["resident_kib"] = resident_kib();
    answer(about);
    for (std::string line; std::getline(std::cin, line);) {
      try {
        answer(measurement.run(json::parse(line)));
      } catch (const std::exception& error) {
        answer({{"error", error.what()}});
      }
    }
    return 0;
  } catch (const std::exception& error) {
    std::cerr << argv[0] << ": " << error.what() << "\n";
    return 2;
  }
}

}  // namespace meander::bench
