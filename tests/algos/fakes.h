#pragma once

// A task and a learner small enough to know every number of.

#include <cmath>
#include <vector>

#include <meander/nn/policy.h>
#include <meander/algos/agent.h>
#include <meander/kernels/error.h>
#include <meander/core/environment.h>
#include <meander/kernels/philox.h>

namespace meander::fakes {

// A point on a line, pushed by its one action. Observation: position, steps in the episode. A third of the episodes end
// truly after `true_end` steps, the others at the time limit.
class Line : public Environment {
 public:
  explicit Line(int time_limit = 20, int true_end = 7) : true_end_(true_end) {
    info_.name = "Line";
    info_.observations = 2;
    info_.actions = 1;
    info_.action_low = {-2};
    info_.action_high = {2};
    info_.time_limit = time_limit;
  }
  const EnvironmentInfo& info() const override { return info_; }
  void reset(Stream& random) override {
    time_ = 0;
    position_ = random.uniform(-1, 1);
    ends_ = random.uniform() < 1.0 / 3;
    observe();
  }
  Step step(std::span<const double> action) override {
    position_ = 0.9 * position_ + 0.1 * action[0];
    ++time_;
    observe();
    return {-position_ * position_, ends_ != 0 && time_ == true_end_, time_ == info_.time_limit};
  }
  std::span<const double> observation() const override { return observation_; }
  std::vector<double> save() const override { return {position_, time_, ends_}; }
  void load(std::span<const double> state) override {
    if (state.size() != 3) throw Error("Line: expected 3 numbers");
    position_ = state[0], time_ = state[1], ends_ = state[2];
    observe();
  }

 private:
  void observe() { observation_ = {position_, time_}; }

  EnvironmentInfo info_;
  std::vector<double> observation_ = {0, 0};
  double position_ = 0, time_ = 0, ends_ = 0;
  int true_end_;
};

// "Learns" a weight and a bias from every number of its batch, so that one different bit anywhere shows.
class Learner : public Agent {
 public:
  int observations() const override { return 2; }
  int actions() const override { return 1; }
  int batch_size() const override { return 8; }
  const PolicyDescription& policy() const override { return description; }
  void explore(std::span<const float> state, uint64_t step, std::span<float> action) override {
    float noise;
    kernels::philox_uniform({3, static_cast<uint32_t>(Purpose::explore), step}, nullptr, 1, &noise);
    action[0] = std::fmax(-1.0f, std::fmin(1.0f, weight * state[0] + 0.01f * state[1] + noise - 0.5f));
    explored.push_back(step);
  }
  void act(std::span<const float> state, uint64_t, std::span<float> action) override {
    action[0] = weight * state[0] + bias;
    ++acted;
  }
  void update(const Batch& batch, uint64_t step, std::span<float> metrics) override {
    if (step == fails_at) throw Failure("the actor's loss is not finite");
    float sum = 0;
    for (const Tensor& t : {batch.state, batch.action, batch.reward, batch.mask, batch.next_state})
      for (int64_t i = 0; i < t.size(); ++i) sum = 0.7f * sum + t.f32()[i];
    weight = 0.99f * weight + 0.01f * sum;
    bias += 0.001f * static_cast<float>(step % 7);
    metrics[0] = sum;
    metrics[1] = clipped;
    metrics[2] = 0;
    ++updates;
  }
  std::span<const char* const> metric_names() const override {
    static const char* const names[] = {"loss", "clipped_high", "clipped_low"};
    return names;
  }
  void save(SafetensorsWriter& file) const override {
    file.add("weight", {1}, &weight);
    file.add("bias", {1}, &bias);
  }
  void load(const SafetensorsFile& file) override {
    weight = file.values<float>("weight", 1)[0];
    bias = file.values<float>("bias", 1)[0];
  }

  float weight = 0.1f, bias = 0;
  float clipped = 0;
  uint64_t fails_at = 0;
  int64_t updates = 0, acted = 0;
  PolicyDescription description{.observations = 2, .actions = 1, .actor = PolicyDescription::Gaussian{},
                                 .params = nullptr};
  std::vector<uint64_t> explored;
};

}  // namespace meander::fakes
