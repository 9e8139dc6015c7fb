#pragma once

#include <meander/kernels/cuda/formulas.h>
#include <meander/kernels/cuda/mlp_chain.cuh>

// Norm and activation of a tile's rows in shared memory, their tangents and their pullback: a warp takes a row, and
// each lane keeps the columns 64 i + 2 lane and the next of it in registers.
namespace meander::kernels::MEANDER_CUDA {

// What a lane has of a row; zero beyond the last column.
template <class T>
struct Row {
  static constexpr int count = T::columns / 32;
  float v[count];

  __device__ float& operator[](int i) { return v[i]; }
  __device__ float operator[](int i) const { return v[i]; }
};
__device__ inline int column(int i) { return i / 2 * 64 + lane_index() * 2 + i % 2; }

// From numbers at any address, or at one of 8 bytes with room for a number more.
template <class T>
__device__ Row<T> load_row(const float* from, int cols) {
  Row<T> row;
#pragma unroll
  for (int i = 0; i < row.count; ++i) row[i] = column(i) < cols ? from[column(i)] : 0.0f;
  return row;
}
template <class T>
__device__ Row<T> load_pairs(const float* from, int cols) {
  Row<T> row;
#pragma unroll
  for (int i = 0; i < row.count; i += 2) {
    const int j = column(i);
    const float2 pair = j < cols ? *reinterpret_cast<const float2*>(from + j) : make_float2(0, 0);
    row[i] = pair.x, row[i + 1] = j + 1 < cols ? pair.y : 0.0f;
  }
  return row;
}
// Columns up to `cols`, which is even.
template <class T>
__device__ void store_pairs(float* to, const Row<T>& row, int cols) {
#pragma unroll
  for (int i = 0; i < row.count; i += 2)
    if (column(i) < cols) *reinterpret_cast<float2*>(to + column(i)) = make_float2(row[i], row[i + 1]);
}
__device__ inline int even(int cols) { return (cols + 1) & ~1; }
__device__ inline int whole_step(int cols) { return (cols + 7) & ~7; }   // of the next product in k

__device__ inline float warp_sum(float sum) {
#pragma unroll
  for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, bits);
  return sum;
}

// The row, normalised; in two passes.
template <class T>
__device__ void normalise(Row<T>& row, int cols, float eps, float& mean, float& rstd) {
  float sum = 0, squares = 0;
#pragma unroll
  for (int i = 0; i < row.count; ++i) sum += row[i];
  mean = warp_sum(sum) / static_cast<float>(cols);
#pragma unroll
  for (int i = 0; i < row.count; ++i) {
    row[i] = column(i) < cols ? row[i] - mean : 0.0f;
    squares = fmaf(row[i], row[i], squares);
  }
  rstd = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(cols) + eps);
#pragma unroll
  for (int i = 0; i < row.count; ++i) row[i] *= rstd;
}

// d becomes rstd (d - mean(d) - n mean(n d)): the tangent of the normalised row n and, the map being symmetric, its
// pullback. Beyond the last column d is then not zero.
template <class T>
__device__ void normalise_tangent(Row<T>& d, const Row<T>& n, int cols, float rstd) {
  float sum = 0, sum_n = 0;
#pragma unroll
  for (int i = 0; i < d.count; ++i) sum += d[i], sum_n = fmaf(n[i], d[i], sum_n);
  const float mean = warp_sum(sum) / static_cast<float>(cols), mean_n = warp_sum(sum_n) / static_cast<float>(cols);
#pragma unroll
  for (int i = 0; i < d.count; ++i) d[i] = rstd * (d[i] - mean - n[i] * mean_n);
}

template <class T>
__device__ void clear_beyond(Row<T>& row, int cols) {
#pragma unroll
  for (int i = 0; i < row.count; ++i)
    if (column(i) >= cols) row[i] = 0;
}

