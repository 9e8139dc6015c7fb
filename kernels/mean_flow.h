#pragma once

#include <cstdint>

// The arithmetic of mean-flow losses around the network, each in one pass over a batch.
namespace meander::kernels {

// Times r <= t of a batch from two columns of random numbers a, b [rows]:
//   logit_normal    from normals: the larger and the smaller of sigmoid(mean + deviation a), sigmoid(mean + deviation b)
//   uniform         from uniforms: the larger and the smaller
//   uniform_below   from uniforms: t = margin + (1 - 2 margin) a, r = t b
// and r = t in the first `equal` rows.
enum class FlowTimesDraw { logit_normal, uniform, uniform_below };
struct FlowTimesArguments {
  FlowTimesDraw draw;
  float mean, deviation, margin;
  int64_t rows, equal;
  const float *a, *b;
  float *t, *r;
};
void flow_times(const FlowTimesArguments&);

// The target of a mean field, y [rows, cols] = field - clip(t - r, 0, 1) derivative in the rows from `equal` on, of
// which derivative [rows - equal, cols] is given, and field before. t, r [rows].
template <class T>
void mean_flow_target(int64_t rows, int64_t cols, int64_t equal, const T* t, const T* r, const T* field,
                      const T* derivative, T* y);

}  // namespace meander::kernels
