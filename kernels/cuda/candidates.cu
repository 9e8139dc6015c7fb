#include <meander/kernels/candidates.h>

#include <meander/kernels/cuda/candidates_plan.h>
#include <meander/kernels/cuda/mlp_rows.cuh>
#include <meander/kernels/cuda/random.h>

// kernels/candidates.h in one launch. All blocks run at the same time and each has some columns of every hidden layer's
// weights in shared memory, from the first step to the last; so no weight is read twice, and a layer takes the time of its
// slice on one multiprocessor; where there is no room for all of that, candidates go in turns and weights are read again
// (candidates_plan.h decides). A block writes its columns of a layer's sums, all blocks wait for each other, and each
// then works out norm and activation of all of them for itself, as it does what is too small to share: the noise, the
// first layer, whose share of the state is computed once, and the policy's last. The second half of the blocks has the
// second critic.
namespace meander::kernels::MEANDER_CUDA {
namespace {

// A row of activations as mlp_rows.cuh has it.
struct Widest {
  static constexpr int columns = candidates_plan::most_width;
};
using Numbers = Row<Widest>;

static_assert(candidates_plan::threads == chain_threads && candidates_plan::warps == warps);

struct Plan {
  CandidatesArguments c;
  MlpShape flow, critic;
  CandidatesPlan at;
  // Device memory: the state's share of the first layer of policy and critics, bias included; sums of a layer, written
  // and read in turns, [2][2 critics, rows, sums_pitch].
  float *start[3], *sums;
  uint32_t* arrived;                    // of wait_for_grid
};

// A network as a block sees it: which part it has, the parameters, where its sums go.
struct View {
  const MlpShape& shape;
  const CandidatesPlan::Network& network;
  const float* params;
  float* start;
  int part, critic;

