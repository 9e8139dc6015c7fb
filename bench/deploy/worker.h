#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

// What the workers of `bench deploy` share: one process for one policy in one runtime, lines of JSON on standard input
// and output.
namespace meander::bench {

// The same for everyone, one row a decision: an observation [S] and the normal numbers [K, D] that go with it.
struct Inputs {
  int64_t observations = 0, numbers = 0, candidates = 0;  // S, D, K
  std::vector<float> rows = {};                           // [count, S + K D]
  int64_t width() const { return observations + candidates * numbers; }
  int64_t count() const { return width() ? static_cast<int64_t>(rows.size()) / width() : 0; }
};
constexpr uint64_t input_seed = 1;  // row i has the noise of (input_seed, i, MEANDER_EVALUATE)

// A policy that is ready to act. It reads what was put to `observation` and `noise`, and writes to `action`.
struct Subject {
  nlohmann::json about = {};                        // "version", and what else is to be reported of it
  std::vector<float> observation = {}, noise = {};  // [S], [K D]; empty: it wants none
  std::vector<float> action = {};                   // [D]
  std::function<void(uint64_t row)> act = {};
  std::function<void(double us)> last = {};  // of a loop that only spins: makes a call last so long from now on
};

// The main function of a worker, `WORKER INPUTS S D K [MODEL [LIBRARY]]`. Opens what `open` opens, says what it is
// ({"version": ..., "load_us": ..., "first_us": ..., "resident_kib": ...}), then answers a line for each line until
// standard input ends:
//   {"calls": 1000, "cold": 0, "to": "FILE"}   ->   {"check": 0.5, "allocations": 0}
// FILE gets the microseconds of each call, float32. cold: so many bytes of other memory are written before each. check:
// the mean size of the actions for the first rows. allocations: of a call, where count_allocations is loaded before
// everything else. {"last": 12.5}, to one that spins: makes a call last so many microseconds. Returns the exit status.
int serve(int argc, char** argv, const std::function<Subject(const Inputs&, const std::string& model,
                                                             const std::string& library)>& open);

double microseconds();  // of a clock that only goes forward

// Both throw std::runtime_error if it is not there.
void* load_library(const std::string& path);
void* symbol(void* library, const char* name);

}  // namespace meander::bench
