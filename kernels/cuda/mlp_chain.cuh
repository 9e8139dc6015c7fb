#pragma once

#include <meander/kernels/cuda/mlp_pass.h>
#include <meander/kernels/cuda/products.cuh>

// A block takes a tile of rows through a chain of products. The rows' activations stay in shared memory, where each
// layer's output replaces its input; the weights of all products stream through the rest of it in slices, one after
// another, so that the next layer's are on their way while norm and activation of this one are computed.
namespace meander::kernels::MEANDER_CUDA {

constexpr int warps = 8, chain_threads = 32 * warps;

__device__ inline int warp_index() { return static_cast<int>(threadIdx.x) / 32; }
__device__ inline int lane_index() { return static_cast<int>(threadIdx.x) % 32; }

// ---- sizes ----------------------------------------------------------------------------------------------------------

// 16 RowTiles rows, and widths up to 64 ColumnTiles: that many results of mma has each warp at most. All fit in 99 KB.
template <int RowTiles, int ColumnTiles>
struct Tile {
  static constexpr int row_tiles = RowTiles, column_tiles = ColumnTiles;
  static constexpr int rows = 16 * RowTiles, columns = 64 * ColumnTiles;
  static constexpr int pitch = columns + 4;   // of activations; spreads the rows of a fragment over the banks
  static constexpr bool wide = ColumnTiles == 8;
  static constexpr int slice = wide ? (RowTiles == 1 ? 6144 : 4160) : RowTiles == 4 ? 4224 : 5120;   // floats
  static constexpr int stages = wide || RowTiles == 4 ? 2 : RowTiles == 2 ? 3 : 4;   // slices at once
  static constexpr int shared_bytes = (rows * pitch + stages * slice) * 4;
  static_assert(shared_bytes <= 99 * 1024);
};

// ---- what a kernel is told ------------------------------------------------------------------------------------------

// Result [rows, n] = input [rows, k] times the matrix that lies at `weight`: [k, n], or [n, k] if transposed, rows
// `stride` apart. With bfloat16 a number of k is a word of two.
struct ChainProduct {
  const float* weight;
  int64_t stride;
  int k, n;
  int first_column;      // of the result, where a wide one goes in several products
  int depth, depth_log2; // of a slice in k: 8, 16, 32 or 64
  int pitch;             // of a slice in shared memory
  int tiles;             // of 8 columns that each warp has: 1, 2, 4; in wide tiles 1, 4, 8
  int lanes_log2;        // that copy one row of a slice
  bool aligned, transposed;
  bool to_global;        // the result is not the next product's input
  bool split;            // each warp has all columns, and every eighth step in k
};

struct ChainLayer {
  int cols;
  const float* bias;
  const float* scale;
  const float* shift;
  TapeLayer tape;
  // Of a pass back, null if no gradient of the parameters is wanted: the layer's output and the cotangent of its dense
  // layer's output, [rows, pitch_of(cols)] each, and what each warp adds to the gradients of bias, shift and scale,
  // [tiles, warps, 3, pitch_of(cols)].
  float* h;
  float* dz;
  float* sums;
};

struct Chain {
  static constexpr int max_products = 24;
  int products;
  ChainProduct product[max_products];
  int layers;                                    // as in MlpShape
  ChainLayer layer[MlpShape::max_layers];
  Activation activation;
  Norm norm;
  float norm_eps;
  int64_t rows;
  const float* x;                                // [rows, x_cols], the input of product 0
  int x_cols;
  const float* start;                            // see ForwardPass
  int64_t group, first_row;
  float* y;                                      // [rows, y_cols], the result of the last layer's products
  int y_cols;
  // Tiles of leading rows without tangents, then those with: values_a_tile rows with directions_a_tile tangents each,
  // all directions in chunks_a_row tiles.
  int64_t plain_tiles, plain_rows;
  int directions, values_a_tile, directions_a_tile, chunks_a_row;
  const float* dx;
  int dx_cols, first_dx;
  float* dy;
  // The way back: product and result of the first layer.
  const float* top;                              // cotangent of the last hidden layer's output, the same for all rows
  float* gradient;                               // [rows, gradient_cols]
  int gradient_cols;
};

// A tile of rows: values from 0 on, their tangents, `directions` of each, from tangents_at on.
struct TileRows {
  int64_t first, first_tangent;
  int values, directions, tangents_at, tangents;
  bool writes_values;
};

template <class T>
__device__ TileRows tile_rows(const Chain& c) {
  const int64_t plain_tiles = c.plain_tiles, block = blockIdx.x;
  TileRows rows{};
  rows.writes_values = true;
  if (block < plain_tiles) {
    rows.first = block * T::rows;
    const int64_t left = c.plain_rows - rows.first;
    rows.values = left < T::rows ? static_cast<int>(left) : T::rows;
    rows.tangents_at = T::rows;
    return rows;
  }
  const int64_t tile = (block - plain_tiles) / c.chunks_a_row;
  const int chunk = static_cast<int>((block - plain_tiles) % c.chunks_a_row);
  const int first_direction = chunk * c.directions_a_tile, left_directions = c.directions - first_direction;
  rows.first = c.plain_rows + tile * c.values_a_tile;
  const int64_t left = c.rows - rows.first;
  rows.values = left < c.values_a_tile ? static_cast<int>(left) : c.values_a_tile;
  rows.directions = left_directions < c.directions_a_tile ? left_directions : c.directions_a_tile;
  rows.tangents_at = c.values_a_tile;
  rows.tangents = rows.values * rows.directions;
  rows.first_tangent = (rows.first - c.plain_rows) * c.directions + first_direction;
  rows.writes_values = chunk == 0;
  return rows;
}

// ---- the stream of slices -------------------------------------------------------------------------------------------

// A part [rows, cols] of a matrix to shared memory, with zeros beyond valid_rows and valid_cols. 2^lanes_log2 lanes
// take a row.
__device__ inline void copy_part(float* to, int pitch, const float* from, int64_t stride, int rows, int valid_rows,
                                 int cols, int valid_cols, bool aligned, int lanes_log2) {
  const int lane = lane_index(), lanes = 1 << lanes_log2, rows_at_once = 32 >> lanes_log2;
  for (int r = warp_index() * rows_at_once + (lane >> lanes_log2); r < rows; r += warps * rows_at_once) {
    const float* const source = from + r * stride;
    float* const target = to + r * pitch;
    const int valid = r < valid_rows ? valid_cols : 0;
    if (aligned) {
      for (int c = (lane & (lanes - 1)) * 4; c < cols; c += lanes * 4) {
        const int count = valid - c <= 0 ? 0 : valid - c < 4 ? valid - c : 4;
        copy_async16(target + c, count ? source + c : from, count * 4);
      }
    } else {
      for (int c = lane & (lanes - 1); c < cols; c += lanes)
        copy_async4(target + c, c < valid ? source + c : from, c < valid ? 4 : 0);
    }
  }
}

template <class T>
struct Stream {
  const Chain& chain;
  const TileRows& rows;
  float* activations;    // the input's slices use it too, before the first result needs it
  float* slices;
  int product = 0, k = 0;          // of the next slice to be fetched
  int fetched = 0, taken = 0;      // slices, counted up to the number of stages

