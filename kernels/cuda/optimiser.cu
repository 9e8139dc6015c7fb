#include <meander/kernels/cuda/elements.h>
#include <meander/kernels/cuda/formulas.h>

// Adam and the exponential average: kernels/optimiser.h. Both do nothing where *stop is set.
namespace meander::kernels::MEANDER_CUDA {
namespace {

// 1 / (1 - beta^step), in double as on the CPU.
__host__ __device__ inline float bias_correction(double beta, double step) {
  return static_cast<float>(1.0 / (1.0 - ::pow(beta, step)));
}

// The betas count where the step is read from device memory; else the factors hold the corrections already.
constexpr int most_networks = 4;
__global__ void adam_kernel(const __grid_constant__ List<AdamArguments, most_networks> list, AdamFactors factors,
                            float tau, double beta1, double beta2, const uint64_t* step, const uint32_t* stop) {
  if (stop && *stop) return;
  if (step) {
    MEANDER_SHARED(float, corrections, 2);
    if (threadIdx.x < 2)
      corrections[threadIdx.x] = bias_correction(threadIdx.x ? beta2 : beta1, static_cast<double>(*step));
    __syncthreads();
    factors.correction1 = corrections[0];
    factors.correction2 = corrections[1];
  }
  const AdamArguments a = list.at[blockIdx.y];
  const auto average = [=](float from, float to) { return exponential_average(tau, from, to); };
  const bool wide = aligned(a.gradient) && aligned(a.params) && aligned(a.m) && aligned(a.v) && aligned(a.target);
  const int64_t fours = wide ? a.n / 4 : 0;
  for_elements(fours, [&](int64_t q) {
    const float4 g = load4(a.gradient, q);
    float4 p = load4(a.params, q), mean = load4(a.m, q), square = load4(a.v, q);
    adam(factors, g.x, p.x, mean.x, square.x);
    adam(factors, g.y, p.y, mean.y, square.y);
    adam(factors, g.z, p.z, mean.z, square.z);
    adam(factors, g.w, p.w, mean.w, square.w);
    store4(a.m, q, mean);
    store4(a.v, q, square);
    store4(a.params, q, p);
    if (a.target) store4(a.target, q, apply4(average, p, load4(a.target, q)));
  });
  for_elements(a.n - 4 * fours, [&](int64_t i) {
    const int64_t at = 4 * fours + i;
    adam(factors, a.gradient[at], a.params[at], a.m[at], a.v[at]);
    if (a.target) a.target[at] = average(a.params[at], a.target[at]);
  });
}

__global__ void average_kernel(int64_t n, float tau, const float* source, float* target, const uint32_t* stop) {
  if (stop && *stop) return;
  const int64_t fours = aligned(source) && aligned(target) ? n / 4 : 0;
  const auto average = [=](float from, float to) { return exponential_average(tau, from, to); };
  for_elements(fours, [&](int64_t q) { store4(target, q, apply4(average, load4(source, q), load4(target, q))); });
  for_elements(n - 4 * fours, [&](int64_t i) {
    const int64_t at = 4 * fours + i;
    target[at] = average(source[at], target[at]);
  });
}

}  // namespace

void adam(std::span<const AdamArguments> all, const AdamConstants& constants, float tau, int64_t number,
          const uint64_t* step, const uint32_t* stop) {
  const double t = static_cast<double>(number);
  const AdamFactors factors = adam_factors(constants, step ? 0 : bias_correction(constants.beta1, t),
                                           step ? 0 : bias_correction(constants.beta2, t));
  in_lists<most_networks>(all, [&](const auto& list, unsigned count) {
    launch(adam_kernel, dim3(blocks_for_all(all, 4, element_block), count), element_block, 0, list, factors, tau,
           constants.beta1, constants.beta2, step, stop);
  });
}

void exponential_average(int64_t n, float tau, const float* source, float* target, const uint32_t* stop) {
  if (n > 0)
    launch(average_kernel, blocks_for((n + 3) / 4, element_block), element_block, 0, n, tau, source, target, stop);
}

}  // namespace meander::kernels::MEANDER_CUDA
