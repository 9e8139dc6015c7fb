#include <meander/kernels/elementwise.h>

#include <meander/kernels/cpu/table.h>
#include <meander/kernels/threads.h>

namespace meander::kernels {
namespace {

constexpr int64_t grain = 8192;

void each(Unary function, int64_t n, const float* x, float* y) {
  parallel_for(n, grain, [=](int64_t begin, int64_t end) { function(end - begin, x + begin, y + begin); });
}

}  // namespace

void exp(int64_t n, const float* x, float* y) { each(active().exp, n, x, y); }
void log(int64_t n, const float* x, float* y) { each(active().log, n, x, y); }
void tanh(int64_t n, const float* x, float* y) { each(active().tanh, n, x, y); }
void gelu(int64_t n, const float* x, float* y) { each(active().gelu, n, x, y); }
void gelu_slope(int64_t n, const float* x, float* y) { each(active().gelu_slope, n, x, y); }
void mish(int64_t n, const float* x, float* y) { each(active().mish, n, x, y); }
void mish_slope(int64_t n, const float* x, float* y) { each(active().mish_slope, n, x, y); }
void sigmoid(int64_t n, const float* x, float* y) { each(active().sigmoid, n, x, y); }

void sincos(int64_t n, const float* x, float* sine, float* cosine) {
  const auto function = active().sincos;
  parallel_for(n, grain, [=](int64_t begin, int64_t end) {
    function(end - begin, x + begin, sine + begin, cosine + begin);
  });
}

}  // namespace meander::kernels