  __device__ Stream(const Chain& chain, const TileRows& rows, float* shared)
      : chain(chain), rows(rows), activations(shared), slices(shared + T::rows * T::pitch) {
    for (int s = 0; s + 1 < T::stages; ++s) fetch();
  }

  __device__ static int next(int stage) { return stage + 1 == T::stages ? 0 : stage + 1; }
  __device__ float* input_slice(int stage) { return activations + stage * (T::rows * 36); }

  // Waits for the next slice and returns its stage; at this place all threads are done with the one before it.
  __device__ int take() {
    copy_async_wait<T::stages - 2>();
    __syncthreads();
    fetch();
    const int stage = taken;
    taken = next(taken);
    return stage;
  }

 private:
  __device__ void fetch() {
    if (product < chain.products) {
      const ChainProduct& p = chain.product[product];
      const int left = p.k - k;
      float* const slice = slices + fetched * T::slice;
      if (p.transposed)
        copy_part(slice, p.pitch, p.weight + k, p.stride, p.n, p.n, p.depth, left, p.aligned, p.lanes_log2);
      else
        copy_part(slice, p.pitch, p.weight + k * p.stride, p.stride, p.depth, left, p.n, p.n, p.aligned, p.lanes_log2);
      if (product == 0) fetch_input(p.depth, p.depth_log2);
      fetched = next(fetched);
      k += p.depth;
      if (k >= p.k) k = 0, ++product;
    }
    copy_async_commit();
  }