  __device__ int width(int l) const { return static_cast<int>(shape.width[l]); }
  __device__ int last() const { return shape.layers - 1; }
};

// ---- what is done once ----------------------------------------------------------------------------------------------

// The block's columns of the layers that are kept, on their way to shared memory. The policy's last layer goes to all blocks.
__device__ void fetch_slices(float* shared, const View& v, bool whole_last) {
  for (int l = 1; l <= v.last(); ++l) {
    if (v.network.slice[l] < 0) continue;
    const int k = v.width(l), n = v.width(l + 1), columns = v.network.columns[l];
    const int first = whole_last && l == v.last() ? 0 : v.part * columns;
    const int valid = n - first < 0 ? 0 : n - first < columns ? n - first : columns;
    const float* const from = v.params + v.shape.weight[l];
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
  const float* const weight = v.params + v.shape.weight[0] + int64_t{first_input} * n;
  float sum = 0;
  if (split < splits && j < n)
#pragma unroll 4
    for (int i = split; i < c.observations; i += splits) sum = fmaf(state[i], weight[int64_t{i} * n + j], sum);
  partial[threadIdx.x] = sum;
  __syncthreads();
  if (split == 0 && j < n) {
    sum = v.params[v.shape.bias[0] + j];
    for (int s = 0; s < splits; ++s) sum += partial[s * columns + col];
    v.start[j] = sum;
  }
  __syncthreads();
}

// ---- a layer --------------------------------------------------------------------------------------------------------

// The first layer's sums of so many rows, from what they begin with: start, and `more` unless it is null.
__device__ void first_layer(const Plan& p, const View& v, int first_input, int own_inputs, const float* more, int rows,
                            const float* x, float* activations) {
  const int n = v.width(1), actions = static_cast<int>(p.c.actions);
  const float* const weight = v.params + v.shape.weight[0] + int64_t{first_input} * n;
  for (int j = static_cast<int>(threadIdx.x); j < n; j += chain_threads) {
    const float begin = v.start[j] + (more ? more[j] : 0.0f);
    for (int first = 0; first < rows; first += 8) {
      float sum[8];
#pragma unroll
      for (int r = 0; r < 8; ++r) sum[r] = begin;
#pragma unroll 2
      for (int i = 0; i < own_inputs; ++i) {
        const float w = weight[i * n + j];
#pragma unroll
        for (int r = 0; r < 8; ++r) sum[r] = fmaf(x[(first + r) * actions + i], w, sum[r]);
      }
#pragma unroll
      for (int r = 0; r < 8; ++r)
        if (first + r < rows) activations[(first + r) * p.at.pitch + j] = sum[r];
    }
  }
  __syncthreads();
}

// Layer l's sums, `from_pitch` apart, become its output in shared memory: a warp takes a row. Zero beyond the width. The
// first layer's have their bias.
__device__ void finish_layer(const Plan& p, const View& v, int l, int rows, const float* from, int from_pitch,
                             float* activations) {
  const MlpShape& shape = v.shape;
  const int cols = v.width(l + 1);
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
    store_pairs(activations + i * p.at.pitch, row, (cols + 31) / 32 * 32);
  }
  __syncthreads();
}

// A lane's column of a tile of weights in shared memory, and of one where the network lies, with zeros beyond.
struct KeptWeights {
  const float* column;
  int pitch;
  __device__ float operator()(int k) const { return column[k * pitch]; }
};
struct FetchedWeights {
  const float* column;
  int pitch, rows;   // 0: the column is beyond the last
  __device__ float operator()(int k) const { return k < rows ? column[int64_t{k} * pitch] : 0.0f; }
};

// The sums over a warp's share of k for 8 columns from `tile` on, to partial [warps, rows, p.at.tile]. A lane has one
// column, and every fourth row.
template <class Weights>
__device__ void multiply_tile(const Plan& p, int rows, int share, const float* input, Weights weight, float* partial) {
  const int group = lane_index() / 8;
  for (int first = 0; first < rows; first += 16) {
    const float* a[4];
    float sum[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int row = first + 4 * j + group;
      a[j] = input + (row < rows ? row : rows - 1) * p.at.pitch;
      sum[j] = 0;
    }
    for (int k = 0; k < share; k += 4) {
      const float w[4] = {weight(k), weight(k + 1), weight(k + 2), weight(k + 3)};
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
      if (row < rows) partial[(warp_index() * rows + row) * p.at.tile] = sum[j];
    }
  }
}

// sink(row, column, sum) for the block's columns, from `first_column` on in the layer, of activations times the weights
// of layer l. A warp has an eighth of k.
template <class Sink>
__device__ void multiply_layer(const Plan& p, const View& v, int l, int first_column, int rows, const float* activations,
                               float* shared, Sink sink) {
  const int columns = v.network.columns[l], n = v.width(l + 1), share = (v.width(l) + 31) / 32 * 4;
  const int begin = warp_index() * share, slice = v.network.slice[l];
  float* const partial = shared + p.at.partial;
  for (int tiles = 0; tiles < columns; tiles += p.at.tile) {
    const int width = columns - tiles < p.at.tile ? columns - tiles : p.at.tile;
    for (int tile = 0; tile < width; tile += 8) {
      const int col = tiles + tile + lane_index() % 8, j = first_column + col;
      float* const to = partial + tile + lane_index() % 8;
      if (slice >= 0) {
        multiply_tile(p, rows, share, activations + begin, KeptWeights{shared + slice + begin * columns + col, columns}, to);
      } else {
        const int left = j < n ? v.width(l) - begin : 0;
        const float* const from = v.params + v.shape.weight[l] + int64_t{left > 0 ? begin : 0} * n + (left > 0 ? j : 0);
        multiply_tile(p, rows, share, activations + begin, FetchedWeights{from, n, left}, to);
      }
    }
    __syncthreads();
    for (int e = static_cast<int>(threadIdx.x); e < rows * width; e += chain_threads) {
      const int row = e / width, col = e % width;
      float sum = 0;
#pragma unroll
      for (int w = 0; w < warps; ++w) sum += partial[(w * rows + row) * p.at.tile + col];
      sink(row, tiles + col, sum);
    }
    if (tiles + width < columns) __syncthreads();
  }
}

// The block's columns of layer l for all rows to `sums`, and what all other blocks have of theirs. The bias is added to
// the last layer's.
__device__ float* share_layer(const Plan& p, const View& v, int l, int rows, const float* activations, float* shared,
                              int& turn) {
  const int n = v.width(l + 1), first = v.part * v.network.columns[l];
  float* const sums = p.sums + (turn * 2 + v.critic) * p.at.rows * p.at.sums_pitch;
  const float* const bias = l == v.last() ? v.params + v.shape.bias[l] : nullptr;
  turn ^= 1;   // while some still read what was written last, this goes elsewhere
  if (first < n)
    multiply_layer(p, v, l, first, rows, activations, shared, [&](int row, int col, float sum) {
      const int j = first + col;
      if (j < n) sums[row * p.at.sums_pitch + j] = sum + (bias ? bias[j] : 0.0f);
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

// Q of so many rows, behind the outputs of the first critic and, beyond them, the second's.
__device__ void score(const Plan& p, int rows, const float* outputs, float* q) {
  const CandidatesArguments& c = p.c;
  const int n = static_cast<int>(p.critic.width[p.critic.layers]);
  for (int i = warp_index(); i < rows; i += warps) {
    const float q1 = value_of(outputs + i * p.at.sums_pitch, n, c.atoms);
    const float q2 = value_of(outputs + (p.at.rows + i) * p.at.sums_pitch, n, c.atoms);
    if (lane_index() == 0) q[i] = c.smaller ? minimum(q1, q2) : 0.5f * (q1 + q2);
  }
}

__device__ void choose(const Plan& p, const float* x, const float* q) {
  const CandidatesArguments& c = p.c;
  const int all = static_cast<int>(c.candidates), actions = static_cast<int>(c.actions);
  int best = 0;   // by every thread for itself; a NaN is never larger, nor is anything larger than one
  if (c.critic)
    for (int i = 1; i < all; ++i)
      if (q[i] > q[best]) best = i;
  for (int i = static_cast<int>(threadIdx.x); i < all * actions; i += chain_threads) {
    if (c.all) c.all[i] = x[i];
    if (i < actions) c.action[i] = x[best * actions + i];
    if (c.q && c.critic && i < all) c.q[i] = q[i];
  }
}

// ---- the kernel -----------------------------------------------------------------------------------------------------

__global__ void __launch_bounds__(chain_threads) candidates_kernel(const __grid_constant__ Plan p) {
  const CandidatesArguments& c = p.c;
  float* const shared = shared_memory<float>();
  float* const activations = shared;
  float *const all_x = shared + p.at.x, *const q = shared + p.at.q;
  const int actions = static_cast<int>(c.actions), all = static_cast<int>(c.candidates);
  const int own_inputs = c.drawn ? actions : 0;   // of the policy
  const int block = static_cast<int>(blockIdx.x), which = c.critic && block >= p.at.critic.parts ? 1 : 0;
  const auto view = [&](bool critic) {
    return critic ? View{p.critic, p.at.critic, c.critic_params[which], p.start[1 + which],
                         block - which * p.at.critic.parts, which}
                  : View{p.flow, p.at.flow, c.flow_params, p.start[0], block, 0};
  };

  // Once: it may lie in the host's memory, a microsecond away.
  for (int i = static_cast<int>(threadIdx.x); i < c.observations; i += chain_threads) activations[i] = c.state[i];
  draw_noise(c, all_x);
  __syncthreads();
  for (int n = 0; n < (c.critic ? 2 : 1); ++n) {
    const View v = view(n);
    fetch_slices(shared, v, n == 0);
    project_state(c, v, n == 0 ? own_inputs : 0, activations, shared + p.at.partial);
  }
  copy_async_commit();
  copy_async_wait<0>();
  wait_for_grid(p.arrived);

  // The passes of the policy, then one of the critics: in one loop, for the kernel should fit in the instruction cache.
  const int steps = static_cast<int>(c.steps);
  const float step = static_cast<float>(-1.0 / static_cast<double>(steps));
  int turn = 0;
  for (int first = 0; first < all; first += p.at.rows) {
    const int rows = all - first < p.at.rows ? all - first : p.at.rows;
    float* const x = all_x + first * actions;
    const float* sums = nullptr;
    for (int pass = 0; pass < steps + (c.critic ? 1 : 0); ++pass) {
      const bool scoring = pass == steps;
      const View v = view(scoring);
      for (int l = 0; l < v.last(); ++l) {
        if (l == 0)
          first_layer(p, v, scoring ? static_cast<int>(c.observations) : 0, scoring ? actions : own_inputs,
                      scoring || !c.times ? nullptr : c.times + int64_t{pass} * v.width(1), rows, x, activations);
        else
          sums = share_layer(p, v, l, rows, activations, shared, turn);
        finish_layer(p, v, l, rows, l == 0 ? activations : sums, l == 0 ? p.at.pitch : p.at.sums_pitch, activations);
      }
      if (scoring) {
        sums = share_layer(p, v, v.last(), rows, activations, shared, turn);
        // The others go on to the next turn, but write no sums there before all have met again.
        if (block == 0) score(p, rows, sums, q + first);
        break;
      }
      const float* const bias = v.params + v.shape.bias[v.last()];
      multiply_layer(p, v, v.last(), 0, rows, activations, shared, [&](int row, int col, float sum) {
        if (col >= actions) return;
        float& to = x[row * actions + col];
        to = c.direct ? sum + bias[col] : to + step * (sum + bias[col]);
        if (pass + 1 == steps) to = c.squash ? tanh(to) : minimum(maximum(to, -1.0f), 1.0f);
      });
      __syncthreads();
    }
  }
  __syncthreads();
  if (block == 0) choose(p, all_x, q);
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

// The plan for this device; of what was asked for last it is known.
const CandidatesPlan& plan_here(const CandidatesArguments& c) {
  struct Asked {
    int64_t sizes[4];
    bool scored;
    MlpShape flow, critic;
    DeviceRoom room;
    bool operator==(const Asked&) const = default;
  };
  thread_local Asked last{};
  thread_local CandidatesPlan plan{};
  const Asked now{{c.candidates, c.observations, c.actions, c.steps}, c.critic != nullptr, *c.flow,
                  c.critic ? *c.critic : MlpShape{}, device_room()};
  if (now == last) return plan;
  last = now;
  plan = plan_candidates(c, now.room);
  // A device that cannot keep a block on each multiprocessor, for another program's sake perhaps.
  if (plan.blocks && blocks_together(candidates_kernel, chain_threads, static_cast<size_t>(plan.shared_bytes())) < plan.blocks)
    plan = {};
  return plan;
}

int64_t start_size(const CandidatesArguments& c) {
  return candidates_plan::whole(std::max(c.flow->width[1], c.critic ? c.critic->width[1] : 0), 4);
}

}  // namespace

int64_t candidates_workspace(const CandidatesArguments& c) {
  const CandidatesPlan& plan = plan_here(c);
  return plan.blocks ? 3 * start_size(c) + int64_t{4} * plan.rows * plan.sums_pitch : 0;
}

void best_candidate(const CandidatesArguments& c, float* workspace) {
  Plan p{.c = c, .flow = *c.flow, .critic = c.critic ? *c.critic : MlpShape{}, .at = plan_here(c)};
  for (int i = 0; i < 3; ++i) p.start[i] = workspace + i * start_size(c);
  p.sums = workspace + 3 * start_size(c);
  p.arrived = arrived();
  launch_together(candidates_kernel, static_cast<unsigned>(p.at.blocks), chain_threads,
                  static_cast<size_t>(p.at.shared_bytes()), p);
}

}  // namespace meander::kernels::MEANDER_CUDA
