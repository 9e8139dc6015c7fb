#include <meander/kernels/cuda/elements.h>
#include <meander/kernels/cuda/formulas.h>

// Functions of one variable over arrays: kernels/elementwise.h.
namespace meander::kernels::MEANDER_CUDA {
namespace {

struct Exp { __device__ float operator()(float x) const { return exp(x); } };
struct Log { __device__ float operator()(float x) const { return log(x); } };
struct Tanh { __device__ float operator()(float x) const { return tanh(x); } };
struct Sigmoid { __device__ float operator()(float x) const { return sigmoid(x); } };
template <Activation a>
struct Activate { __device__ float operator()(float x) const { return activate<a>(x); } };
template <Activation a>
struct Slope { __device__ float operator()(float x) const { float value; return activation_slope<a>(x, value); } };

__global__ void sincos_kernel(int64_t n, const float* x, float* sine, float* cosine) {
  for_elements(n, [&](int64_t i) {
    float s, c;
    sincos(x[i], s, c);
    sine[i] = s;
    cosine[i] = c;
  });
}

}  // namespace

void exp(int64_t n, const float* x, float* y) { map(n, Exp{}, y, Each{x}); }
void log(int64_t n, const float* x, float* y) { map(n, Log{}, y, Each{x}); }
void tanh(int64_t n, const float* x, float* y) { map(n, Tanh{}, y, Each{x}); }
void sigmoid(int64_t n, const float* x, float* y) { map(n, Sigmoid{}, y, Each{x}); }
void activation(Activation which, int64_t n, const float* x, float* y) {
  with_activation(which, [&]<Activation a>() { map(n, Activate<a>{}, y, Each{x}); });
}
void activation_slope(Activation which, int64_t n, const float* x, float* y) {
  with_activation(which, [&]<Activation a>() { map(n, Slope<a>{}, y, Each{x}); });
}
void sincos(int64_t n, const float* x, float* sine, float* cosine) {
  if (n > 0) launch(sincos_kernel, blocks_for(n, element_block), element_block, 0, n, x, sine, cosine);
}

}  // namespace meander::kernels::MEANDER_CUDA
