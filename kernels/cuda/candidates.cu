#include <meander/kernels/candidates.h>

#include <meander/kernels/cuda/mlp_rows.cuh>
#include <meander/kernels/cuda/random.h>

// kernels/candidates.h in one launch. All blocks run at the same time and each has some columns of every hidden layer's
// weights in shared memory, from the first step to the last; so no weight is read twice, and a layer takes the time of its
// slice on one multiprocessor. A block writes its columns of a layer's sums, all blocks wait for each other, and each
// then works out norm and activation of all of them for itself, as it does what is too small to share: the noise, the
// first layer, whose share of the state is computed once, and the policy's last. The second half of the blocks has the
// second critic.
namespace meander::kernels::MEANDER_CUDA {
namespace {

constexpr int most_width = 512;

// A row of activations as mlp_rows.cuh has it.
struct Widest {
  static constexpr int columns = most_width;
};
using Numbers = Row<Widest>;

inline int whole(int64_t n, int64_t step) { return static_cast<int>((n + step - 1) / step * step); }

// Of a network, what one of the `parts` blocks that share it has.
struct SharedNetwork {
  MlpShape shape;
  int parts;
  int columns[MlpShape::max_layers];    // of each layer, a multiple of 8
  int slice[MlpShape::max_layers];      // where they lie in shared memory, [width[l] up to a multiple of 32, columns];
                                        // layers from 1 on
};

struct Plan {
  CandidatesArguments c;
  SharedNetwork flow, critic;
  // Shared memory, in floats: activations [K, pitch], at first the state, x [K up to a multiple of 8, A], partial sums,
  // slices.
  int pitch, x, partial, floats;
  // Device memory: the state's share of the first layer of policy and critics, bias included; sums of a layer, written
  // and read in turns, [2][2 critics, K, sums_pitch].
  float *start[3], *sums;
  int sums_pitch;
  uint32_t* arrived;                    // of wait_for_grid
};

// A network as a block sees it: which part it has, the parameters, where its sums go.
struct View {
  const SharedNetwork& network;
  const float* params;
  float* start;
  int part, critic;

