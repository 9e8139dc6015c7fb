#include <meander/kernels/elementwise.h>
#include <meander/kernels/activation.h>

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
void sigmoid(int64_t n, const float* x, float* y) { each(active().sigmoid, n, x, y); }

void activation(Activation which, int64_t n, const float* x, float* y) {
  const auto function = active().activation;
  parallel_for(n, grain, [=](int64_t begin, int64_t end) { function(which, end - begin, x + begin, y + begin); });
}
void activation_slope(Activation which, int64_t n, const float* x, float* y) {
  const auto function = active().activation_slope;
  parallel_for(n, grain, [=](int64_t begin, int64_t end) { function(which, end - begin, x + begin, y + begin); });
}

void sincos(int64_t n, const float* x, float* sine, float* cosine) {
  const auto function = active().sincos;
  parallel_for(n, grain, [=](int64_t begin, int64_t end) {
    function(end - begin, x + begin, sine + begin, cosine + begin);
  });
}

}  // namespace meander::kernels