  // Columns k, ... of the tile's rows of x and dx.
  __device__ void fetch_input(int depth, int depth_log2) {
    float* const to = input_slice(fetched);
    for (int e = static_cast<int>(threadIdx.x); e < T::rows * depth; e += chain_threads) {
      const int r = e >> depth_log2, c = e & (depth - 1), tangent = r - rows.tangents_at;
      const float* from = nullptr;
      if (r < rows.values) {
        if (k + c < chain.x_cols) from = chain.x + (rows.first + r) * chain.x_cols + k + c;
      } else if (tangent >= 0 && tangent < rows.tangents) {
        const int at = k + c - chain.first_dx;
        if (at >= 0 && at < chain.dx_cols) from = chain.dx + (rows.first_tangent + tangent) * chain.dx_cols + at;
      }
      copy_async4(to + r * (depth + 4) + c, from ? from : chain.x, from ? 4 : 0);
    }
  }
};

// ---- one product ----------------------------------------------------------------------------------------------------

enum class Kind { forward, transposed, tf32, bfloat16 };

// The result replaces the activations, or goes to the rows output.to(row) (null: nowhere) with output.start(row) added
// (null: nothing), or, if the product is split, each warp's share of it goes to a place of its own in the activations.
// No thread needs the input then.
template <class T, int Tiles, Kind kind, class Output>
__device__ __forceinline__ void multiply_slices(Stream<T>& stream, const ChainProduct& p, bool first,
                                                const Output& output) {
  const int warp = warp_index(), lane = lane_index(), group = lane / 4, rest = lane % 4;
  const int k_all = p.k, depth = p.depth, pitch = p.pitch;
  const bool split = p.split;
  const int first_column = split ? 0 : warp * (Tiles * 8);
  float sums[T::row_tiles][Tiles][4];
#pragma unroll
  for (int m = 0; m < T::row_tiles; ++m)
#pragma unroll
    for (int t = 0; t < Tiles; ++t)
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[m][t][i] = 0;

  for (int k = 0; k < k_all; k += depth) {
    const int stage = stream.take();
    const float* const slice = stream.slices + stage * T::slice;
    const int a_pitch = first ? depth + 4 : T::pitch;
    const float* const input = first ? stream.input_slice(stage) : stream.activations + k;
    const float* const a = input + lane % 16 * a_pitch + lane / 16 * 4;
    const float* const b = slice + (kind == Kind::transposed ? (first_column + group) * pitch + rest
                                                             : rest * pitch + first_column + group);
    const int end = k_all - k < depth ? k_all - k : depth;
    // Two steps at once where there are few results to keep the tensor cores busy while the next numbers come.
    [[maybe_unused]] constexpr int steps = T::row_tiles * Tiles <= 4 ? 2 : 1;
#pragma unroll steps
    for (int j = split ? ((warp - k / 8) & 7) * 8 : 0; j < end; j += split ? 64 : 8) {
      const auto b_word = [&](int t, int half) {
        return kind == Kind::transposed ? b[t * 8 * pitch + j + half * 4] : b[(j + half * 4) * pitch + t * 8];
      };
      const auto a_words = [&](int m, uint32_t (&words)[4]) { load_matrices(words, a + m * 16 * a_pitch + j); };
      if constexpr (kind == Kind::bfloat16) {
        uint32_t parts[Tiles][2];
#pragma unroll
        for (int t = 0; t < Tiles; ++t)
          parts[t][0] = __float_as_uint(b_word(t, 0)), parts[t][1] = __float_as_uint(b_word(t, 1));
#pragma unroll
        for (int m = 0; m < T::row_tiles; ++m) {
          uint32_t words[4];
          a_words(m, words);
#pragma unroll
          for (int t = 0; t < Tiles; ++t) mma_bfloat16(sums[m][t], words, parts[t]);
        }
      } else if constexpr (kind == Kind::tf32) {   // the activations were rounded when they were stored
        uint32_t parts[Tiles][2];
#pragma unroll
        for (int t = 0; t < Tiles; ++t) parts[t][0] = to_tf32(b_word(t, 0)), parts[t][1] = to_tf32(b_word(t, 1));
#pragma unroll
        for (int m = 0; m < T::row_tiles; ++m) {
          uint32_t words[4];
          a_words(m, words);
#pragma unroll
          for (int t = 0; t < Tiles; ++t) mma_tf32(sums[m][t], words, parts[t]);
        }
      } else {
        Parts<4> row_parts[T::row_tiles];
#pragma unroll
        for (int m = 0; m < T::row_tiles; ++m) {
          uint32_t words[4];
          a_words(m, words);
          row_parts[m] = split_a(words);
        }
#pragma unroll
        for (int t = 0; t < Tiles; ++t) {
          const Parts<2> parts = split_b(b_word(t, 0), b_word(t, 1));
#pragma unroll
          for (int m = 0; m < T::row_tiles; ++m) multiply(sums[m][t], row_parts[m], parts);
        }
      }
    }
  }
  __syncthreads();
  const int col = first_column + rest * 2;
  if (!p.to_global || split) {
    const int to_pitch = split ? Tiles * 8 : T::pitch;
    float* const to = stream.activations + (split ? warp * T::rows : 0) * to_pitch + col;
#pragma unroll
    for (int m = 0; m < T::row_tiles; ++m)
#pragma unroll
      for (int t = 0; t < Tiles; ++t)
#pragma unroll
        for (int half = 0; half < 2; ++half)
          *reinterpret_cast<float2*>(to + (m * 16 + half * 8 + group) * to_pitch + t * 8) =
              make_float2(sums[m][t][2 * half], sums[m][t][2 * half + 1]);
    return;
  }
#pragma unroll
  for (int m = 0; m < T::row_tiles; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = m * 16 + half * 8 + group;
      float* const to = output.to(row);
      const float* const start = output.start(row);
      if (!to) continue;
#pragma unroll
      for (int t = 0; t < Tiles; ++t)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int j = col + t * 8 + i;
          if (j < p.n) to[j] = sums[m][t][2 * half + i] + (start ? start[j] : 0.0f);
        }
    }
}