  __device__ int width(int l) const { return static_cast<int>(network.shape.width[l]); }
  __device__ int last() const { return network.shape.layers - 1; }
};

// ---- what is done once ----------------------------------------------------------------------------------------------

// The block's columns of all layers from 1 on, on their way to shared memory. The policy's last layer goes to all blocks.
__device__ void fetch_slices(float* shared, const View& v, bool whole_last) {
  for (int l = 1; l <= v.last(); ++l) {
    const int k = v.width(l), n = v.width(l + 1), columns = v.network.columns[l];
    const int first = whole_last && l == v.last() ? 0 : v.part * columns;
    const int valid = n - first < 0 ? 0 : n - first < columns ? n - first : columns;
    const float* const from = v.params + v.network.shape.weight[l];
    const bool aligned = n % 4 == 0 && reinterpret_cast<uintptr_t>(from) % 16 == 0;
    copy_part(shared + v.network.slice[l], columns, from + (valid ? first : 0), n, (k + 31) / 32 * 32, k, columns, valid,
              aligned, aligned ? 1 : 3);
  }
}

// x_k ~ N(0, I), and zeros up to a multiple of 8 rows.
__device__ void draw_noise(const CandidatesArguments& c, float* x) {
  const int n = static_cast<int>(c.candidates * c.actions), all = static_cast<int>((c.candidates + 7) / 8 * 8 * c.actions);
  for (int e = static_cast<int>(threadIdx.x) * 4; e < all; e += chain_threads * 4) {
    I word[4];
    philox_words(c.noise, c.noise.step, e / 4, word);
    float y[4];
    Normal{}(word, y);
    for (int i = 0; i < 4 && e + i < all; ++i) x[e + i] = e + i < n ? y[i] : 0.0f;
  }
}

// v.start = bias + state W over the inputs first_input, ...: the block's columns of it.
__device__ void project_state(const CandidatesArguments& c, const View& v, int first_input, const float* state,
                              float* partial) {
  const int n = v.width(1), columns = v.network.columns[0], splits = chain_threads / columns;
  const int col = static_cast<int>(threadIdx.x) % columns, split = static_cast<int>(threadIdx.x) / columns;
  const int j = v.part * columns + col;
  const float* const weight = v.params + v.network.shape.weight[0] + int64_t{first_input} * n;
  float sum = 0;
  if (split < splits && j < n)
#pragma unroll 4
    for (int i = split; i < c.observations; i += splits) sum = fmaf(state[i], weight[int64_t{i} * n + j], sum);
  partial[threadIdx.x] = sum;
  __syncthreads();
  if (split == 0 && j < n) {
    sum = v.params[v.network.shape.bias[0] + j];
    for (int s = 0; s < splits; ++s) sum += partial[s * columns + col];
    v.start[j] = sum;
  }
  __syncthreads();
}

// ---- a layer --------------------------------------------------------------------------------------------------------

// The first layer's sums of all rows, from what they begin with: start, and `more` unless it is null.
__device__ void first_layer(const Plan& p, const View& v, int first_input, const float* more, const float* x,
                            float* activations) {
  const int n = v.width(1), actions = static_cast<int>(p.c.actions), rows = static_cast<int>(p.c.candidates);
  const float* const weight = v.params + v.network.shape.weight[0] + int64_t{first_input} * n;
  for (int j = static_cast<int>(threadIdx.x); j < n; j += chain_threads) {
    const float begin = v.start[j] + (more ? more[j] : 0.0f);
    for (int first = 0; first < rows; first += 8) {
      float sum[8];
#pragma unroll
      for (int r = 0; r < 8; ++r) sum[r] = begin;
#pragma unroll 2
      for (int i = 0; i < actions; ++i) {
        const float w = weight[i * n + j];
#pragma unroll
        for (int r = 0; r < 8; ++r) sum[r] = fmaf(x[(first + r) * actions + i], w, sum[r]);
      }
#pragma unroll
      for (int r = 0; r < 8; ++r)
        if (first + r < rows) activations[(first + r) * p.pitch + j] = sum[r];
    }
  }
  __syncthreads();
}

// Layer l's sums, `from_pitch` apart, become its output in shared memory: a warp takes a row. Zero beyond the width. The
// first layer's have their bias.
__device__ void finish_layer(const Plan& p, const View& v, int l, const float* from, int from_pitch, float* activations) {
  const MlpShape& shape = v.network.shape;
  const int cols = v.width(l + 1), rows = static_cast<int>(p.c.candidates);
  for (int i = warp_index(); i < rows; i += warps) {
    Numbers row = load_row<Widest>(from + i * from_pitch, cols);
    if (l > 0) {
      const Numbers begin = load_row<Widest>(v.params + shape.bias[l], cols);
#pragma unroll
      for (int j = 0; j < row.count; ++j) row[j] += begin[j];
    }
    float mean, rstd;
    const auto norm = [&] {
      normalise(row, cols, shape.norm_eps, mean, rstd);
      scale_and_shift(row, load_row<Widest>(v.params + shape.scale[l], cols),
                      load_row<Widest>(v.params + shape.shift[l], cols));
    };
    if (shape.norm == Norm::before_activation) norm();
    activate_row(shape.activation, row);
    clear_beyond(row, cols);
    if (shape.norm == Norm::after_activation) norm(), clear_beyond(row, cols);
    store_pairs(activations + i * p.pitch, row, (cols + 31) / 32 * 32);
  }
  __syncthreads();
}

// sink(row, column, sum) for the block's `columns` columns of activations times the weights of layer l. A warp has an
// eighth of k; a lane one column, and every fourth row.
template <class Sink>
__device__ void multiply_layer(const Plan& p, const View& v, int l, const float* activations, float* shared, Sink sink) {
  const int columns = v.network.columns[l], rows = static_cast<int>(p.c.candidates);
  const int share = (v.width(l) + 31) / 32 * 4, col = lane_index() % 8, group = lane_index() / 8;
  const float* const slice = shared + v.network.slice[l] + warp_index() * share * columns;
  const float* const input = activations + warp_index() * share;
  float* const partial = shared + p.partial;
  for (int tile = 0; tile < columns; tile += 8)
    for (int first = 0; first < rows; first += 16) {
      const float* a[4];
      float sum[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int row = first + 4 * j + group;
        a[j] = input + (row < rows ? row : rows - 1) * p.pitch;
        sum[j] = 0;
      }
      for (int k = 0; k < share; k += 4) {
        const float* const b = slice + k * columns + tile + col;
        const float w[4] = {b[0], b[columns], b[2 * columns], b[3 * columns]};
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          if (first + 4 * j >= rows) break;
          const float4 h = *reinterpret_cast<const float4*>(a[j] + k);
          sum[j] = fmaf(h.x, w[0], sum[j]), sum[j] = fmaf(h.y, w[1], sum[j]);
          sum[j] = fmaf(h.z, w[2], sum[j]), sum[j] = fmaf(h.w, w[3], sum[j]);
        }
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int row = first + 4 * j + group;
        if (row < rows) partial[(warp_index() * rows + row) * columns + tile + col] = sum[j];
      }
    }
  __syncthreads();
  for (int e = static_cast<int>(threadIdx.x); e < rows * columns; e += chain_threads) {
    float sum = 0;
#pragma unroll
    for (int w = 0; w < warps; ++w) sum += partial[w * rows * columns + e];
    sink(e / columns, e % columns, sum);
  }
}

// The block's columns of layer l for all rows to `sums`, and what all other blocks have of theirs. The bias is added to
// the last layer's.
__device__ float* share_layer(const Plan& p, const View& v, int l, const float* activations, float* shared, int& turn) {
  const int n = v.width(l + 1), first = v.part * v.network.columns[l], rows = static_cast<int>(p.c.candidates);
  float* const sums = p.sums + (turn * 2 + v.critic) * rows * p.sums_pitch;
  const float* const bias = l == v.last() ? v.params + v.network.shape.bias[l] : nullptr;
  turn ^= 1;   // while some still read what was written last, this goes elsewhere
  if (first < n)
    multiply_layer(p, v, l, activations, shared, [&](int row, int col, float sum) {
      const int j = first + col;
      if (j < n) sums[row * p.sums_pitch + j] = sum + (bias ? bias[j] : 0.0f);
    });
  wait_for_grid(p.arrived);
  return sums;
}

// ---- the choice -----------------------------------------------------------------------------------------------------

__device__ float warp_max(float x) {
#pragma unroll
  for (int bits = 16; bits > 0; bits /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, bits));
  return x;
}

