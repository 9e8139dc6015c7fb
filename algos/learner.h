#pragma once

#include <functional>

#include <meander/algos/agent.h>
#include <meander/algos/mean_flow.h>
#include <meander/core/operations.h>
#include <meander/nn/policy.h>
#include <meander/nn/trained.h>

namespace meander {

// One network of a learner: its parameters' names and places, and where they are.
struct Network {
  const char* name;               // "actor/"
  const ParameterLayout* layout;
  Trained* trained;
  bool optimised;                 // false: a target
};

// Q(s, a) of K actions a state: state [B, S], action [B K, A] -> [B K, 1]; differentiable by the action.
using ActionValue = std::function<Value(Value state, Value action)>;

// What the algorithms have in common as agents: dimensions, networks and their files, acting, random numbers.
class Learner : public Agent {
 public:
  Learner(const Learner&) = delete;
  int observations() const override { return observations_; }
  int actions() const override { return actions_; }
  void save(SafetensorsWriter& file) const override;
  void load(const SafetensorsFile& file) override;

  const PolicyDescription& policy() const override { return policy_->description(); }
  int chunk() const override { return static_cast<int>(policy().chunk); }
  void explore(std::span<const float> state, uint64_t step, std::span<float> chunk) override {
    policy_->explore(state, seed_, step, chunk);
  }
  void act(std::span<const float> state, uint64_t step, std::span<float> chunk) override {
    policy_->act(state, seed_, step, chunk);
  }
  void prepare_to_act() override { policy_->prepare(); }
  // Candidates [B K, h A] from noise as the policy draws them, and of each state's the best.
  Choice best_candidate(Tensor state, Tensor noise) { return policy_->best_candidate(state, noise); }

  // Everything an update changes, in the order of the checkpoint, to be read or set.
  const std::vector<Network>& networks() {
    parameters_changed();
    return networks_;
  }

 protected:
  Learner(int observations, int actions, uint64_t seed) : observations_(observations), actions_(actions), seed_(seed) {}
  // Says how this learner acts; once, when all that the description points to is there.
  Policy& acts_by(const PolicyDescription& description) {
    policy_ = std::make_unique<Policy>(description);
    return *policy_;
  }
  virtual void parameters_changed() { policy_->outdate(); }   // from outside: what was computed from them is outdated
  void outdate() final { parameters_changed(); }

  kernels::RandomKey key(Purpose purpose, uint64_t step) const { return {seed_, static_cast<uint32_t>(purpose), step}; }
  Tensor normals(Purpose purpose, uint64_t step, int64_t rows, int64_t cols) const;
  Tensor uniforms(Purpose purpose, uint64_t step, int64_t rows, int64_t cols) const;
  // One of the two columns [rows, 1] that the sampler makes times of.
  Tensor times(const IntervalSampler& sampler, Purpose purpose, uint64_t step, int64_t rows) const {
    return sampler.from_normals() ? normals(purpose, step, rows, 1) : uniforms(purpose, step, rows, 1);
  }
  // Numbers of several purposes that are drawn together: room for each, and at `now` the numbers.
  class DrawTogether {
   public:
    DrawTogether(const Learner& learner, uint64_t step) : learner_(learner), step_(step) {}
    Tensor normals(Purpose purpose, int64_t rows, int64_t cols) { return add(purpose, true, rows, cols); }
    Tensor uniforms(Purpose purpose, int64_t rows, int64_t cols) { return add(purpose, false, rows, cols); }
    void now();

   private:
    Tensor add(Purpose purpose, bool normal, int64_t rows, int64_t cols);
    const Learner& learner_;
    uint64_t step_;
    kernels::DrawOf draws_[16];
    size_t count_ = 0;
  };

  int observations_, actions_;
  uint64_t seed_;
  std::vector<Network> networks_;

 private:
  std::unique_ptr<Policy> policy_;
  mutable std::vector<std::vector<float>> saved_;   // what a file being written reads, from another device than the CPU
};

// Learns a policy for a Q that is given and stays: what is left of an algorithm without its critics.
class PolicyLearner {
 public:
  virtual ~PolicyLearner() = default;
  // One update of the policy from states [B, S]; `step` counts from 1. Throws Failure as Agent::update does.
  virtual void improve_policy(const ActionValue& q, Tensor state, uint64_t step) = 0;
};

// Places in the row of metrics take numbers [1, 1], all at once.
struct Metric {
  int which;
  Tensor value;
  Metric(int which, Number value) : which(which), value(value.tensor) {}
  Metric(int which, Value value) : which(which), value(value.tensor) {}
  Metric(int which, Tensor value) : which(which), value(value) {}
};
void record(std::span<float> metrics, std::initializer_list<Metric>);
// Throws Failure naming the first loss that is not finite, or whose gradient is not; in a queued update that is said when
// it is done.
struct Loss {
  const char* name;
  Number value;
  Tensor gradient;
};
void check_finite(std::initializer_list<Loss>);

}  // namespace meander