template <class T>
__device__ void activate_row(Activation activation, Row<T>& row) {
  with_activation(activation, [&]<Activation a>() {
#pragma unroll
    for (int i = 0; i < row.count; ++i) row[i] = activate<a>(row[i]);
  });
}
// As activate_row, with the slopes.
template <class T>
__device__ void activate_row(Activation activation, Row<T>& row, Row<T>& slope) {
  with_activation(activation, [&]<Activation a>() {
#pragma unroll
    for (int i = 0; i < row.count; ++i) {
      float value;
      slope[i] = activation_slope<a>(row[i], value);
      row[i] = value;
    }
  });
}

template <class T>
__device__ void scale_and_shift(Row<T>& row, const Row<T>& scale, const Row<T>& shift) {
#pragma unroll
  for (int i = 0; i < row.count; ++i) row[i] = fmaf(row[i], scale[i], shift[i]);
}

// The parameters of a layer's norm, in registers or, in wide tiles, which have none to spare, loaded each time.
template <class T>
struct NormParameters {
  const ChainLayer& layer;
  Row<T> kept_scale, kept_shift;

  __device__ NormParameters(const Chain& chain, const ChainLayer& layer) : layer(layer) {
    if (!T::wide && chain.norm != Norm::none)
      kept_scale = load_row<T>(layer.scale, layer.cols), kept_shift = load_row<T>(layer.shift, layer.cols);
  }
  __device__ Row<T> scale() const { return T::wide ? load_row<T>(layer.scale, layer.cols) : kept_scale; }
  __device__ Row<T> shift() const { return T::wide ? load_row<T>(layer.shift, layer.cols) : kept_shift; }
};

// ---- forward --------------------------------------------------------------------------------------------------------

// Writes the layer's output; what the next product takes in beyond the last column is zero.
template <class T, Precision precision>
__device__ void store_output(float* to, Row<T>& row, int cols) {
  clear_beyond(row, cols);
  if constexpr (precision == Precision::bfloat16) {
    __syncwarp();   // the words lie elsewhere than the numbers: all lanes have read theirs
#pragma unroll
    for (int i = 0; i < row.count; i += 2)
      if (column(i) / 2 < whole_step((cols + 1) / 2))
        reinterpret_cast<uint32_t*>(to)[column(i) / 2] = pack_bfloat16(row[i], row[i + 1]);
  } else {
    if constexpr (precision == Precision::tf32)
#pragma unroll
      for (int i = 0; i < row.count; ++i) row[i] = __uint_as_float(to_tf32(row[i]));
    store_pairs(to, row, whole_step(cols));
  }
}

// Tile row i, of sums without their start, becomes the output of hidden layer l; so do its tangents [first, last),
// which begin at tile row `tangents`.
template <class T, bool with_tangents, Precision precision>
__device__ __forceinline__ void finish_row(const Chain& chain, int l, const TileRows& rows, const NormParameters<T>& p,
                                           float* activations, int i, int first, int last, bool store) {
  const ChainLayer& layer = chain.layer[l];
  const int cols = layer.cols;
  const int64_t number = rows.first + i;
  float* const at = activations + i * T::pitch;
  Row<T> row = load_pairs<T>(at, cols), slope, n;
  const Row<T> begin = load_row<T>(
      l == 0 && chain.start ? chain.start + (chain.first_row + number) / chain.group * cols : layer.bias, cols);
#pragma unroll
  for (int j = 0; j < row.count; ++j) row[j] += begin[j];
  float mean = 0, rstd = 0;
  const bool taped = store && layer.tape.kept;
  if (chain.norm == Norm::before_activation) normalise(row, cols, chain.norm_eps, mean, rstd), n = row;
  if (taped) store_pairs(layer.tape.kept + number * pitch_of(cols), row, even(cols));
  if (chain.norm == Norm::before_activation) scale_and_shift(row, p.scale(), p.shift());
  if constexpr (with_tangents) activate_row(chain.activation, row, slope);
  else activate_row(chain.activation, row);
  if (chain.norm == Norm::after_activation) {
    clear_beyond(row, cols);
    normalise(row, cols, chain.norm_eps, mean, rstd), n = row;
    scale_and_shift(row, p.scale(), p.shift());
  }
  if (store) store_output<T, precision>(at, row, cols);
  if (taped && lane_index() == 0) layer.tape.rstd[number] = rstd, layer.tape.mean[number] = mean;
  if constexpr (with_tangents) {
    for (int direction = first; direction < last; ++direction) {
      float* const tangent = activations + (rows.tangents_at + i * rows.directions + direction) * T::pitch;
      Row<T> d = load_pairs<T>(tangent, cols);
      if (chain.norm == Norm::after_activation)
#pragma unroll
        for (int j = 0; j < d.count; ++j) d[j] *= slope[j];
      if (chain.norm != Norm::none) {
        normalise_tangent(d, n, cols, rstd);
        const Row<T> scale = p.scale();
#pragma unroll
        for (int j = 0; j < d.count; ++j) d[j] *= scale[j];
      }
      if (chain.norm != Norm::after_activation)
#pragma unroll
        for (int j = 0; j < d.count; ++j) d[j] *= slope[j];
      store_output<T, Precision::float32>(tangent, d, cols);
    }
  }
}

