#include <meander/kernels/cuda/elements.h>
#include <meander/kernels/cuda/random.h>

// Random numbers: kernels/philox.h and kernels/truncated_normal.h.
namespace meander::kernels::MEANDER_CUDA {
namespace {

// ---- Philox ----------------------------------------------------------------------------------------------------------

template <class Make>
__device__ void draw(const RandomKey& key, const uint64_t* step, int64_t n, Make make, float* out) {
  const uint64_t at = step ? *step : key.step;
  const bool wide = aligned(out);
  for_elements((n + 3) / 4, [&](int64_t block) {
    I word[4];
    philox_words(key, at, block, word);
    float y[4];
    make(word, y);
    if (wide && 4 * block + 4 <= n) return store4(out, block, make_float4(y[0], y[1], y[2], y[3]));
#pragma unroll
    for (int w = 0; w < 4; ++w)
      if (4 * block + w < n) out[4 * block + w] = y[w];
  });
}
template <class Make>
__global__ void philox_kernel(RandomKey key, const uint64_t* step, int64_t n, Make make, float* out) {
  draw(key, step, n, make, out);
}
template <class Make>
void philox(const RandomKey& key, const uint64_t* step, int64_t n, Make make, float* out) {
  if (n > 0)
    launch(philox_kernel<Make>, blocks_for((n + 3) / 4, element_block), element_block, 0, key, step, n, make, out);
}

// Several streams in one launch.
constexpr int most_draws = 16;
__global__ void draws_kernel(const __grid_constant__ List<DrawArguments, most_draws> list, const uint64_t* step) {
  const DrawArguments& d = list.at[blockIdx.y];
  if (d.normal) draw(d.key, step, d.n, Normal{}, d.out);
  else draw(d.key, step, d.n, Uniform{}, d.out);
}

// ---- the normal distribution cut to an interval ----------------------------------------------------------------------

struct TruncatedNormal {
  __device__ float operator()(float lower, float upper, float f) const {
    return MEANDER_CUDA::truncated_normal(lower, upper, f);
  }
};
struct NormalMassRatio {
  __device__ float operator()(float lower, float upper, float y) const {
    return MEANDER_CUDA::normal_mass_ratio(lower, upper, y);
  }
};

}  // namespace

void philox_draws(std::span<const DrawArguments> all, const uint64_t* step) {
  in_lists<most_draws>(all, [&](const auto& list, unsigned count) {
    launch(draws_kernel, dim3(blocks_for_all(all, 4, element_block), count), element_block, 0, list, step);
  });
}

void philox_uniform(const RandomKey& key, const uint64_t* step, int64_t n, float* out) {
  philox(key, step, n, Uniform{}, out);
}

void philox_normal(const RandomKey& key, const uint64_t* step, int64_t n, float* out) {
  philox(key, step, n, Normal{}, out);
}

void truncated_normal(int64_t n, const float* lower, const float* upper, const float* f, float* y) {
  map(n, TruncatedNormal{}, y, Each{lower}, Each{upper}, Each{f});
}

void normal_mass_ratio(int64_t n, const float* lower, const float* upper, const float* y, float* ratio) {
  map(n, NormalMassRatio{}, ratio, Each{lower}, Each{upper}, Each{y});
}

}  // namespace meander::kernels::MEANDER_CUDA