// The value behind a critic's outputs, by a warp.
__device__ float value_of(const float* outputs, int n, const float* atoms) {
  if (!atoms) return outputs[0];
  float largest = -INFINITY, weight = 0, weighted = 0;
  for (int j = lane_index(); j < n; j += 32) largest = fmaxf(largest, outputs[j]);
  largest = warp_max(largest);
  for (int j = lane_index(); j < n; j += 32) {
    const float e = exp(outputs[j] - largest);
    weight += e;
    weighted = fmaf(e, atoms[j], weighted);
  }
  return warp_sum(weighted) / warp_sum(weight);
}

__device__ void choose(const Plan& p, const float* outputs, const float* x, float* q) {
  const CandidatesArguments& c = p.c;
  const int rows = static_cast<int>(c.candidates), actions = static_cast<int>(c.actions);
  if (c.critic) {
    const int n = static_cast<int>(p.critic.shape.width[p.critic.shape.layers]);
    for (int i = warp_index(); i < rows; i += warps) {
      const float q1 = value_of(outputs + i * p.sums_pitch, n, c.atoms);
      const float q2 = value_of(outputs + (rows + i) * p.sums_pitch, n, c.atoms);
      if (lane_index() == 0) q[i] = c.smaller ? minimum(q1, q2) : 0.5f * (q1 + q2);
    }
    __syncthreads();
  }
  int best = 0;   // by every thread for itself; a NaN is never larger, nor is anything larger than one
  if (c.critic)
    for (int i = 1; i < rows; ++i)
      if (q[i] > q[best]) best = i;
  for (int i = static_cast<int>(threadIdx.x); i < rows * actions; i += chain_threads) {
    if (c.all) c.all[i] = x[i];
    if (i < actions) c.action[i] = x[best * actions + i];
    if (c.q && c.critic && i < rows) c.q[i] = q[i];
  }
}

