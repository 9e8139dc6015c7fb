#include <meander/kernels/cuda/elements.h>
#include <meander/kernels/cuda/formulas.h>

// Functions of one variable over arrays: kernels/elementwise.h.
namespace meander::kernels::MEANDER_CUDA {
namespace {

struct Exp { __device__ float operator()(float x) const { return exp(x); } };
struct Log { __device__ float operator()(float x) const { return log(x); } };
struct Tanh { __device__ float operator()(float x) const { return tanh(x); } };
struct Sigmoid { __device__ float operator()(float x) const { return sigmoid(x); } };
struct Gelu { __device__ float operator()(float x) const { return gelu(x); } };
struct GeluSlope { __device__ float operator()(float x) const { float value; return gelu_slope(x, value); } };
struct Mish { __device__ float operator()(float x) const { return mish(x); } };
struct MishSlope { __device__ float operator()(float x) const { float value; return mish_slope(x, value); } };

template <class F>
void map_array(int64_t n, const float* x, float* y) {
  map(n, F{}, y, Each{x});
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
  k.gelu = map_array<Gelu>;
  k.gelu_slope = map_array<GeluSlope>;
  k.mish = map_array<Mish>;
  k.mish_slope = map_array<MishSlope>;
  k.sincos = sincos_array;
}

}  // namespace meander::kernels::MEANDER_CUDA
