#include "kernels/mlp.h"

#include <algorithm>

#include "kernels/cpu/mlp_run.h"
#include "kernels/cpu/products.h"
#include "kernels/dense.h"
#include "kernels/rows.h"
#include "kernels/threads.h"

namespace meander::kernels {
namespace {

int64_t widest(const MlpShape& shape) {
  int64_t width = 0;
  for (int l = 0; l <= shape.layers; ++l) width = shape.width[l] > width ? shape.width[l] : width;
  return width;
}

int64_t widest_hidden(const MlpShape& shape) {
  int64_t width = 0;
  for (int l = 1; l < shape.layers; ++l) width = shape.width[l] > width ? shape.width[l] : width;
  return width;
}
constexpr int64_t most_bfloat16_width = 512;  // mlp_values_bfloat16 holds a row of activations at a constant stride

int64_t all_packed(const MlpShape& shape) {
  int64_t size = 16;
  for (int l = 0; l < shape.layers; ++l) size += packed_size(shape.width[l], shape.width[l + 1]) + 16;
  return size;
}

// Readies the weights of layers [0, last) for `rows` rows and moves workspace on; of the first layer only rows
// [first_row, first_row + run.x_cols).
void pack_weights(const IsaKernels& isa, MlpRun& run, int64_t first_row, int last, float*& workspace) {
  const MlpShape& shape = *run.shape;
  for (int l = 0; l < last; ++l) {
    const int64_t in = l ? shape.width[l] : run.x_cols, out = shape.width[l + 1];
    const float* const weight = run.params + shape.weight[l] + (l ? 0 : first_row * out);
    run.weight[l] = pack_matrix(isa, run.rows + run.tangent_rows, in, out, weight, out, false, workspace);
    workspace = aligned(workspace + packed_size(in, out));
  }
}

// The other layers, as pairs of bfloat16.
void pack_weights_bfloat16(const IsaKernels& isa, MlpRun& run, float* workspace) {
  const MlpShape& shape = *run.shape;
  for (int l = 1; l < shape.layers; ++l) {
    const int64_t in = shape.width[l], out = shape.width[l + 1], pairs = (in + 1) / 2;
    const float* const weight = run.params + shape.weight[l];
    uint32_t* const packed = reinterpret_cast<uint32_t*>(workspace);
    parallel_for((out + isa.panel - 1) / isa.panel, 1 + 32768 / (in * isa.panel), [&](int64_t begin, int64_t end) {
      isa.pack_bfloat16(in, out, begin, end, weight, out, packed + begin * isa.panel * pairs);
    });
    run.half[l] = packed;
    workspace = aligned(workspace + packed_size(pairs, out));
  }
}

int64_t chain_grain(const IsaKernels& isa, const MlpShape& shape) {
  int64_t cost = 0;
  for (int l = 0; l < shape.layers; ++l) cost += shape.width[l] * shape.width[l + 1];
  return row_grain(isa, cost, 1);
}

constexpr int64_t backward_block = 512;  // rows whose cotangents stay in cache on the way down

}  // namespace

int64_t mlp_tape_size(const MlpShape& shape, int64_t rows) {
  int64_t size = 0;
  for (int l = 0; l + 1 < shape.layers; ++l) size += mlp_tape_layer(shape.width[l + 1], rows);
  return size;
}

int64_t mlp_workspace(const MlpShape& shape, int64_t rows) {
  const int64_t wide = widest(shape);
  const int64_t shared = all_packed(shape) + rows * shape.width[1] + packed_size(shape.width[0], shape.width[1]) + 32;
  int64_t backward = 5 * std::min(rows, backward_block) * wide + 16;
  for (int l = 0; l < shape.layers; ++l) backward += packed_size(shape.width[l + 1], shape.width[l]) + 16;
  return shared > backward ? shared : backward;
}

namespace {

// Runs the forward pass of `run`, whose weights are not ready yet; first_row: where x's inputs begin.
void forward(MlpRun& run, int64_t first_row, Precision precision, float* workspace) {
  const IsaKernels& isa = active();
  const MlpShape& shape = *run.shape;
  workspace = aligned(workspace);
  const bool half = precision == Precision::bfloat16 && widest_hidden(shape) <= most_bfloat16_width;
  const auto kernel = half ? isa.mlp_values_bfloat16 : isa.mlp_values;
  pack_weights(isa, run, first_row, half ? 1 : shape.layers, workspace);
  if (half) pack_weights_bfloat16(isa, run, workspace);
  parallel_for(run.rows, chain_grain(isa, shape), [&](int64_t begin, int64_t end) { kernel(run, begin, end); });
}

}  // namespace

void mlp_forward(const MlpShape& shape, const float* params, int64_t rows, const float* x, float* y, float* tape,
                 float* workspace, Precision precision) {
  MlpRun run;
  run.shape = &shape, run.params = params, run.rows = rows;
  run.x = x, run.x_cols = shape.width[0], run.y = y, run.tape = tape;
  forward(run, 0, precision, workspace);
}

void mlp_forward_projected(const MlpShape& shape, const float* params, int64_t rows, int64_t own_cols, const float* own,
                           int64_t first_input, int64_t group, const float* start, float* y, float* workspace,
                           Precision precision) {
  MlpRun run;
  run.shape = &shape, run.params = params, run.rows = rows;
  run.x = own, run.x_cols = own_cols, run.start = start, run.group = group, run.y = y;
  forward(run, first_input, precision, workspace);
}

void mlp_forward_shared(const MlpShape& shape, const float* params, int64_t rows, int64_t own_cols, const float* own,
                        int64_t group, const float* shared, bool own_leads, float* y, float* workspace,
                        Precision precision) {
  const int64_t shared_cols = shape.width[0] - own_cols, groups = (rows + group - 1) / group, out = shape.width[1];
  float* const start = aligned(workspace);
  workspace = start + groups * out;
  dense(groups, shared_cols, out, shared, params + shape.weight[0] + (own_leads ? own_cols * out : 0),
        params + shape.bias[0], start, workspace);
  mlp_forward_projected(shape, params, rows, own_cols, own, own_leads ? 0 : shared_cols, group, start, y, workspace,
                        precision);
}

void mlp_finish_layer(const MlpShape& shape, const float* params, int layer, int64_t rows, float* z) {
  const IsaKernels& isa = active();
  const int64_t width = shape.width[layer + 1];
  parallel_for(rows, 1 + 16384 / width, [&](int64_t begin, int64_t end) {
    isa.mlp_finish(shape, params, layer, end - begin, z + begin * width, width);
  });
}

void mlp_value_and_tangent(const MlpShape& shape, const float* params, int64_t rows, const float* x,
                           int64_t tangent_rows, const float* dx, float* y, float* dy, float* tape, float* workspace) {
  const IsaKernels& isa = active();
  MlpRun run;
  run.shape = &shape, run.params = params, run.rows = rows;
  run.x = x, run.x_cols = shape.width[0], run.y = y, run.tape = tape;
  run.tangent_rows = tangent_rows, run.dx = dx, run.dy = dy;
  workspace = aligned(workspace);
  pack_weights(isa, run, 0, shape.layers, workspace);
  // Work counts in units of a row's value; a row with a tangent is two units.
  const int64_t plain = rows - tangent_rows;
  parallel_for(plain + 2 * tangent_rows, chain_grain(isa, shape), [&](int64_t begin, int64_t end) {
    const auto row = [&](int64_t unit) { return unit <= plain ? unit : plain + (unit - plain) / 2; };
    const int64_t first = row(begin), last = row(end), middle = last < plain ? last : first > plain ? first : plain;
    if (first < middle) isa.mlp_values(run, first, middle);
    if (middle < last) isa.mlp_values_and_tangents(run, middle, last);
  });
}

namespace {

// Pullback of rows [first, first + rows). The cotangents, and what is summed over the rows, live in `workspace`;
// transposed[l] is the transposed weight of layer l, packed.
void backward_rows(const IsaKernels& isa, const MlpShape& shape, const float* params, const IsaMatrix* transposed,
                   int64_t all_rows, int64_t first, int64_t rows, const float* x, const float* tape, const float* dy,
                   float* dx, float* dparams, float* workspace) {
  const int64_t buffer = rows * widest(shape);
  float* const cotangents[2] = {workspace, workspace + buffer};
  float* const h = cotangents[1] + buffer;
  float* const dshift = h + buffer;
  float* const dscale = dshift + buffer;
  const float* dz = dy + first * shape.width[shape.layers];  // cotangent of the dense layer's output
  for (int l = shape.layers - 1; l >= 0; --l) {
    const int64_t in = shape.width[l], out = shape.width[l + 1];
    float* const din = l > 0 ? cotangents[l % 2] : dx ? dx + first * in : nullptr;
    if (din) {
      parallel_for(rows, row_grain(isa, in, out), [&](int64_t begin, int64_t end) {
        isa.product_rows(end - begin, in, out, dz + begin * out, out, transposed[l], nullptr, 0, din + begin * in, in);
      });
    }
    if (l > 0) {
      int64_t offset = 0;
      for (int below = 0; below + 1 < l; ++below) offset += mlp_tape_layer(shape.width[below + 1], all_rows);
      float* const kept = const_cast<float*>(tape) + offset;
      const bool scaled = dparams && shape.norm != Norm::none;
      parallel_for(rows, 1 + 8192 / in, [&](int64_t begin, int64_t end) {
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
        parallel_for(in, 64, [&](int64_t begin, int64_t end) {
          isa.sum_column(rows, in, begin, end, dshift, dparams + shape.shift[l - 1], true);
          isa.sum_column(rows, in, begin, end, dscale, dparams + shape.scale[l - 1], true);
        });
      }
    }
    if (dparams) {
      product_tn(in, out, rows, l ? h : x + first * in, dz, dparams + shape.weight[l], true, nullptr);
      parallel_for(out, 64, [&](int64_t begin, int64_t end) {
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
  workspace = aligned(workspace);
  for (int l = dx ? 0 : 1; l < shape.layers; ++l) {
    const int64_t in = shape.width[l], out = shape.width[l + 1];
    transposed[l] = pack_matrix(isa, rows, out, in, params + shape.weight[l], out, true, workspace);
    workspace = aligned(workspace + packed_size(out, in));
  }
  // The sums over the rows go on from one block to the next in row order, so blocks change no bit.
  for (int64_t first = 0; first < rows; first += backward_block)
    backward_rows(isa, shape, params, transposed, rows, first, std::min(backward_block, rows - first), x, tape, dy, dx,
                  dparams, workspace);
}

}  // namespace meander::kernels