// The tile's rows. Call it between barriers.
template <class T, bool with_tangents, Precision precision>
__device__ __forceinline__ void finish_rows(const Chain& chain, int l, const TileRows& rows, float* activations) {
  constexpr int at_once = 4;   // directions for which the slopes are computed once
  const NormParameters<T> p(chain, chain.layer[l]);
  if constexpr (!with_tangents) {
    for (int i = warp_index(); i < rows.values; i += warps)
      finish_row<T, false, precision>(chain, l, rows, p, activations, i, 0, 0, true);
  } else {
    // Many directions of a row go to several warps; the values are then written once all tangents are.
    const int chunks = rows.directions > at_once ? (rows.directions + at_once - 1) / at_once : 1;
#pragma unroll 1
    for (int pass = 0; pass < (chunks == 1 ? 1 : 2); ++pass) {
      if (pass) __syncthreads();
      const int each = pass ? 1 : chunks;
#pragma unroll 1
      for (int unit = warp_index(); unit < rows.values * each; unit += warps) {
        const int first = pass ? 0 : unit % each * at_once, left = pass ? 0 : rows.directions - first;
        finish_row<T, true, precision>(chain, l, rows, p, activations, unit / each, first,
                                  first + (left < at_once ? left : at_once), pass || chunks == 1);
      }
    }
  }
}

// Where the result of the last layer goes.
struct ForwardOutput {
  const Chain& chain;
  const TileRows& rows;
  int first_column;

  __device__ float* to(int row) const {
    const int tangent = row - rows.tangents_at;
    if (row < rows.values)
      return rows.writes_values ? chain.y + (rows.first + row) * chain.y_cols + first_column : nullptr;
    if (tangent < 0 || tangent >= rows.tangents) return nullptr;
    return chain.dy + (rows.first_tangent + tangent) * chain.y_cols + first_column;
  }
  __device__ const float* start(int row) const {
    return row < rows.values ? chain.layer[chain.layers - 1].bias + first_column : nullptr;
  }
};

// The whole forward pass of a tile.
template <class T, bool with_tangents, Precision precision>
__device__ __forceinline__ void forward_tile(const Chain& chain, const TileRows& rows, Stream<T>& stream) {
  for (int l = 0, index = 0; index < chain.products && !chain.product[index].transposed; ++index) {
    const ForwardOutput output{chain, rows, chain.product[index].first_column};
    if constexpr (precision == Precision::float32) {
      chain_product<T, Kind::forward>(stream, index, output);
    } else {
      if (index == 0) chain_product<T, Kind::forward>(stream, index, output);
      else chain_product<T, precision == Precision::tf32 ? Kind::tf32 : Kind::bfloat16>(stream, index, output);
    }
    if (chain.product[index].to_global) continue;
    __syncthreads();
    finish_rows<T, with_tangents, precision>(chain, l++, rows, stream.activations);
  }
}