// ---- the kernel -----------------------------------------------------------------------------------------------------

__global__ void __launch_bounds__(chain_threads) candidates_kernel(const __grid_constant__ Plan p) {
  const CandidatesArguments& c = p.c;
  float* const shared = shared_memory<float>();
  float* const activations = shared;
  float* const x = shared + p.x;
  const int actions = static_cast<int>(c.actions), block = static_cast<int>(blockIdx.x);
  const int which = c.critic && block >= p.critic.parts ? 1 : 0;
  const auto view = [&](bool critic) {
    return critic ? View{p.critic, c.critic_params[which], p.start[1 + which], block - which * p.critic.parts, which}
                  : View{p.flow, c.flow_params, p.start[0], block, 0};
  };

  // Once: it may lie in the host's memory, a microsecond away.
  for (int i = static_cast<int>(threadIdx.x); i < c.observations; i += chain_threads) activations[i] = c.state[i];
  draw_noise(c, x);
  __syncthreads();
  for (int n = 0; n < (c.critic ? 2 : 1); ++n) {
    const View v = view(n);
    fetch_slices(shared, v, n == 0);
    project_state(c, v, n == 0 ? actions : 0, activations, shared + p.partial);
  }
  copy_async_commit();
  copy_async_wait<0>();
  wait_for_grid(p.arrived);

  // The passes of the policy, then one of the critics: in one loop, for the kernel should fit in the instruction cache.
  const int steps = static_cast<int>(c.steps);
  const float step = static_cast<float>(-1.0 / static_cast<double>(steps));
  const float* sums = nullptr;
  int turn = 0;
  for (int pass = 0; pass < steps + (c.critic ? 1 : 0); ++pass) {
    const bool scoring = pass == steps;
    const View v = view(scoring);
    for (int l = 0; l < v.last(); ++l) {
      if (l == 0)
        first_layer(p, v, scoring ? static_cast<int>(c.observations) : 0,
                    scoring ? nullptr : c.times + int64_t{pass} * v.width(1), x, activations);
      else
        sums = share_layer(p, v, l, activations, shared, turn);
      finish_layer(p, v, l, l == 0 ? activations : sums, l == 0 ? p.pitch : p.sums_pitch, activations);
    }
    if (scoring) {
      sums = share_layer(p, v, v.last(), activations, shared, turn);
      break;
    }
    const float* const bias = v.params + v.network.shape.bias[v.last()];
    multiply_layer(p, v, v.last(), activations, shared, [&](int row, int col, float sum) {
      if (col >= actions) return;
      float& to = x[row * actions + col];
      to += step * (sum + bias[col]);
      if (pass + 1 == steps) to = c.squash ? tanh(to) : minimum(maximum(to, -1.0f), 1.0f);
    });
    __syncthreads();
  }
  if (block == 0) choose(p, sums, x, shared + p.partial);   // of the first critic, the second's beyond
}

// ---- host -----------------------------------------------------------------------------------------------------------

// The device's one number for wait_for_grid: kernels of one stream follow each other.
uint32_t* arrived() {
  static uint32_t* const one = [] {
    void* const p = table().allocate(sizeof(uint32_t));
    table().fill(p, 0, sizeof(uint32_t));
    return static_cast<uint32_t*>(p);
  }();
  return one;
}

