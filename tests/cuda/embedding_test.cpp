#include <meander/kernels/embedding.h>

#include "against_cpu.h"

// kernels/cuda/embedding.cu against the CPU.
namespace meander {
namespace {

using kernels::EmbeddingShape;

constexpr int64_t before = 3;   // parameters of others that must stay as they are

EmbeddingShape make_shape(int64_t frequencies, int64_t hidden, int64_t width, kernels::Activation activation) {
  EmbeddingShape s{.frequencies = frequencies, .hidden = hidden, .width = width, .activation = activation};
  s.frequency = before;
  s.weight0 = s.frequency + frequencies;
  s.bias0 = s.weight0 + 2 * frequencies * hidden;
  s.weight1 = s.bias0 + hidden;
  s.bias1 = s.weight1 + hidden * width;
  return s;
}
int64_t parameters(const EmbeddingShape& s) { return s.bias1 + s.width; }

// Rows that fill no block, tangents of all, some and no rows, hidden layers that fill no warp, and both kinds of
// frequencies. Values, tangents and tapes have the CPU's bits: each sum runs in its order. Gradients add the eighths of
// the rows, so they differ by rounding, 1e-6 of their size at most for these.
void same_as_cpu(OnDevice& d, EmbeddingShape s, bool learnt, int64_t rows, int64_t moving) {
  CAPTURE(learnt);
  CAPTURE(s.hidden);
  CAPTURE(rows);
  CAPTURE(moving);
  Floats params = normals(parameters(s), 1), frequencies = normals(s.frequencies, 2);
  for (float& p : params) p *= 0.3f;
  const Floats t = normals(rows, 3), dt = normals(moving, 4), cotangent = normals(rows * s.width, 5);
  const auto p = d.up(params), at = d.up(t), dat = d.up(dt), fixed = d.up(frequencies);
  EmbeddingShape there = s;
  if (!learnt) s.fixed = frequencies.data(), there.fixed = fixed;

  const size_t n = static_cast<size_t>(rows * s.width), dn = static_cast<size_t>(moving * s.width);
  const size_t tape_size = static_cast<size_t>(kernels::embedding_tape_size(s, rows));
  Floats y(n), dy(dn), tape(tape_size), work(static_cast<size_t>(kernels::embedding_workspace(s, rows)));
  kernels::embedding_value_and_tangent(s, params.data(), rows, t.data(), moving, dt.data(), y.data(), dy.data(),
                                       tape.data(), work.data());
  const auto workspace = d.room(static_cast<size_t>(d.k.embedding_workspace(there, rows)));
  const auto to = d.room(n), dto = d.room(dn), kept = d.room(tape_size), alone = d.room(n);
  d.k.embedding_value_and_tangent(there, p, rows, at, moving, dat, to, dto, kept, workspace);
  CHECK(same_numbers(d.down(to), y));
  CHECK(same_numbers(d.down(dto), dy));
  CHECK(same_numbers(d.down(kept), tape));
  d.k.embedding_forward(there, p, rows, at, alone, nullptr, workspace);
  CHECK(same_numbers(d.down(alone), y));

  Floats gradient = normals(parameters(s), 6);
  const auto back = d.up(gradient);
  const Floats start = gradient;
  kernels::embedding_backward(s, params.data(), rows, t.data(), tape.data(), cotangent.data(), gradient.data(),
                              work.data());
  d.k.embedding_backward(there, p, rows, at, kept, d.up(cotangent), back, workspace);
  const Floats mine = d.down(back);
  CHECK(largest_error(mine, gradient, 10) < 1e-6);
  for (size_t i = 0; i < static_cast<size_t>(learnt ? before : s.weight0); ++i) CHECK(mine[i] == start[i]);
}

}  // namespace

TEST_CASE("the embedding of times is the CPU's") {
  on_each_device([](OnDevice& d) {
    for (const bool learnt : {true, false}) {
      same_as_cpu(d, make_shape(8, 5, 3, kernels::Activation::mish), learnt, 1, 0);
      same_as_cpu(d, make_shape(8, 5, 3, kernels::Activation::gelu), learnt, 1, 1);
      same_as_cpu(d, make_shape(9, 33, 16, kernels::Activation::mish), learnt, 7, 3);
      same_as_cpu(d, make_shape(3, 64, 70, kernels::Activation::gelu), learnt, 11, 11);
      for (const auto activation : kernels::activations) same_as_cpu(d, make_shape(4, 6, 3, activation), learnt, 3, 2);
    }
  });
}

}  // namespace meander