// Product `index` of the chain. Call it with all threads; ends with no barrier.
template <class T, Kind kind, class Output>
__device__ __forceinline__ void chain_product(Stream<T>& stream, int index, const Output& output) {
  const ChainProduct& p = stream.chain.product[index];
  const bool first = index == 0;
  if (p.tiles == 1) multiply_slices<T, 1, kind>(stream, p, first, output);
  else if (!T::wide && p.tiles == 2) multiply_slices<T, 2, kind>(stream, p, first, output);
  else if (!T::wide || p.tiles == 4) multiply_slices<T, 4, kind>(stream, p, first, output);
  else multiply_slices<T, T::column_tiles, kind>(stream, p, first, output);
  if (!p.to_global || !p.split) return;
  __syncthreads();
  const int pitch = p.tiles * 8;
  for (int e = static_cast<int>(threadIdx.x); e < T::rows * p.n; e += chain_threads) {
    const int row = e / p.n, col = e % p.n;
    float* const to = output.to(row);
    const float* const start = output.start(row);
    if (!to) continue;
    float sum = 0;
#pragma unroll
    for (int w = 0; w < warps; ++w) sum += stream.activations[(w * T::rows + row) * pitch + col];
    to[col] = sum + (start ? start[col] : 0.0f);
  }
}

