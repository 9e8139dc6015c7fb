#include <algorithm>

#include <meander/kernels/cuda/mlp_rows.cuh>

// The way back: cotangents down through all layers in one kernel, then the gradients of all parameters in another.
namespace meander::kernels::MEANDER_CUDA {
namespace {

// ---- cotangents -----------------------------------------------------------------------------------------------------

template <class T>
__global__ void __launch_bounds__(chain_threads, 1) backward_kernel(const __grid_constant__ Chain chain) {
  const TileRows rows = tile_rows<T>(chain);
  Stream<T> stream(chain, rows, shared_memory<float>());
  backward_tile(chain, rows, stream, 0);
  copy_async_wait<0>();
}

template <class T>
__global__ void __launch_bounds__(chain_threads, 1) value_and_gradient_kernel(const __grid_constant__ Chain chain) {
  const TileRows rows = tile_rows<T>(chain);
  Stream<T> stream(chain, rows, shared_memory<float>());
  forward_tile<T, false, Precision::float32>(chain, rows, stream);
  __syncthreads();   // the sums of the output are read
  backward_tile(chain, rows, stream, chain.layers);
  copy_async_wait<0>();
}

// The products of the way back below the last hidden layer; the last gives dx [rows, cols] for the inputs first_input,
// ..., if wanted.
template <class T>
void add_way_back(Chain& chain, const MlpShape& s, const float* params, float* dx, int64_t cols, int64_t first_input) {
  for (int l = s.layers - 2; l > 0; --l)
    add_product<T>(chain, params + s.weight[l], s.width[l + 1], s.width[l + 1], s.width[l], true, false);
  if (dx)
    add_product<T>(chain, params + s.weight[0] + first_input * s.width[1], s.width[1], s.width[1], cols, true, true);
  chain.gradient = dx, chain.gradient_cols = static_cast<int>(cols);
}

template <class T>
void gradient_in_tiles(const ForwardPass& pass, float* gradient) {
  const MlpShape& s = *pass.shape;
  Chain chain = chain_of(s, pass.params, pass.rows, pass.tape);
  for (int l = 0; l < s.layers; ++l)
    add_product<T>(chain, pass.params + s.weight[l] + (l ? 0 : pass.first_input * s.width[1]), s.width[l + 1],
                   l ? s.width[l] : pass.x_cols, s.width[l + 1], false, l + 1 == s.layers);
  add_way_back<T>(chain, s, pass.params, gradient, pass.x_cols, pass.first_input);
  chain.x = pass.x, chain.x_cols = static_cast<int>(pass.x_cols);
  chain.start = pass.start, chain.group = pass.group, chain.first_row = pass.first_row;
  chain.y = pass.y, chain.y_cols = 1;
  chain.top = pass.params + s.weight[s.layers - 1];
  chain.plain_tiles = tiles_of(pass.rows, T::rows);
  launch(value_and_gradient_kernel<T>, static_cast<unsigned>(chain.plain_tiles), chain_threads, T::shared_bytes, chain);
}

// What the gradients of the parameters need of each hidden layer.
struct Kept {
  float *h, *dz, *sums;
};
constexpr int64_t fewest_rows = 16;   // of a tile
int64_t items_of(int64_t tiles) { return tiles * warps; }
int64_t kept_size(int64_t width, int64_t rows) {
  return (2 * rows + 3 * items_of(tiles_of(rows, fewest_rows))) * pitch_of(width);
}
Kept kept_layer(const MlpShape& s, int layer, int64_t rows, float* memory) {
  for (int l = 0; l < layer; ++l) memory += kept_size(s.width[l + 1], rows);
  const int64_t size = rows * pitch_of(s.width[layer + 1]);
  return {memory, memory + size, memory + 2 * size};
}

// Returns the number of tiles.
template <class T>
int64_t backward_in_tiles(const BackwardPass& pass, float* kept) {
  const MlpShape& s = *pass.shape;
  Chain chain = chain_of(s, pass.params, pass.rows, nullptr);
  const int last = s.layers - 1;
  for (int l = 0; l < last; ++l) chain.layer[l].tape = tape_layer(s, l, pass.tape_rows, pass.tape, pass.first_row);
  if (pass.dparams)
    for (int l = 0; l < last; ++l) {
      const Kept k = kept_layer(s, l, pass.rows, kept);
      chain.layer[l].h = k.h, chain.layer[l].dz = k.dz, chain.layer[l].sums = k.sums;
    }
  add_product<T>(chain, pass.params + s.weight[last], s.width[s.layers], s.width[s.layers], s.width[last], true, false);
  add_way_back<T>(chain, s, pass.params, pass.dx, pass.dx_cols, pass.first_input);
  chain.x = pass.dy, chain.x_cols = static_cast<int>(s.width[s.layers]);
  chain.plain_tiles = tiles_of(pass.rows, T::rows);
  launch(backward_kernel<T>, static_cast<unsigned>(chain.plain_tiles), chain_threads, T::shared_bytes, chain);
  return chain.plain_tiles;
}

// ---- parameters -----------------------------------------------------------------------------------------------------

// weight [m, n] += h^T dz over all rows; or, of a chunk of them, to the chunk's place in memory.
struct WeightGradient {
  Factor h, dz;
  float* to;
  int64_t m, n;
  int64_t at;              // in the memory of a chunk
  unsigned first_block, tiles_across;
};
// to [cols] += the sum of `items` rows `stride` apart.
struct ColumnSum {
  const float* from;
  int64_t items, stride;
  float* to;
  int cols;
  unsigned first_block;
};
struct Gradients {
  int weights, sums;
  WeightGradient weight[MlpShape::max_layers];
  ColumnSum sum[3 * MlpShape::max_layers];
  unsigned weight_blocks;
  int64_t rows, chunk_rows;
  int chunks;
  int64_t chunk_size;      // floats
  float* partial;          // [chunks, chunk_size]
};

// The job to which a block belongs.
template <class Job>
__device__ const Job& job_of(const Job* jobs, int count, unsigned block) {
  int i = 0;
  while (i + 1 < count && jobs[i + 1].first_block <= block) ++i;
  return jobs[i];
}

__device__ void sum_columns(const ColumnSum& job, unsigned block) {
  const int col = static_cast<int>(block) * 32 + lane_index();
  float sum = 0;
  if (col < job.cols)
    for (int64_t i = warp_index(); i < job.items; i += warps) sum += job.from[i * job.stride + col];
  float* const all = shared_memory<float>();
  all[threadIdx.x] = sum;
  __syncthreads();
  if (warp_index() > 0 || col >= job.cols) return;
  for (int w = 1; w < warps; ++w) sum += all[w * 32 + lane_index()];
  job.to[col] += sum;
}

// Block (x, y): tile x of the weights' gradients, chunk y of the rows; then the sums over columns.
__global__ void __launch_bounds__(ProductTile::threads) parameter_kernel(const __grid_constant__ Gradients g) {
  if (blockIdx.x >= g.weight_blocks) {
    const unsigned block = blockIdx.x - g.weight_blocks;
    const ColumnSum& job = job_of(g.sum, g.sums, block);
    if (blockIdx.y == 0) sum_columns(job, block - job.first_block);
    return;
  }
  const WeightGradient& job = job_of(g.weight, g.weights, blockIdx.x);
  const unsigned block = blockIdx.x - job.first_block;
  const int64_t row = int64_t{block / job.tiles_across} * ProductTile::size;
  const int64_t col = int64_t{block % job.tiles_across} * ProductTile::size;
  const int64_t first = blockIdx.y * g.chunk_rows, last = first + g.chunk_rows < g.rows ? first + g.chunk_rows : g.rows;
  TileSums sums;
  product_tile<true, true>(sums, job.h, job.dz, row, col, job.m, job.n, first, last);
  for_sums(sums, [&](int i, int j, float sum) {
    if (row + i >= job.m || col + j >= job.n) return;
    const int64_t at = (row + i) * job.n + col + j;
    if (g.chunks > 1) g.partial[blockIdx.y * g.chunk_size + job.at + at] = sum;
    else job.to[at] += sum;
  });
}

// The chunks of weight blockIdx.y, in order.
__global__ void add_weight_chunks(const __grid_constant__ Gradients g) {
  const WeightGradient& job = g.weight[blockIdx.y];
  const int64_t thread = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  for (int64_t e = thread; e < job.m * job.n; e += int64_t{gridDim.x} * blockDim.x) {
    float sum = 0;
    for (int c = 0; c < g.chunks; ++c) sum += g.partial[c * g.chunk_size + job.at + e];
    job.to[e] += sum;
  }
}

// Rows of a chunk: a fixed number where they are few, an eighth where they are many.
int64_t chunk_rows(int64_t rows) { return std::max<int64_t>(256, tiles_of(tiles_of(rows, 8), 32) * 32); }

int64_t weights_size(const MlpShape& s) {
  int64_t size = 0;
  for (int l = 0; l < s.layers; ++l) size += s.width[l] * s.width[l + 1];
  return size;
}

void add_gradients(const BackwardPass& pass, int64_t tiles, float* kept, float* partial) {
  const MlpShape& s = *pass.shape;
  Gradients g{};
  g.rows = pass.rows, g.chunk_rows = chunk_rows(pass.rows);
  g.chunks = static_cast<int>(tiles_of(g.rows, g.chunk_rows));
  g.partial = partial;
  unsigned sum_blocks = 0;
  const auto add_sum = [&](const float* from, int64_t items, int64_t stride, int64_t to, int64_t cols) {
    g.sum[g.sums++] = {from, items, stride, pass.dparams + to, static_cast<int>(cols), sum_blocks};
    sum_blocks += static_cast<unsigned>(tiles_of(cols, 32));
  };
  for (int l = 0; l < s.layers; ++l) {
    const int64_t in = s.width[l], out = s.width[l + 1];
    const bool last = l + 1 == s.layers;
    const Kept here = last ? Kept{} : kept_layer(s, l, pass.rows, kept);
    const Factor h = l ? factor(kept_layer(s, l - 1, pass.rows, kept).h, pitch_of(in), pass.rows, in)
                       : factor(pass.x, in, pass.rows, in);
    const Factor dz = last ? factor(pass.dy, out, pass.rows, out) : factor(here.dz, pitch_of(out), pass.rows, out);
    const unsigned across = static_cast<unsigned>(tiles_of(out, ProductTile::size));
    g.weight[g.weights++] = {h, dz, pass.dparams + s.weight[l], in, out, g.chunk_size, g.weight_blocks, across};
    g.weight_blocks += across * static_cast<unsigned>(tiles_of(in, ProductTile::size));
    g.chunk_size += in * out;
    if (last) {
      add_sum(pass.dy, pass.rows, out, s.bias[l], out);
    } else {
      const int64_t pitch = pitch_of(out), items = items_of(tiles);
      add_sum(here.sums, items, 3 * pitch, s.bias[l], out);
      if (s.norm == Norm::none) continue;
      add_sum(here.sums + pitch, items, 3 * pitch, s.shift[l], out);
      add_sum(here.sums + 2 * pitch, items, 3 * pitch, s.scale[l], out);
    }
  }
  launch(parameter_kernel, dim3(g.weight_blocks + sum_blocks, static_cast<unsigned>(g.chunks)), ProductTile::threads,
         ProductTile::shared_bytes, g);
  if (g.chunks > 1) launch(add_weight_chunks, dim3(64, static_cast<unsigned>(g.weights)), 256, 0, g);
}

}  // namespace

void chain_value_and_gradient(const ForwardPass& pass, float* gradient) {
  if (pass.rows == 0) return;
  if (widest_hidden(*pass.shape) > 256) gradient_in_tiles<Tile<1, 8>>(pass, gradient);
  else if (pass.rows <= few_rows()) gradient_in_tiles<Tile<1, 4>>(pass, gradient);
  else gradient_in_tiles<Tile<2, 4>>(pass, gradient);
}

int64_t chain_backward_workspace(const MlpShape& s, int64_t rows) {
  int64_t size = 4;   // to align
  for (int l = 0; l + 1 < s.layers; ++l) size += kept_size(s.width[l + 1], rows);
  const int64_t chunks = tiles_of(rows, chunk_rows(rows));
  return size + (chunks > 1 ? chunks * weights_size(s) : 0);
}

void chain_backward(const BackwardPass& pass, float* workspace) {
  if (pass.rows == 0) return;
  const MlpShape& s = *pass.shape;
  float* const kept = aligned(workspace);
  float* const partial = kept_layer(s, s.layers - 1, pass.rows, kept).h;   // what lies behind the last hidden layer
  const int64_t tiles = widest_hidden(s) > 256   ? backward_in_tiles<Tile<1, 8>>(pass, kept)
                        : pass.rows <= few_rows()     ? backward_in_tiles<Tile<1, 4>>(pass, kept)
                                                 : backward_in_tiles<Tile<2, 4>>(pass, kept);
  if (pass.dparams) add_gradients(pass, tiles, kept, partial);
}

}  // namespace meander::kernels::MEANDER_CUDA
