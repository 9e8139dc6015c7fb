#include <meander/kernels/optimiser.h>

#include <cmath>

#include <meander/kernels/cpu/table.h>
#include <meander/kernels/threads.h>

namespace meander::kernels {
namespace {
constexpr int64_t grain = 8192;
}

void adam(int64_t n, const AdamConstants& constants, int64_t step, const float* gradient, float* params, float* m,
          float* v) {
  const double t = static_cast<double>(step);
  const float correction1 = static_cast<float>(1.0 / (1.0 - std::pow(constants.beta1, t)));
  const float correction2 = static_cast<float>(1.0 / (1.0 - std::pow(constants.beta2, t)));
  const auto function = active().adam;
  parallel_for(n, grain, [&](int64_t begin, int64_t end) {
    function(end - begin, constants, correction1, correction2, gradient + begin, params + begin, m + begin, v + begin);
  });
}

void exponential_average(int64_t n, float tau, const float* source, float* target) {
  const auto function = active().exponential_average;
  parallel_for(n, grain, [=](int64_t begin, int64_t end) {
    function(end - begin, tau, source + begin, target + begin);
  });
}

}  // namespace meander::kernels
