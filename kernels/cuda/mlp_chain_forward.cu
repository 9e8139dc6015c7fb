#include <algorithm>

#include <meander/kernels/cuda/mlp_rows.cuh>

// Forward passes with all layers in one kernel.
namespace meander::kernels::MEANDER_CUDA {
namespace {

template <class T, bool with_tangents, Precision precision>
__global__ void __launch_bounds__(chain_threads, 1) forward_kernel(const __grid_constant__ Chain chain) {
  const TileRows rows = tile_rows<T>(chain);
  Stream<T> stream(chain, rows, shared_memory<float>());
  forward_tile<T, with_tangents, precision>(chain, rows, stream);
  copy_async_wait<0>();
}

// A layer's weight [in, out] and where it goes, with rows pitch_of(out) apart.
struct LayerWeight {
  int64_t n, in, out;   // numbers to write
  const float* weight;
  float* to;
};
using LayerWeights = List<LayerWeight, MlpShape::max_layers>;

// f(layer, row, column) gives each number that is written.
template <class F>
__device__ void for_layer_weight(const LayerWeight& l, F f) {
  const int64_t pitch = pitch_of(l.out);
  for (int64_t e = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; e < l.n; e += int64_t{gridDim.x} * blockDim.x)
    l.to[e] = f(l, e / pitch, e % pitch);
}
// Rows 2 k and 2 k + 1 in one word each, rounded to bfloat16.
__global__ void pack_pairs(const __grid_constant__ LayerWeights all) {
  for_layer_weight(all.at[blockIdx.y], [](const LayerWeight& l, int64_t pair, int64_t j) {
    const int64_t k = 2 * pair;
    const float low = j < l.out ? l.weight[k * l.out + j] : 0.0f;
    const float high = j < l.out && k + 1 < l.in ? l.weight[(k + 1) * l.out + j] : 0.0f;
    return __uint_as_float(pack_bfloat16(low, high));
  });
}
__global__ void pad_rows(const __grid_constant__ LayerWeights all) {
  for_layer_weight(all.at[blockIdx.y], [](const LayerWeight& l, int64_t k, int64_t j) {
    return j < l.out ? l.weight[k * l.out + j] : 0.0f;
  });
}

int64_t prepared_layer_size(const MlpShape& s, int l, Precision precision) {
  return (precision == Precision::bfloat16 ? (s.width[l] + 1) / 2 : s.width[l]) * pitch_of(s.width[l + 1]);
}

template <class T, bool with_tangents, Precision precision>
void forward_in_tiles(const ForwardPass& pass, const float* prepared) {
  const MlpShape& s = *pass.shape;
  Chain chain = chain_of(s, pass.params, pass.rows, pass.tape);
  for (int l = 0; l < s.layers; ++l) {
    const int64_t in = l ? s.width[l] : pass.x_cols, out = s.width[l + 1];
    const bool last = l + 1 == s.layers;
    if (l && prepared) {
      add_product<T>(chain, prepared, pitch_of(out), precision == Precision::bfloat16 ? (in + 1) / 2 : in, out, false, last);
      prepared += prepared_layer_size(s, l, precision);
    } else {
      add_product<T>(chain, pass.params + s.weight[l] + (l ? 0 : pass.first_input * out), out, in, out, false, last);
    }
  }
  chain.x = pass.x, chain.x_cols = static_cast<int>(pass.x_cols);
  chain.start = pass.start, chain.group = pass.group, chain.first_row = pass.first_row;
  chain.y = pass.y, chain.y_cols = static_cast<int>(s.width[s.layers]);

  chain.plain_rows = pass.rows - pass.tangent_rows;
  chain.plain_tiles = tiles_of(chain.plain_rows, T::rows);
  const int64_t n = pass.directions;
  chain.directions = static_cast<int>(n);
  chain.values_a_tile = static_cast<int>(std::max<int64_t>(1, T::rows / (1 + n)));
  chain.directions_a_tile = static_cast<int>(std::min<int64_t>(n, T::rows - 1));
  chain.chunks_a_row = static_cast<int>(tiles_of(n, chain.directions_a_tile));
  chain.dx = pass.dx, chain.dx_cols = static_cast<int>(pass.dx_cols), chain.first_dx = static_cast<int>(pass.first_dx);
  chain.dy = pass.dy;
  const int64_t tiles = chain.plain_tiles + tiles_of(pass.tangent_rows, chain.values_a_tile) * chain.chunks_a_row;
  launch(forward_kernel<T, with_tangents, precision>, static_cast<unsigned>(tiles), chain_threads, T::shared_bytes, chain);
}

}  // namespace

bool chain_fits(const MlpShape& s) {
  const int64_t outer = tiles_of(s.width[0], 256) + tiles_of(s.width[s.layers], 256);
  return s.layers > 1 && widest_hidden(s) <= 512 && 2 * (s.layers - 1) + outer <= Chain::max_products;
}

int64_t chain_prepared_size(const MlpShape& s) {
  int64_t size = 4;   // to align
  for (int l = 1; l < s.layers; ++l) size += prepared_layer_size(s, l, Precision::float32);
  return size;
}

void chain_prepare(const MlpShape& s, const float* params, Precision precision, float* prepared) {
  prepared = aligned(prepared);
  LayerWeights all{};
  unsigned count = 0;
  for (int l = 1; l < s.layers; ++l) {
    const int64_t size = prepared_layer_size(s, l, precision);
    all.at[count++] = {size, s.width[l], s.width[l + 1], params + s.weight[l], prepared};
    prepared += size;
  }
  const unsigned blocks = blocks_for_all(std::span<const LayerWeight>(all.at, count), 1, 256);
  if (count)
    launch(precision == Precision::bfloat16 ? pack_pairs : pad_rows, {blocks, count}, 256, 0, all);
}

// Few rows go in small tiles, over many multiprocessors; many in large ones, which read the weights less often.
int64_t few_rows() { return 8 * multiprocessors(); }
int64_t some_rows() { return 32 * multiprocessors(); }

void chain_forward(const ForwardPass& pass, Precision precision, const float* prepared) {
  if (pass.rows == 0) return;
  const bool wide = widest_hidden(*pass.shape) > 256;
  if (prepared) prepared = aligned(const_cast<float*>(prepared));
  const int64_t rows = pass.rows + pass.tangent_rows * pass.directions;
  if (precision == Precision::bfloat16) {   // half the weights to read: tiles of one size do
    if (wide) forward_in_tiles<Tile<2, 8>, false, Precision::bfloat16>(pass, prepared);
    else forward_in_tiles<Tile<2, 4>, false, Precision::bfloat16>(pass, prepared);
  } else if (precision == Precision::tf32) {
    if (wide) forward_in_tiles<Tile<2, 8>, false, Precision::tf32>(pass, prepared);
    else if (rows > some_rows()) forward_in_tiles<Tile<4, 4>, false, Precision::tf32>(pass, prepared);
    else forward_in_tiles<Tile<2, 4>, false, Precision::tf32>(pass, prepared);
  } else if (wide) {
    forward_in_tiles<Tile<2, 8>, true, Precision::float32>(pass, prepared);
  } else if (pass.tangent_rows == 0 && rows <= few_rows()) {
    forward_in_tiles<Tile<1, 4>, false, Precision::float32>(pass, prepared);
  } else if (pass.tangent_rows == 0 && rows > some_rows()) {
    forward_in_tiles<Tile<4, 4>, false, Precision::float32>(pass, prepared);
  } else {
    forward_in_tiles<Tile<2, 4>, true, Precision::float32>(pass, prepared);
  }
}

}  // namespace meander::kernels::MEANDER_CUDA
