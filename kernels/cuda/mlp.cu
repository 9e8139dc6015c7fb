#include <algorithm>

#include "kernels/cuda/mlp_pass.h"
#include "kernels/cuda/products.cuh"

// The functions of kernels/mlp.h on a device: which form a network takes, and how its workspace is cut up.
namespace meander::kernels::MEANDER_CUDA {
namespace {

// Functions that keep something of each row in their workspace take so many rows at once.
constexpr int64_t block_rows = 4096;

// The next multiple of 16 bytes.
float* aligned(float* p) { return reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(p) + 15) / 16 * 16); }

void run_forward(const ForwardPass& pass, float* workspace, bool plain = false) {
  const MlpShape& s = *pass.shape;
  const int64_t out = s.width[s.layers], leading = pass.rows - pass.tangent_rows;
  if (pass.tape) return layers_forward(pass, workspace, plain);
  const int64_t step = std::max<int64_t>(1, pass.tangent_rows ? 2 * block_rows / (1 + pass.directions) : block_rows);
  for (int64_t first = 0, rows; first < pass.rows; first += rows) {
    ForwardPass part = pass;
    rows = part.rows = std::min(first < leading ? std::min(step, leading - first) : step, pass.rows - first);
    part.x += first * pass.x_cols, part.y += first * out, part.first_row += first;
    part.tangent_rows = first < leading ? 0 : rows;
    if (first >= leading) {
      part.dx += (first - leading) * pass.directions * pass.dx_cols;
      part.dy += (first - leading) * pass.directions * out;
    }
    layers_forward(part, workspace, plain);
  }
}

int64_t whole_tape_size(const MlpShape& shape, int64_t rows) { return tape_size(shape, rows) + 4; }

// Rows of a function with tangents are given without the tangents' by some callers: twice as many are counted.
int64_t whole_workspace(const MlpShape& shape, int64_t rows) {
  const int64_t kept = std::min(2 * rows, 2 * block_rows + 2);
  return 2 * rows * shape.width[1] + layers_workspace(shape, std::max(kept, 2 * rows)) + tape_size(shape, kept) + 32;
}

int64_t prepared_size(const MlpShape&) { return 0; }
void prepare(const MlpShape&, const float*, Precision, float*) {}

void forward(const MlpShape& shape, const float* params, int64_t rows, const float* x, float* y, float* tape,
                 float* workspace, const MlpProducts&) {
  run_forward({.shape = &shape, .params = params, .rows = rows, .x = x, .x_cols = shape.width[0], .y = y, .tape = tape},
          workspace);
}

void forward_projected(const MlpShape& shape, const float* params, int64_t rows, int64_t own_cols, const float* own,
                           int64_t first_input, int64_t group, const float* start, float* y, float* workspace,
                           const MlpProducts&) {
  run_forward({.shape = &shape, .params = params, .rows = rows, .x = own, .x_cols = own_cols, .first_input = first_input,
           .start = start, .group = group, .y = y},
          workspace);
}

// The first layer's sums of the shared inputs, once a group; moves memory on.
const float* share_first(const MlpShape& shape, const float* params, int64_t rows, int64_t own_cols, int64_t group,
                         const float* shared, bool own_leads, float*& memory) {
  const int64_t cols = shape.width[0] - own_cols, out = shape.width[1], groups = (rows + group - 1) / group;
  float* const start = aligned(memory);
  memory = start + pitch_of(groups * out);
  product(Order::nn, groups, out, cols, factor(shared, cols, groups, cols),
          factor(params + shape.weight[0] + (own_leads ? own_cols * out : 0), out, cols, out),
          {.c = start, .stride = out, .start = params + shape.bias[0], .group = groups}, nullptr);
  return start;
}

void forward_shared(const MlpShape& shape, const float* params, int64_t rows, int64_t own_cols, const float* own,
                        int64_t group, const float* shared, bool own_leads, float* y, float* workspace,
                        const MlpProducts& products) {
  const float* const start = share_first(shape, params, rows, own_cols, group, shared, own_leads, workspace);
  forward_projected(shape, params, rows, own_cols, own, own_leads ? 0 : shape.width[0] - own_cols, group, start, y,
                        workspace, products);
}

__global__ void fill_ones(int64_t n, float* x) {
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += int64_t{gridDim.x} * blockDim.x) x[i] = 1;
}

void value_and_gradient_shared(const MlpShape& shape, const float* params, int64_t rows, int64_t own_cols,
                                   const float* own, int64_t group, const float* shared, bool own_leads, float* y,
                                   float* gradient, float* workspace) {
  const float* const start = share_first(shape, params, rows, own_cols, group, shared, own_leads, workspace);
  const int64_t first_input = own_leads ? 0 : shape.width[0] - own_cols;
  for (int64_t first = 0; first < rows; first += block_rows) {
    const int64_t count = std::min(block_rows, rows - first);
    float* const tape = aligned(workspace);
    float* const ones = tape + tape_size(shape, count);
    float* const rest = ones + pitch_of(count);
    layers_forward({.shape = &shape, .params = params, .rows = count, .x = own + first * own_cols, .x_cols = own_cols,
                    .first_input = first_input, .start = start, .group = group, .first_row = first, .y = y + first,
                    .tape = tape},
                   rest, false);
    launch(fill_ones, blocks_for(count, 256), 256, 0, count, ones);
    layers_backward({.shape = &shape, .params = params, .rows = count, .tape = tape, .dy = ones,
                     .dx = gradient + first * own_cols, .dx_cols = own_cols, .first_input = first_input},
                    rest, false);
  }
}

void value_and_tangent(const MlpShape& shape, const float* params, int64_t rows, const float* x,
                           int64_t tangent_rows, const float* dx, float* y, float* dy, float* tape, float* workspace) {
  run_forward({.shape = &shape, .params = params, .rows = rows, .x = x, .x_cols = shape.width[0], .y = y, .tape = tape,
           .tangent_rows = tangent_rows, .dx = dx, .dx_cols = shape.width[0], .dy = dy},
          workspace);
}

void value_and_directions(const MlpShape& shape, const float* params, int64_t rows, const float* x,
                              int64_t directions, int64_t first_input, int64_t dx_cols, const float* dx, float* y,
                              float* dy, float* workspace) {
  run_forward({.shape = &shape, .params = params, .rows = rows, .x = x, .x_cols = shape.width[0], .y = y,
           .tangent_rows = rows, .directions = directions, .dx = dx, .dx_cols = dx_cols, .first_dx = first_input,
           .dy = dy},
          workspace);
}

void backward(const MlpShape& shape, const float* params, int64_t rows, const float* x, const float* tape,
                  const float* dy, float* dx, float* dparams, float* workspace) {
  layers_backward({.shape = &shape, .params = params, .rows = rows, .x = x, .tape = const_cast<float*>(tape), .dy = dy,
                   .dx = dx, .dx_cols = shape.width[0], .dparams = dparams},
                  workspace, false);
}

}  // namespace

void add_mlp(DeviceKernels& k) {
  k.mlp_prepared_size = prepared_size;
  k.mlp_prepare = prepare;
  k.mlp_tape_size = whole_tape_size;
  k.mlp_workspace = whole_workspace;
  k.mlp_forward = forward;
  k.mlp_forward_projected = forward_projected;
  k.mlp_forward_shared = forward_shared;
  k.mlp_value_and_gradient_shared = value_and_gradient_shared;
  k.mlp_value_and_tangent = value_and_tangent;
  k.mlp_value_and_directions = value_and_directions;
  k.mlp_backward = backward;
}

}  // namespace meander::kernels::MEANDER_CUDA