// ---- host: laying out a chain ---------------------------------------------------------------------------------------

// Adds a product to the chain, or several where the result is wider than a tile and goes to global memory.
template <class T>
void add_product(Chain& chain, const float* weight, int64_t stride, int64_t k, int64_t n, bool transposed,
                 bool to_global) {
  for (int64_t first = 0; first < n; first += T::columns) {
    ChainProduct& p = chain.product[chain.products];
    p.first_column = static_cast<int>(first);
    p.k = static_cast<int>(k);
    p.n = static_cast<int>(n - first < T::columns ? n - first : T::columns);
    p.weight = weight + (transposed ? first * stride : first);
    p.stride = stride;
    p.transposed = transposed;
    p.to_global = to_global;
    p.split = to_global && p.n <= 32;
    p.aligned = reinterpret_cast<uintptr_t>(weight) % 16 == 0 && stride % 4 == 0;
    const int tiles = (p.n + 7) / 8, each = p.split ? tiles : (tiles + warps - 1) / warps;
    p.tiles = each <= 1 ? 1 : each <= 2 && !T::wide ? 2 : each <= 4 ? 4 : 8;
    const int columns = p.tiles * (p.split ? 8 : 64);
    const auto pitch = [&](int depth) { return transposed ? depth + 4 : p.split ? 8 * (p.tiles | 1) : columns + 8; };
    // The deepest slice that has room; that of the input, 36 floats a row, is in the activations.
    p.depth = chain.products == 0 ? 32 : 64;
    const auto size = [&](int depth) { return (transposed ? columns : depth) * pitch(depth); };
    while (p.depth > 8 && (size(p.depth) > T::slice || p.depth / 2 >= p.k)) p.depth /= 2;
    p.depth_log2 = p.depth == 8 ? 3 : p.depth == 16 ? 4 : p.depth == 32 ? 5 : 6;
    p.pitch = pitch(p.depth);
    const int units = ((transposed ? p.depth : p.n) + (p.aligned ? 3 : 0)) / (p.aligned ? 4 : 1);
    p.lanes_log2 = 0;
    while (1 << p.lanes_log2 < units && p.lanes_log2 < 5) ++p.lanes_log2;
    ++chain.products;
  }
}

// The parts of a chain that all kernels share.
inline Chain chain_of(const MlpShape& s, const float* params, int64_t rows, float* tape) {
  Chain chain{};
  chain.layers = s.layers, chain.activation = s.activation, chain.norm = s.norm, chain.norm_eps = s.norm_eps;
  chain.rows = chain.plain_rows = rows;
  for (int l = 0; l < s.layers; ++l) {
    ChainLayer& layer = chain.layer[l];
    layer.cols = static_cast<int>(s.width[l + 1]);
    layer.bias = params + s.bias[l], layer.scale = params + s.scale[l], layer.shift = params + s.shift[l];
    if (l + 1 < s.layers) layer.tape = tape_layer(s, l, rows, tape);
  }
  return chain;
}

inline int64_t widest_hidden(const MlpShape& s) {
  int64_t width = 0;
  for (int l = 1; l < s.layers; ++l) width = s.width[l] > width ? s.width[l] : width;
  return width;
}
inline int64_t tiles_of(int64_t n, int64_t size) { return (n + size - 1) / size; }

}  // namespace meander::kernels::MEANDER_CUDA
