#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include <meander/kernels/isa.h>
#include <meander/kernels/philox.h>
#include <meander/kernels/threads.h>

namespace meander::kernels {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

inline Floats normals(int64_t n, uint64_t seed) {
  Floats x(static_cast<size_t>(n));
  philox_normal({.seed = seed}, nullptr, n, x.data());
  return x;
}
inline Floats uniforms(int64_t n, uint64_t seed) {
  Floats x(static_cast<size_t>(n));
  philox_uniform({.seed = seed}, nullptr, n, x.data());
  return x;
}
inline Doubles in_double(const Floats& x) { return {x.begin(), x.end()}; }

inline bool same_bits(const Floats& a, const Floats& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

// Largest |got - want| / (1 + |want|).
inline double largest_error(const Floats& got, const Doubles& want) {
  REQUIRE(got.size() == want.size());
  double error = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double e = std::fabs(got[i] - want[i]) / (1 + std::fabs(want[i]));
    error = std::max(error, std::isnan(e) ? HUGE_VAL : e);
  }
  return error;
}

inline std::vector<Isa> available() {
  std::vector<Isa> all;
  for (Isa which : all_isas)
    if (isa_available(which)) all.push_back(which);
  return all;
}

// compute() -> Floats on every instruction set of this machine with 1, 2 and 3 threads. Checks that all bits agree and
// returns the result.
template <class F>
Floats same_on_every_path(F&& compute) {
  const Isa isa_before = isa();
  const int threads_before = threads();
  Floats first;
  bool have = false;
  for (int count : {1, 2, 3}) {
    set_threads(count);
    for (Isa which : available()) {
      set_isa(which);
      const Floats result = compute();
      if (!have) first = result;
      have = true;
      if (!same_bits(first, result)) FAIL_CHECK("bits differ: ", isa_name(which), ", ", count, " threads");
    }
  }
  set_isa(isa_before);
  set_threads(threads_before);
  return first;
}

}  // namespace meander::kernels
