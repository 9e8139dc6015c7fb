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

template <class F>
void map_array(int64_t n, const float* x, float* y) {
  map(n, F{}, y, Each{x});
}
void activation_array(Activation which, int64_t n, const float* x, float* y) {
  with_activation(which, [&]<Activation a>() { map_array<Activate<a>>(n, x, y); });
}
void activation_slope_array(Activation which, int64_t n, const float* x, float* y) {
  with_activation(which, [&]<Activation a>() { map_array<Slope<a>>(n, x, y); });
}

__global__ void sincos_kernel(int64_t n, const float* x, float* sine, float* cosine) {
  for_elements(n, [&](int64_t i) {
    float s, c;
    sincos(x[i], s, c);
    sine[i] = s;
    cosine[i] = c;
  });
}
void sincos_array(int64_t n, const float* x, float* sine, float* cosine) {
  if (n > 0) launch(sincos_kernel, blocks_for(n, element_block), element_block, 0, n, x, sine, cosine);
}

}  // namespace

void add_elementwise(DeviceKernels& k) {
  k.exp = map_array<Exp>;
  k.log = map_array<Log>;
  k.tanh = map_array<Tanh>;
  k.sigmoid = map_array<Sigmoid>;
  k.sincos = sincos_array;
  k.activation = activation_array;
  k.activation_slope = activation_slope_array;
}

}  // namespace meander::kernels::MEANDER_CUDA
