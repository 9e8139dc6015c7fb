#pragma once

#include <vector>

#include "bench/cases.h"

// What the machine can do at best, on the threads kernels::threads() says: loops that do nothing else.
namespace meander::bench {

// The machine's cases: machine/fma_fp32, machine/fma_bf16 (where the processor multiplies pairs of bfloat16),
// machine/triad, machine/sgemm (OpenBLAS, where it is linked). Call once set_threads has been. make_machine_case also
// knows machine/read/BYTES: reading so many bytes over and over, from whichever memory they stay in.
std::vector<std::string> machine_case_names();
Case make_machine_case(const std::string& name);

// The best of some samples, per second; 0: the machine has no such instruction, or the library is not linked.
struct Peaks {
  double fma = 0, bf16 = 0;  // flop, a multiply-add counted as 2
  double triad = 0;          // bytes of a = b + s c, three arrays of 64 MB
  double sgemm = 0;          // flop of OpenBLAS
};
Peaks measure_peaks();
// The instruction set of the loop behind machine/fma_fp32, and the core OpenBLAS picked ("" without it).
const char* fma_instructions();
std::string sgemm_core();

}  // namespace meander::bench