void lay_out(SharedNetwork& network, const MlpShape& shape, int parts, bool whole_last, int& floats) {
  network.shape = shape;
  network.parts = parts;
  for (int l = 0; l < shape.layers; ++l) {
    const bool all = whole_last && l == shape.layers - 1;
    network.columns[l] = whole(all ? shape.width[l + 1] : (shape.width[l + 1] + parts - 1) / parts, 8);
    network.slice[l] = floats;
    if (l > 0) floats += whole(shape.width[l], 32) * network.columns[l];
  }
}

bool fits(const MlpShape& shape) {
  for (int l = 1; l < shape.layers; ++l)
    if (shape.width[l] > most_width) return false;
  return shape.layers > 1;
}

// The plan for so many blocks, but for where device memory is.
Plan plan_for(const CandidatesArguments& c, int blocks) {
  Plan p{};
  p.c = c;
  int64_t widest = 0, most_columns = 32;
  const auto look = [&](const MlpShape& shape) {
    for (int l = 1; l <= shape.layers; ++l) widest = std::max(widest, shape.width[l]);
  };
  look(*c.flow);
  if (c.critic) look(*c.critic);
  p.pitch = whole(widest, 32) + 4;
  p.sums_pitch = whole(widest, 4);
  const int rows = static_cast<int>(c.candidates);
  p.x = std::max(rows * p.pitch, whole(c.observations, 4));
  p.partial = p.x + whole(whole(rows, 8) * c.actions, 4);
  p.floats = 0;
  lay_out(p.flow, *c.flow, blocks, true, p.floats);
  if (c.critic) lay_out(p.critic, *c.critic, blocks / 2, false, p.floats);
  for (const SharedNetwork* n : {&p.flow, &p.critic})
    for (int l = 0; l < n->shape.layers; ++l) most_columns = std::max<int64_t>(most_columns, n->columns[l]);
  const int slices = p.partial + static_cast<int>(std::max<int64_t>(chain_threads, warps * rows * most_columns));
  for (SharedNetwork* n : {&p.flow, &p.critic})
    for (int l = 0; l < n->shape.layers; ++l) n->slice[l] += slices;
  p.floats += slices;
  return p;
}

// As many blocks as give each 8 columns of the policy's layers and 16 of its critic's, or as many as there is room for;
// 0 if the networks are too large for that.
int blocks_for(const CandidatesArguments& c) {
  if (c.actions > most_width || !fits(*c.flow) || (c.critic && !fits(*c.critic))) return 0;
  int64_t columns = 0;
  for (int l = 1; l < c.flow->layers; ++l) columns = std::max(columns, c.flow->width[l]);
  if (c.critic)
    for (int l = 1; l <= c.critic->layers; ++l) columns = std::max(columns, c.critic->width[l]);
  for (int blocks = std::max(2, whole(columns, 8) / 8); blocks >= 2; blocks = blocks * 3 / 4 / 2 * 2) {
    const Plan p = plan_for(c, blocks);
    if (p.flow.columns[0] > chain_threads || p.critic.columns[0] > chain_threads) return 0;
    if (blocks_together(candidates_kernel, chain_threads, static_cast<size_t>(p.floats) * sizeof(float)) >= blocks)
      return blocks;
  }
  return 0;
}

int64_t start_size(const CandidatesArguments& c) {
  return whole(std::max(c.flow->width[1], c.critic ? c.critic->width[1] : 0), 4);
}

}  // namespace

int64_t candidates_workspace(const CandidatesArguments& c) {
  const int blocks = blocks_for(c);
  return blocks ? 3 * start_size(c) + 4 * c.candidates * plan_for(c, blocks).sums_pitch : 0;
}

void best_candidate(const CandidatesArguments& c, float* workspace) {
  const int blocks = blocks_for(c);
  Plan p = plan_for(c, blocks);
  for (int i = 0; i < 3; ++i) p.start[i] = workspace + i * start_size(c);
  p.sums = workspace + 3 * start_size(c);
  p.arrived = arrived();
  launch_together(candidates_kernel, static_cast<unsigned>(blocks), chain_threads,
                  static_cast<size_t>(p.floats) * sizeof(float), p);
}

}  // namespace meander::kernels::MEANDER_CUDA