// ---- and back -------------------------------------------------------------------------------------------------------

// The tile's cotangents of hidden layer l's output, or chain.top for all rows, become those of its dense layer's
// output.
template <class T>
__device__ __forceinline__ void pull_rows(const Chain& chain, int l, const TileRows& rows, Stream<T>& stream,
                                          bool top) {
  const ChainLayer& layer = chain.layer[l];
  const int cols = layer.cols;
  const int64_t pitch = pitch_of(cols);
  const NormParameters<T> p(chain, layer);
  Row<T> sum_bias{}, sum_shift{}, sum_scale{};
  for (int i = warp_index(); i < rows.values; i += warps) {
    const int64_t number = rows.first + i;
    float* const at = stream.activations + i * T::pitch;
    Row<T> d = top ? load_row<T>(chain.top, cols) : load_pairs<T>(at, cols), slope;
    Row<T> n = load_pairs<T>(layer.tape.kept + number * pitch, cols), h = n;
    const float rstd = layer.tape.rstd[number], mean = layer.tape.mean[number];
    if (chain.norm == Norm::before_activation) scale_and_shift(h, p.scale(), p.shift());
    activate_row(chain.activation, h, slope);
    if (chain.norm == Norm::after_activation) {
#pragma unroll
      for (int j = 0; j < n.count; ++j) n[j] = column(j) < cols ? (h[j] - mean) * rstd : 0.0f;
      h = n;
      scale_and_shift(h, p.scale(), p.shift());
    } else {
#pragma unroll
      for (int j = 0; j < d.count; ++j) d[j] *= slope[j];
    }
    if (chain.norm != Norm::none) {
      const Row<T> scale = p.scale();
#pragma unroll
      for (int j = 0; j < d.count; ++j) {
        sum_shift[j] += d[j], sum_scale[j] = fmaf(d[j], n[j], sum_scale[j]);
        d[j] *= scale[j];
      }
      normalise_tangent(d, n, cols, rstd);
    }
    if (chain.norm == Norm::after_activation)
#pragma unroll
      for (int j = 0; j < d.count; ++j) d[j] *= slope[j];
    clear_beyond(d, cols);
    store_pairs(at, d, whole_step(cols));
    if (layer.h) {
      store_pairs(layer.h + number * pitch, h, even(cols));
      store_pairs(layer.dz + number * pitch, d, even(cols));
#pragma unroll
      for (int j = 0; j < d.count; ++j) sum_bias[j] += d[j];
    }
  }
  if (layer.h) {
    float* const sums = layer.sums + (int64_t{blockIdx.x} * warps + warp_index()) * 3 * pitch;
    store_pairs(sums, sum_bias, even(cols));
    store_pairs(sums + pitch, sum_shift, even(cols));
    store_pairs(sums + 2 * pitch, sum_scale, even(cols));
  }
}

// Where the gradient by the inputs goes.
struct BackwardOutput {
  const Chain& chain;
  const TileRows& rows;
  int first_column;

  __device__ float* to(int row) const {
    return row < rows.values ? chain.gradient + (rows.first + row) * chain.gradient_cols + first_column : nullptr;
  }
  __device__ const float* start(int) const { return nullptr; }
};

// The way back through the products `index` and on: from the given cotangents of the last hidden layer's output, or
// from the input of product 0.
template <class T>
__device__ __forceinline__ void backward_tile(const Chain& chain, const TileRows& rows, Stream<T>& stream, int index) {
  int l = chain.layers - 2;
  bool given = chain.top != nullptr;
  for (;;) {
    if (!given) {
      if (index == chain.products) return;
      chain_product<T, Kind::transposed>(stream, index, BackwardOutput{chain, rows, chain.product[index].first_column});
      if (chain.product[index++].to_global) continue;
      __syncthreads();
    }
    pull_rows(chain, l--, rows, stream, given);
    given = false;
  }
}

}  // namespace meander::kernels::MEANDER_CUDA
