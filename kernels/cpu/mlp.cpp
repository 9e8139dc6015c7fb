#include <meander/kernels/mlp.h>

#include <algorithm>

#include <meander/kernels/cpu/mlp_run.h>
#include <meander/kernels/cpu/products.h>
#include <meander/kernels/dense.h>
#include <meander/kernels/rows.h>
#include <meander/kernels/threads.h>

namespace meander::kernels {
namespace {

// Of the widths [first, last).
int64_t widest(const MlpShape& shape, int first, int last) {
  int64_t width = 0;
  for (int l = first; l < last; ++l) width = shape.width[l] > width ? shape.width[l] : width;
  return width;
}

constexpr int64_t most_bfloat16_width = 512;  // mlp_values_bfloat16 holds a row of activations at a constant stride

bool in_bfloat16(const MlpShape& shape, Precision precision) {
  return precision == Precision::bfloat16 && widest(shape, 1, shape.layers) <= most_bfloat16_width;
}

// Floats that the weights of layers [first, layers) take once they are ready, with room to align the first.
int64_t ready_size(const MlpShape& shape, int first) {
  int64_t size = 16;
  for (int l = first; l < shape.layers; ++l) size += packed_size(shape.width[l], shape.width[l + 1]) + 16;
  return size;
}

// The same of the transposed weights of all layers.
int64_t transposed_size(const MlpShape& shape) {
  int64_t size = 0;
  for (int l = 0; l < shape.layers; ++l) size += packed_size(shape.width[l + 1], shape.width[l]) + 16;
  return size;
}

int64_t all_rows(const MlpRun& run) { return run.rows + run.tangent_rows * run.directions; }

// Readies the first layer's weights, of its rows [first_row, first_row + run.x_cols), and moves memory on.
void ready_first(const IsaKernels& isa, MlpRun& run, int64_t first_row, float*& memory) {
  const int64_t out = run.shape->width[1];
  memory = aligned(memory);
  run.weight[0] = pack_matrix(isa, all_rows(run), run.x_cols, out,
                              run.params + run.shape->weight[0] + first_row * out, out, false, memory);
  memory += packed_size(run.x_cols, out);
}

// Readies the weights of the other layers in `memory`; with `there` they are in it from an earlier call.
void ready_rest(const IsaKernels& isa, MlpRun& run, Precision precision, float* memory, bool there) {
  const MlpShape& shape = *run.shape;
  const bool half = in_bfloat16(shape, precision);
  for (int l = 1; l < shape.layers; ++l) {
    const int64_t in = shape.width[l], out = shape.width[l + 1], pairs = (in + 1) / 2;
    const float* const weight = run.params + shape.weight[l];
    memory = aligned(memory);
    if (half) {
      uint32_t* const packed = reinterpret_cast<uint32_t*>(memory);
      const auto pack = [&](int64_t begin, int64_t end) {
        isa.pack_bfloat16(in, out, begin, end, weight, out, packed + begin * isa.panel * pairs);
      };
      if (!there) parallel_for((out + isa.panel - 1) / isa.panel, 1 + 32768 / (in * isa.panel), pack);
      run.half[l] = packed;
    } else if (there && run.rows <= 2) {  // wide tiles read whole rows where they lie, and the cut panel if any
      run.weight[l] = {.packed = memory + (out - 1) / isa.panel * isa.panel * in, .plain = weight, .plain_stride = out};
    } else if (there) {
      run.weight[l] = {.packed = memory};
    } else {
      run.weight[l] = pack_matrix(isa, all_rows(run), in, out, weight, out, false, memory);
    }
    memory += half ? packed_size(pairs, out) : packed_size(in, out);
  }
}

// Readies the transpose of layer l's weights, of its rows [first_row, first_row + in), and moves memory on.
IsaMatrix ready_transposed(const IsaKernels& isa, const MlpShape& shape, const float* params, int l, int64_t rows,
                           int64_t first_row, int64_t in, float*& memory) {
  const int64_t out = shape.width[l + 1];
  float* const packed = aligned(memory);
  memory = packed + packed_size(out, in);
  return pack_matrix(isa, rows, out, in, params + shape.weight[l] + first_row * out, out, true, packed);
}

// passes: through the products of all layers.
int64_t chain_grain(const IsaKernels& isa, const MlpShape& shape, int64_t rows, int64_t passes = 1) {
  int64_t cost = 0;
  for (int l = 0; l < shape.layers; ++l) cost += shape.width[l] * shape.width[l + 1];
  return row_grain(isa, rows, passes * cost);
}

constexpr int64_t backward_block = 512;  // rows whose cotangents stay in cache on the way down

}  // namespace

int64_t mlp_tape_size(const MlpShape& shape, int64_t rows) {
  int64_t size = 0;
  for (int l = 0; l + 1 < shape.layers; ++l) size += mlp_tape_layer(shape.width[l + 1], rows);
  return size;
}

int64_t mlp_workspace(const MlpShape& shape, int64_t rows) {
  const int64_t wide = widest(shape, 0, shape.layers + 1);
  const int64_t shared =
      ready_size(shape, 0) + rows * shape.width[1] + packed_size(shape.width[0], shape.width[1]) + 48;
  const bool one_output = shape.width[shape.layers] == 1;  // then mlp_value_and_gradient_shared may be asked for
  const int64_t transposed = transposed_size(shape);
  const int64_t backward = 5 * std::min(rows, backward_block) * wide + 16 + transposed;
  return std::max(shared + (one_output ? transposed : 0), backward);
}

namespace {

// Runs the forward pass of `run`, whose weights are not ready yet; first_row: where x's inputs begin.
void forward(MlpRun& run, int64_t first_row, const MlpProducts& products, float* workspace) {
  const IsaKernels& isa = active();
  const bool half = in_bfloat16(*run.shape, products.precision);
  ready_first(isa, run, first_row, workspace);
  // What is prepared is only read.
  if (products.prepared) ready_rest(isa, run, products.precision, const_cast<float*>(products.prepared), true);
  else ready_rest(isa, run, products.precision, workspace, false);
  const auto kernel = half ? isa.mlp_values_bfloat16 : isa.mlp_values;
  parallel_for(run.rows, chain_grain(isa, *run.shape, run.rows),
               [&](int64_t begin, int64_t end) { kernel(run, begin, end); });
}

}  // namespace

int64_t mlp_prepared_size(const MlpShape& shape) { return ready_size(shape, 1); }

void mlp_prepare(const MlpShape& shape, const float* params, Precision precision, float* prepared) {
  MlpRun run;
  run.shape = &shape, run.params = params, run.rows = rows_in_place + 1;  // more than may stay in place
  ready_rest(active(), run, precision, prepared, false);
}

void mlp_forward(const MlpShape& shape, const float* params, int64_t rows, const float* x, float* y, float* tape,
                 float* workspace, const MlpProducts& products) {
  MlpRun run;
  run.shape = &shape, run.params = params, run.rows = rows;
  run.x = x, run.x_cols = shape.width[0], run.y = y, run.tape = tape;
  forward(run, 0, products, workspace);
}

void mlp_forward_projected(const MlpShape& shape, const float* params, int64_t rows, int64_t own_cols, const float* own,
                           int64_t first_input, int64_t group, const float* start, float* y, float* workspace,
                           const MlpProducts& products) {
  MlpRun run;
  run.shape = &shape, run.params = params, run.rows = rows;
  run.x = own, run.x_cols = own_cols, run.start = start, run.group = group, run.y = y;
  forward(run, first_input, products, workspace);
}

namespace {

// The first layer's sums begin at those of the shared inputs, computed here once a group; moves memory on and returns
// the first of the own inputs.
int64_t share_first(MlpRun& run, int64_t group, const float* shared, bool own_leads, float*& memory) {
  const MlpShape& shape = *run.shape;
  const int64_t own_cols = run.x_cols, shared_cols = shape.width[0] - own_cols, out = shape.width[1];
  const int64_t groups = (run.rows + group - 1) / group;
  float* const start = aligned(memory);
  memory = start + groups * out;
  dense(groups, shared_cols, out, shared, run.params + shape.weight[0] + (own_leads ? own_cols * out : 0),
        run.params + shape.bias[0], start, memory);
  run.start = start, run.group = group;
  return own_leads ? 0 : shared_cols;
}

}  // namespace

void mlp_forward_shared(const MlpShape& shape, const float* params, int64_t rows, int64_t own_cols, const float* own,
                        int64_t group, const float* shared, bool own_leads, float* y, float* workspace,
                        const MlpProducts& products) {
  MlpRun run;
  run.shape = &shape, run.params = params, run.rows = rows;
  run.x = own, run.x_cols = own_cols, run.y = y;
  const int64_t first_own = share_first(run, group, shared, own_leads, workspace);
  forward(run, first_own, products, workspace);
}

void mlp_value_and_gradient_shared(const MlpShape& shape, const float* params, int64_t rows, int64_t own_cols,
                                   const float* own, int64_t group, const float* shared, bool own_leads, float* y,
                                   float* gradient, float* workspace) {
  const IsaKernels& isa = active();
  MlpRun run;
  run.shape = &shape, run.params = params, run.rows = rows;
  run.x = own, run.x_cols = own_cols, run.y = y, run.gradient = gradient;
  const int64_t first_own = share_first(run, group, shared, own_leads, workspace);
  for (int l = 0; l < shape.layers; ++l)
    run.transposed[l] = ready_transposed(isa, shape, params, l, rows, l ? 0 : first_own, l ? shape.width[l] : own_cols,
                                         workspace);
  ready_first(isa, run, first_own, workspace);
  ready_rest(isa, run, Precision::float32, workspace, false);
  parallel_for(rows, chain_grain(isa, shape, rows, 2),
               [&](int64_t begin, int64_t end) { isa.mlp_values_and_gradients(run, begin, end); });
}

void mlp_finish_layer(const MlpShape& shape, const float* params, int layer, int64_t rows, float* z) {
  const IsaKernels& isa = active();
  const int64_t width = shape.width[layer + 1];
  parallel_for(rows, 1 + 16384 / width, [&](int64_t begin, int64_t end) {
    isa.mlp_finish(shape, params, layer, end - begin, z + begin * width, width, {});
  });
}

namespace {

// Runs `run` with its tangents; the weights are not ready yet. dx holds the inputs [first_input, first_input +
// dx_cols).
void forward_with_tangents(MlpRun& run, int64_t first_input, float* workspace) {
  const IsaKernels& isa = active();
  const int64_t plain = run.rows - run.tangent_rows, each = 1 + run.directions;
  ready_first(isa, run, 0, workspace);
  if (run.dx_cols == run.x_cols) {
    run.dx_weight = run.weight[0];
  } else {
    const int64_t out = run.shape->width[1];
    workspace = aligned(workspace);
    run.dx_weight = pack_matrix(isa, run.tangent_rows * run.directions, run.dx_cols, out,
                                run.params + run.shape->weight[0] + first_input * out, out, false, workspace);
    workspace += packed_size(run.dx_cols, out);
  }
  ready_rest(isa, run, Precision::float32, workspace, false);
  // Work counts in units of a row's value; a row with tangents is several units.
  const int64_t units = plain + each * run.tangent_rows;
  parallel_for(units, chain_grain(isa, *run.shape, units), [&](int64_t begin, int64_t end) {
    const auto row = [&](int64_t unit) { return unit <= plain ? unit : plain + (unit - plain) / each; };
    const int64_t first = row(begin), last = row(end), middle = last < plain ? last : first > plain ? first : plain;
    if (first < middle) isa.mlp_values(run, first, middle);
    if (middle < last) isa.mlp_values_and_tangents(run, middle, last);
  });
}

}  // namespace

void mlp_value_and_tangent(const MlpShape& shape, const float* params, int64_t rows, const float* x,
                           int64_t tangent_rows, const float* dx, float* y, float* dy, float* tape, float* workspace) {
  MlpRun run;
  run.shape = &shape, run.params = params, run.rows = rows;
  run.x = x, run.x_cols = shape.width[0], run.y = y, run.tape = tape;
  run.tangent_rows = tangent_rows, run.dx = dx, run.dx_cols = shape.width[0], run.dy = dy;
  forward_with_tangents(run, 0, workspace);
}

void mlp_value_and_directions(const MlpShape& shape, const float* params, int64_t rows, const float* x,
                              int64_t directions, int64_t first_input, int64_t dx_cols, const float* dx, float* y,
                              float* dy, float* workspace) {
  MlpRun run;
  run.shape = &shape, run.params = params, run.rows = rows;
  run.x = x, run.x_cols = shape.width[0], run.y = y;
  run.tangent_rows = rows, run.directions = directions, run.dx = dx, run.dx_cols = dx_cols, run.dy = dy;
  forward_with_tangents(run, first_input, workspace);
}

namespace {

// Pullback of rows [first, first + rows). The cotangents, and what is summed over the rows, live in `workspace`;
// transposed[l] is the transposed weight of layer l, packed.
void backward_rows(const IsaKernels& isa, const MlpShape& shape, const float* params, const IsaMatrix* transposed,
                   int64_t all_rows, int64_t first, int64_t rows, const float* x, const float* tape, const float* dy,
                   float* dx, float* dparams, float* workspace) {
  const int64_t buffer = rows * widest(shape, 0, shape.layers + 1);
  const int64_t columns_to_sum = 64 * (1 + 256 / rows);  // that are worth a thread
  float* const cotangents[2] = {workspace, workspace + buffer};
  float* const h = cotangents[1] + buffer;
  float* const dshift = h + buffer;
  float* const dscale = dshift + buffer;
  const float* dz = dy + first * shape.width[shape.layers];  // cotangent of the dense layer's output
  for (int l = shape.layers - 1; l >= 0; --l) {
    const int64_t in = shape.width[l], out = shape.width[l + 1];
    float* const din = l > 0 ? cotangents[l % 2] : dx ? dx + first * in : nullptr;
    if (din) {
      parallel_for(rows, row_grain(isa, rows, in * out), [&](int64_t begin, int64_t end) {
        isa.product_rows(end - begin, in, out, dz + begin * out, out, transposed[l], nullptr, 0, din + begin * in, in);
      });
    }
    if (l > 0) {
      int64_t offset = 0;
      for (int below = 0; below + 1 < l; ++below) offset += mlp_tape_layer(shape.width[below + 1], all_rows);
      float* const kept = const_cast<float*>(tape) + offset;
      const bool scaled = dparams && shape.norm != Norm::none;
      parallel_for(rows, 1 + 32768 / in, [&](int64_t begin, int64_t end) {
        const int64_t at = begin * in, row = first + begin;
        const MlpLayerPullback layer{
            .activation = shape.activation, .norm = shape.norm, .cols = in,
            .scale = params + shape.scale[l - 1], .shift = params + shape.shift[l - 1],
            .tape = {kept + row * in, kept + all_rows * in + row, kept + all_rows * (in + 1) + row},
            .dh = din + at, .dz = din + at, .h = dparams ? h + at : nullptr,
            .dshift = scaled ? dshift + at : nullptr, .dscale = scaled ? dscale + at : nullptr};
        isa.mlp_layer_pullback(layer, end - begin);
      });
      if (scaled) {
        parallel_for(in, columns_to_sum, [&](int64_t begin, int64_t end) {
          isa.sum_column(rows, in, begin, end, dshift, dparams + shape.shift[l - 1], true);
          isa.sum_column(rows, in, begin, end, dscale, dparams + shape.scale[l - 1], true);
        });
      }
    }
    if (dparams) {
      product_tn(in, out, rows, l ? h : x + first * in, dz, dparams + shape.weight[l], true, nullptr);
      parallel_for(out, columns_to_sum, [&](int64_t begin, int64_t end) {
        isa.sum_column(rows, out, begin, end, dz, dparams + shape.bias[l], true);
      });
    }
    dz = din;
  }
}

}  // namespace

void mlp_backward(const MlpShape& shape, const float* params, int64_t rows, const float* x, const float* tape,
                  const float* dy, float* dx, float* dparams, float* workspace) {
  const IsaKernels& isa = active();
  IsaMatrix transposed[MlpShape::max_layers];
  for (int l = dx ? 0 : 1; l < shape.layers; ++l)
    transposed[l] = ready_transposed(isa, shape, params, l, rows, 0, shape.width[l], workspace);
  workspace = aligned(workspace);
  // The sums over the rows go on from one block to the next in row order, so blocks change no bit.
  for (int64_t first = 0; first < rows; first += backward_block)
    backward_rows(isa, shape, params, transposed, rows, first, std::min(backward_block, rows - first), x, tape, dy, dx,
                  dparams, workspace);
}

}  // namespace meander::kernels
