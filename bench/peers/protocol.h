#pragma once

#include "bench/cases.h"

// What the C++ workers of the comparison share: one process a peer, lines of JSON on standard input and output.
namespace meander::bench {

struct WorkerOptions {
  int threads = 1;
  std::string who;             // --who, or ""
  std::string device = "cpu";  // --device
  Data data;                   // --data FILE
};

// A peer as it introduces itself, and its cases.
struct Worker {
  std::string who, version, note;
  std::vector<std::string> cases = {};
  std::vector<std::string> passes = {};  // of mlp_passes (bench/mlp_description.h): cases mlp/... with these
  std::function<Case(const std::string& name, const Data& data)> make = {};
};

// The main function of a worker, `WORKER [--threads N] [--data FILE] [--who NAME] [--device NAME]`: introduces the peer
// that `start` makes from the options, then answers one line for each line until standard input ends:
//   {"case": "chain/256", "samples": 9, "seconds": 0.02}   ->   {"us": [...], "check": 0.5, "flop": ..., "bytes": ...}
// us: microseconds of a call. The first request of a case prepares it and calls it twice unmeasured. A request with
// "data": FILE works on the numbers of that file, and what was prepared from another is let go; if the file says what
// is expected, "deviation" is the largest error_of the results. {"case": "mlp/...", "write": FILE} writes such a file and
// answers {"plain": what float32 deviates by, "flop": ..., "bytes": ...}. What fails answers {"error": "one line"}.
// Returns the exit status.
int serve(int argc, char** argv, const std::function<Worker(const WorkerOptions&)>& start);

}  // namespace meander::bench
