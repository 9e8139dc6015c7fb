#include <algorithm>

#include <meander/kernels/cuda/mlp_pass.h>
#include <meander/kernels/cuda/products.cuh>

// The functions of kernels/mlp.h on a device: which form a network takes, and how its workspace is cut up.
namespace meander::kernels::MEANDER_CUDA {
namespace {

// Functions that keep something of each row in their workspace take so many rows at once.
constexpr int64_t block_rows = 4096;

// A forward pass layer by layer, in blocks of rows: those without tangents first.
void forward_by_layers(const ForwardPass& pass, float* workspace) {
  const int64_t out = pass.shape->width[pass.shape->layers], leading = pass.rows - pass.tangent_rows;
  if (pass.tape) return layers_forward(pass, workspace, false);
  const int64_t block = std::max<int64_t>(1, pass.tangent_rows ? 2 * block_rows / (1 + pass.directions) : block_rows);
  for (int64_t first = 0, rows; first < pass.rows; first += rows) {
    ForwardPass part = pass;
    const bool plain = first < leading;
    rows = part.rows = std::min(block, (plain ? leading : pass.rows) - first);
    part.x += first * pass.x_cols, part.y += first * out, part.first_row += first;
    part.tangent_rows = plain ? 0 : rows;
    if (!plain) part.dx += (first - leading) * pass.directions * pass.dx_cols;
    if (!plain) part.dy += (first - leading) * pass.directions * out;
    layers_forward(part, workspace, false);
  }
}

void forward_pass(const ForwardPass& pass, float* workspace, const MlpProducts& products = {}) {
  const MlpShape& s = *pass.shape;
  if (!chain_fits(s)) return forward_by_layers(pass, workspace);
  const float* prepared = products.prepared;
  if (products.precision == Precision::bfloat16 && !prepared) {
    chain_prepare(s, pass.params, Precision::bfloat16, workspace);
    prepared = workspace;
  }
  chain_forward(pass, products.precision, prepared);
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

__global__ void fill_ones(int64_t n, float* x) {
  const int64_t first = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  for (int64_t i = first; i < n; i += int64_t{gridDim.x} * blockDim.x) x[i] = 1;
}

}  // namespace

int64_t mlp_tape_size(const MlpShape& shape, int64_t rows) { return tape_size(shape, rows); }

// Some callers of a function with tangents count the rows without them: room for twice as many.
int64_t mlp_workspace(const MlpShape& shape, int64_t rows) {
  const int64_t block = std::min(rows, block_rows), start = pitch_of(rows * shape.width[1]) + 8;
  const int64_t taped = start + tape_size(shape, block) + 8;
  if (!chain_fits(shape))
    return std::max(taped + pitch_of(block) + layers_workspace(shape, block), layers_workspace(shape, 2 * rows));
  return std::max({taped, start + chain_prepared_size(shape), chain_backward_workspace(shape, block)});
}

int64_t mlp_prepared_size(const MlpShape& shape) { return chain_fits(shape) ? chain_prepared_size(shape) : 0; }

void mlp_prepare(const MlpShape& shape, const float* params, Precision precision, float* prepared) {
  if (chain_fits(shape)) chain_prepare(shape, params, precision, prepared);
}

void mlp_forward(const MlpShape& shape, const float* params, int64_t rows, const float* x, float* y, float* tape,
                 float* workspace, const MlpProducts& products) {
  forward_pass({.shape = &shape, .params = params, .rows = rows, .x = x, .x_cols = shape.width[0], .y = y,
                .tape = tape},
               workspace, products);
}

void mlp_forward_projected(const MlpShape& shape, const float* params, int64_t rows, int64_t own_cols, const float* own,
                           int64_t first_input, int64_t group, const float* start, float* y, float* workspace,
                           const MlpProducts& products) {
  forward_pass({.shape = &shape, .params = params, .rows = rows, .x = own, .x_cols = own_cols,
                .first_input = first_input, .start = start, .group = group, .y = y},
          workspace, products);
}

void mlp_forward_shared(const MlpShape& shape, const float* params, int64_t rows, int64_t own_cols, const float* own,
                        int64_t group, const float* shared, bool own_leads, float* y, float* workspace,
                        const MlpProducts& products) {
  const float* const start = share_first(shape, params, rows, own_cols, group, shared, own_leads, workspace);
  MEANDER_CUDA::mlp_forward_projected(shape, params, rows, own_cols, own,
                                      own_leads ? 0 : shape.width[0] - own_cols, group, start, y, workspace, products);
}

void mlp_value_and_gradient_shared(const MlpShape& shape, const float* params, int64_t rows, int64_t own_cols,
                                   const float* own, int64_t group, const float* shared, bool own_leads, float* y,
                                   float* gradient, float* workspace) {
  const float* const start = share_first(shape, params, rows, own_cols, group, shared, own_leads, workspace);
  const int64_t first_input = own_leads ? 0 : shape.width[0] - own_cols;
  for (int64_t first = 0; first < rows; first += block_rows) {
    const int64_t count = std::min(block_rows, rows - first);
    float* const tape = aligned(workspace);
    const ForwardPass pass{.shape = &shape, .params = params, .rows = count, .x = own + first * own_cols,
                           .x_cols = own_cols, .first_input = first_input, .start = start, .group = group,
                           .first_row = first, .y = y + first, .tape = tape};
    float* const block_gradient = gradient + first * own_cols;
    if (chain_fits(shape)) {
      chain_value_and_gradient(pass, block_gradient);
      continue;
    }
    float* const ones = tape + tape_size(shape, count);
    float* const rest = ones + pitch_of(count);
    layers_forward(pass, rest, false);
    launch(fill_ones, blocks_for(count, 256), 256, 0, count, ones);
    layers_backward({.shape = &shape, .params = params, .rows = count, .tape = tape, .dy = ones, .dx = block_gradient,
                     .dx_cols = own_cols, .first_input = first_input},
                    rest, false);
  }
}

void mlp_value_and_tangent(const MlpShape& shape, const float* params, int64_t rows, const float* x,
                           int64_t tangent_rows, const float* dx, float* y, float* dy, float* tape, float* workspace) {
  forward_pass({.shape = &shape, .params = params, .rows = rows, .x = x, .x_cols = shape.width[0], .y = y, .tape = tape,
           .tangent_rows = tangent_rows, .dx = dx, .dx_cols = shape.width[0], .dy = dy},
          workspace);
}

void mlp_value_and_directions(const MlpShape& shape, const float* params, int64_t rows, const float* x,
                              int64_t directions, int64_t first_input, int64_t dx_cols, const float* dx, float* y,
                              float* dy, float* workspace) {
  forward_pass({.shape = &shape, .params = params, .rows = rows, .x = x, .x_cols = shape.width[0], .y = y,
           .tangent_rows = rows, .directions = directions, .dx = dx, .dx_cols = dx_cols, .first_dx = first_input,
           .dy = dy},
          workspace);
}

void mlp_backward(const MlpShape& shape, const float* params, int64_t rows, const float* x, const float* tape,
                  const float* dy, float* dx, float* dparams, float* workspace) {
  const BackwardPass pass{.shape = &shape, .params = params, .rows = rows, .x = x, .tape = const_cast<float*>(tape),
                          .tape_rows = rows, .dy = dy, .dx = dx, .dx_cols = shape.width[0], .dparams = dparams};
  if (!chain_fits(shape)) return layers_backward(pass, workspace, false);
  for (int64_t first = 0; first < rows; first += block_rows) {
    BackwardPass part = pass;
    part.first_row = first, part.rows = std::min(block_rows, rows - first);
    part.x += first * shape.width[0], part.dy += first * shape.width[shape.layers];
    if (dx) part.dx += first * shape.width[0];
    chain_backward(part, workspace);
  }
}

// ---- the plain forms ------------------------------------------------------------------------------------------------

int64_t mlp_reference_workspace(const MlpShape& shape, int64_t rows) { return layers_workspace(shape, 2 * rows); }

void mlp_forward_reference(const MlpShape& shape, const float* params, int64_t rows, const float* x, float* y,
                           float* tape, float* workspace, const MlpProducts&) {
  layers_forward({.shape = &shape, .params = params, .rows = rows, .x = x, .x_cols = shape.width[0], .y = y,
                  .tape = tape},
                 workspace, true);
}

void mlp_value_and_tangent_reference(const MlpShape& shape, const float* params, int64_t rows, const float* x,
                                     int64_t tangent_rows, const float* dx, float* y, float* dy, float* tape,
                                     float* workspace) {
  layers_forward({.shape = &shape, .params = params, .rows = rows, .x = x, .x_cols = shape.width[0], .y = y,
                  .tape = tape, .tangent_rows = tangent_rows, .dx = dx, .dx_cols = shape.width[0], .dy = dy},
                 workspace, true);
}

void mlp_backward_reference(const MlpShape& shape, const float* params, int64_t rows, const float* x, const float* tape,
                            const float* dy, float* dx, float* dparams, float* workspace) {
  layers_backward({.shape = &shape, .params = params, .rows = rows, .x = x, .tape = const_cast<float*>(tape), .dy = dy,
                   .dx = dx, .dx_cols = shape.width[0], .dparams = dparams},
                  workspace, true);
}

}  // namespace meander::kernels::MEANDER_CUDA
