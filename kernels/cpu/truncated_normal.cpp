#include <meander/kernels/truncated_normal.h>

#include <meander/kernels/cpu/table.h>
#include <meander/kernels/threads.h>

namespace meander::kernels {
namespace {
constexpr int64_t grain = 2048;
}

void truncated_normal(int64_t n, const float* lower, const float* upper, const float* f, float* y) {
  const auto function = active().truncated_normal;
  parallel_for(n, grain, [=](int64_t begin, int64_t end) {
    function(end - begin, lower + begin, upper + begin, f + begin, y + begin);
  });
}

void normal_mass_ratio(int64_t n, const float* lower, const float* upper, const float* y, float* ratio) {
  const auto function = active().normal_mass_ratio;
  parallel_for(n, grain, [=](int64_t begin, int64_t end) {
    function(end - begin, lower + begin, upper + begin, y + begin, ratio + begin);
  });
}

}  // namespace meander::kernels
