#include <meander/kernels/optimiser.h>

#include <cmath>

#include <meander/kernels/cpu/table.h>
#include <meander/kernels/threads.h>

namespace meander::kernels {
namespace {

constexpr int64_t grain = 8192;

void average(int64_t n, float tau, const float* source, float* target) {
  const auto function = active().exponential_average;
  parallel_for(n, grain, [=](int64_t begin, int64_t end) {
    function(end - begin, tau, source + begin, target + begin);
  });
}

}  // namespace

void adam(std::span<const AdamArguments> all, const AdamConstants& constants, float tau, int64_t number,
          const uint64_t* step, const uint32_t* stop) {
  if (stop && *stop != 0) return;
  const double t = static_cast<double>(step ? static_cast<int64_t>(*step) : number);
  const float correction1 = static_cast<float>(1.0 / (1.0 - std::pow(constants.beta1, t)));
  const float correction2 = static_cast<float>(1.0 / (1.0 - std::pow(constants.beta2, t)));
  const auto function = active().adam;
  for (const AdamArguments& a : all) {
    parallel_for(a.n, grain, [&](int64_t i, int64_t end) {
      function(end - i, constants, correction1, correction2, a.gradient + i, a.params + i, a.m + i, a.v + i);
    });
    if (a.target) average(a.n, tau, a.params, a.target);
  }
}

void exponential_average(int64_t n, float tau, const float* source, float* target, const uint32_t* stop) {
  if (!stop || *stop == 0) average(n, tau, source, target);
}

}  // namespace meander::kernels
