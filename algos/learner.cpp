#include "algos/learner.h"

#include <bit>

#include "core/error.h"

namespace meander {

void Learner::save(SafetensorsWriter& file) const {
  for (const Network& n : networks_) {
    n.layout->save(file, n.name, n.trained->params.data());
    if (!n.optimised) continue;
    n.layout->save(file, std::string("adam_m/") + n.name, n.trained->m.data());
    n.layout->save(file, std::string("adam_v/") + n.name, n.trained->v.data());
  }
}

void Learner::load(const SafetensorsFile& file) {
  parameters_changed();
  for (const Network& n : networks_) {
    n.layout->load(file, n.name, n.trained->params.data());
    if (!n.optimised) continue;
    n.layout->load(file, std::string("adam_m/") + n.name, n.trained->m.data());
    n.layout->load(file, std::string("adam_v/") + n.name, n.trained->v.data());
  }
}

Tensor Learner::normals(Purpose purpose, uint64_t step, int64_t rows, int64_t cols) const {
  const Tensor x = empty(rows, cols);
  kernels::philox_normal({seed_, static_cast<uint32_t>(purpose), step}, x.size(), x.f32());
  return x;
}

Tensor Learner::uniforms(Purpose purpose, uint64_t step, int64_t rows, int64_t cols) const {
  const Tensor x = empty(rows, cols);
  kernels::philox_uniform({seed_, static_cast<uint32_t>(purpose), step}, x.size(), x.f32());
  return x;
}

float mean(Tensor x) { return *mean_all(x).tensor.f32(); }

void check_finite(const char* what, float loss, Tensor gradient) {
  // A full exponent, that of infinities and NaN, carries over into the sign's place: a loop the compiler vectorises.
  const auto carry = [](float x) { return (std::bit_cast<uint32_t>(x) & 0x7f800000u) + 0x00800000u; };
  uint32_t carried = carry(loss);
  const float* const g = gradient.f32();
  for (int64_t i = 0; i < gradient.size(); ++i) carried |= carry(g[i]);
  if (carried >> 31) throw Failure(message(what, " or its gradient is not finite (loss ", loss, ")"));
}

Choice choose_best(Tensor action, Tensor q) {
  Choice c{.action = action, .q = q, .best = argmax_row(q), .chosen = {}};
  const Tensor row = empty(q.rows, 1, DType::int32);
  for (int64_t i = 0; i < q.rows; ++i)
    row.as<int32_t>()[i] = static_cast<int32_t>(i * q.cols) + c.best.as<int32_t>()[i];
  c.chosen = gather_rows(action, row).tensor;
  return c;
}

}  // namespace meander
