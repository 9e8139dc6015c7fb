#include <meander/algos/learner.h>

#include <cassert>
#include <string_view>

#include <meander/kernels/device.h>
#include <meander/kernels/error.h>

namespace meander {

std::vector<Network> networks_of(std::initializer_list<Network> first, TwinCritic& critic,
                                 std::initializer_list<Network> more) {
  std::vector<Network> all = first;
  all.push_back({"critic1/", &critic.layout, &critic.online[0], true});
  all.push_back({"critic2/", &critic.layout, &critic.online[1], true});
  all.insert(all.end(), more);
  all.push_back({"target1/", &critic.layout, &critic.target[0], false});
  all.push_back({"target2/", &critic.layout, &critic.target[1], false});
  return all;
}

void Learner::save(SafetensorsWriter& file) const {
  saved_.clear();
  const auto save = [&](const Network& n, const std::string& prefix, const Buffer& numbers) {
    const float* host = kernels::on_cpu() ? numbers.data() : saved_.emplace_back(numbers.numbers()).data();
    n.layout->save(file, prefix + n.name, host);
  };
  for (const Network& n : networks_) {
    save(n, "", n.train_state->params);
    if (!n.optimised) continue;
    save(n, "adam_m/", n.train_state->m);
    save(n, "adam_v/", n.train_state->v);
  }
}

void Learner::load(const SafetensorsFile& file) {
  parameters_changed();
  const auto load = [&](const Network& n, const std::string& prefix, Buffer& numbers, double least = -1e300) {
    std::vector<float> host(static_cast<size_t>(numbers.size()));
    n.layout->load(file, prefix + n.name, host.data(), least);
    numbers.set(host.data());
  };
  for (const Network& n : networks_) {
    load(n, "", n.train_state->params);
    if (!n.optimised) continue;
    load(n, "adam_m/", n.train_state->m);
    load(n, "adam_v/", n.train_state->v, 0);   // means of squares
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

double Learner::one_step_gap(std::span<const float> states) {
  ArenaScope scope;
  const int64_t count = std::ssize(states) / observations_;
  return policy_->one_step_gap(placed(view(states.data(), count, observations_)),
                               normals(Purpose::gap_noise, 0, count, policy().numbers()));
}

Tensor Learner::DrawTogether::add(const char* name, Purpose purpose, bool normal, int64_t rows, int64_t cols) {
  if (learner_.draw_source_)
    if (const Tensor given = learner_.draw_source_(name, rows, cols)) return given;
  const Tensor x = empty(rows, cols);
  assert(count_ < std::size(draws_));
  if (x.size() > 0) draws_[count_++] = {learner_.key(purpose, step_), normal, x.size(), x.f32()};
  return x;
}

void Learner::DrawTogether::now() {
  if (count_ > 0) kernels::current().philox_draws({draws_, count_}, QueuedUpdate::place_of(step_));
}

// ---- what is observed and logged ------------------------------------------------------------------------------------
Tensor mean(Tensor quantity) { return mean_all(quantity).detached; }
Tensor mean_length(Tensor quantity) { return mean_all(sqrt(sum_row(square(quantity)))).detached; }

void Learner::log_metrics(std::span<const Metric> metrics) {
  metrics_ = metrics;
  for (const Metric& m : metrics) metric_names_.push_back(m.name);
}

void Learner::Report::critic_losses(const TwinCritic::Loss (&loss)[2]) {
  check_finite({{"critic_loss1", loss[0].loss, loss[0].gradient}, {"critic_loss2", loss[1].loss, loss[1].gradient}});
  (*this)({{"critic1/loss", loss[0].loss}, {"critic1/outputs", loss[0].outputs}, {"critic1/gradient", loss[0].gradient},
           {"critic2/loss", loss[1].loss}, {"critic2/outputs", loss[1].outputs},
           {"critic2/gradient", loss[1].gradient}});
}

void Learner::Report::keep(const Quantity& quantity) {
  int64_t place = 0;
  for (const Metric& m : learner_.metrics_) {
    if (std::string_view(m.quantity) == quantity.name) {
      assert(count_ < std::size(numbers_));
      numbers_[count_++] = {m.number(quantity.value).f32(), place};
    }
    ++place;
  }
}

void Learner::Report::record() {
  if (count_ > 0) kernels::current().gather_numbers({numbers_, count_}, row_.data());
}

void check_finite(std::initializer_list<Loss> losses) {
  QueuedUpdate* const queued = QueuedUpdate::current();
  kernels::FiniteArguments arrays[8];
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
    throw Diverged(message(loss.name, " or its gradient is not finite (loss ", float(loss.value), ")"));
  }
}

}  // namespace meander
