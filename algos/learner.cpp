#include "algos/learner.h"

#include "core/error.h"

namespace meander {

void Learner::save(SafetensorsWriter& file) const {
  saved_.clear();
  const auto save = [&](const Network& n, const std::string& prefix, const Buffer& numbers) {
    const float* host = kernels::on_cpu() ? numbers.data() : saved_.emplace_back(numbers.numbers()).data();
    n.layout->save(file, prefix + n.name, host);
  };
  for (const Network& n : networks_) {
    save(n, "", n.trained->params);
    if (!n.optimised) continue;
    save(n, "adam_m/", n.trained->m);
    save(n, "adam_v/", n.trained->v);
  }
}

void Learner::load(const SafetensorsFile& file) {
  parameters_changed();
  const auto load = [&](const Network& n, const std::string& prefix, Buffer& numbers) {
    std::vector<float> host(static_cast<size_t>(numbers.size()));
    n.layout->load(file, prefix + n.name, host.data());
    numbers.set(host.data());
  };
  for (const Network& n : networks_) {
    load(n, "", n.trained->params);
    if (!n.optimised) continue;
    load(n, "adam_m/", n.trained->m);
    load(n, "adam_v/", n.trained->v);
  }
}

Tensor Learner::normals(Purpose purpose, uint64_t step, int64_t rows, int64_t cols) const {
  const Tensor x = empty(rows, cols);
  kernels::current().philox_normal(key(purpose, step), QueuedUpdate::place_of(step), x.size(), x.f32());
  return x;
}

Tensor Learner::uniforms(Purpose purpose, uint64_t step, int64_t rows, int64_t cols) const {
  const Tensor x = empty(rows, cols);
  kernels::current().philox_uniform(key(purpose, step), QueuedUpdate::place_of(step), x.size(), x.f32());
  return x;
}

void record(std::span<float> metrics, int which, Value number) {
  assign(view(metrics.data() + which, 1, 1), number.tensor);
}

void check_finite(const char* what, Tensor loss, Tensor gradient) {
  QueuedUpdate* const queued = QueuedUpdate::current();
  if (queued) queued->losses.push_back(what);
  const uint32_t number = queued ? static_cast<uint32_t>(queued->losses.size()) : 1;
  ArenaScope scope;
  const Tensor found = queued ? view(queued->failed, 1, 1) : zeros(1, 1, DType::uint32);
  kernels::current().flag_not_finite(1, loss.f32(), number, found.as<uint32_t>());
  kernels::current().flag_not_finite(gradient.size(), gradient.f32(), number, found.as<uint32_t>());
  if (!queued && *fetched(found).as<uint32_t>())
    throw Failure(message(what, " or its gradient is not finite (loss ", float(Number(loss)), ")"));
}

Choice choose_best(Tensor action, Tensor q) {
  return {.action = action, .q = q, .best = argmax_row(q), .chosen = gather_rows(action, argmax_row(q, q.cols)).tensor};
}

}  // namespace meander
