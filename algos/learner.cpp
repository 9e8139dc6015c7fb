#include <meander/algos/learner.h>

#include <cassert>

#include <meander/kernels/error.h>

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

Tensor Learner::DrawTogether::add(Purpose purpose, bool normal, int64_t rows, int64_t cols) {
  const Tensor x = empty(rows, cols);
  assert(count_ < std::size(draws_));
  if (x.size() > 0) draws_[count_++] = {learner_.key(purpose, step_), normal, x.size(), x.f32()};
  return x;
}

void Learner::DrawTogether::now() {
  kernels::current().philox_draws({draws_, count_}, QueuedUpdate::place_of(step_));
}

void record(std::span<float> metrics, std::initializer_list<Metric> values) {
  kernels::NumberOf numbers[16];
  size_t count = 0;
  assert(values.size() <= std::size(numbers));
  for (const Metric& m : values) numbers[count++] = {m.value.f32(), m.which};
  kernels::current().gather_numbers({numbers, count}, metrics.data());
}

void check_finite(std::initializer_list<Loss> losses) {
  QueuedUpdate* const queued = QueuedUpdate::current();
  kernels::FiniteOf arrays[8];
  size_t count = 0;
  uint32_t number = queued ? static_cast<uint32_t>(queued->losses.size()) : 0;
  assert(2 * losses.size() <= std::size(arrays));
  for (const Loss& loss : losses) {
    ++number;
    arrays[count++] = {1, loss.value.tensor.f32(), number};
    arrays[count++] = {loss.gradient.size(), loss.gradient.f32(), number};
    if (queued) queued->losses.push_back(loss.name);
  }
  ArenaScope scope;
  const Tensor found = queued ? view(queued->failed, 1, 1) : zeros(1, 1, DType::uint32);
  kernels::current().flag_not_finite({arrays, count}, found.as<uint32_t>());
  if (queued) return;
  if (const uint32_t which = *fetched(found).as<uint32_t>()) {
    const Loss& loss = losses.begin()[which - 1];
    throw Failure(message(loss.name, " or its gradient is not finite (loss ", float(loss.value), ")"));
  }
}

}  // namespace meander
