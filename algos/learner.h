#pragma once

#include <functional>

#include <meander/algos/agent.h>
#include <meander/algos/mean_flow.h>
#include <meander/core/operations.h>
#include <meander/kernels/arrays.h>
#include <meander/kernels/philox.h>
#include <meander/nn/policy.h>
#include <meander/nn/twin_critic.h>

namespace meander {

// One network of a learner: its parameters' names and places, and where they are.
struct Network {
  const char* name;               // "actor/"
  const ParameterLayout* layout;
  TrainState* train_state;
  bool optimised;                 // false: a target
};
// `first`, both critics, `more`, and the targets that follow the critics: the order of a checkpoint.
std::vector<Network> networks_of(std::initializer_list<Network> first, TwinCritic& critic,
                                 std::initializer_list<Network> more = {});

// What an update computes on its way, under its name: "actor/velocity"; absent in some updates.
struct Quantity {
  const char* name;
  Tensor value;
  Quantity(const char* name, Tensor value) : name(name), value(value) {}
  Quantity(const char* name, Value value) : Quantity(name, value.detached) {}
  Quantity(const char* name, Number value) : Quantity(name, value.tensor) {}
};
// Called with each, while an update runs: it lies on the update's device and in its arena, so that who wants to keep it
// copies it.
using QuantityObserver = std::function<void(const Quantity&)>;

// The random numbers that an update asks for under a name of its Draws, [rows, cols] on the current device and valid
// until the update is over; absent: the update draws them itself.
using DrawSource = std::function<Tensor(const char* name, int64_t rows, int64_t cols)>;

// A number that is logged of each update: of one of the quantities that the update reports.
struct Metric {
  const char* name;
  const char* quantity;
  Tensor (*number)(Tensor) = [](Tensor quantity) { return quantity; };   // -> [1, 1]
};
Tensor mean(Tensor quantity);           // of all elements
Tensor mean_length(Tensor quantity);    // of the rows

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
  bool has_flow() const override { return policy().has_flow(); }
  double one_step_gap(std::span<const float> states) override;
  void act_by_best_of(int64_t candidates) override { policy_->act_by_best_of(candidates); }
  void prepare_to_act() override { policy_->prepare(); }
  // Candidates [B K, h A] from noise as the policy draws them, and of each state's the best.
  Choice best_candidate(Tensor state, Tensor noise) { return policy_->best_candidate(state, noise); }

  // Everything an update changes, in the order of the checkpoint, to be read or set.
  const std::vector<Network>& networks() {
    parameters_changed();
    return networks_;
  }
  std::span<const char* const> metric_names() const final { return metric_names_; }
  // From the next update on; none: as at first. A repetition of a recorded update calls nobody.
  void observe(QuantityObserver observer) { observer_ = std::move(observer); }
  // Reports to the observer what this algorithm computes in acting beside its candidates, for states [B, S], with the
  // random numbers that `draws` gives under the names of a recording; what it does not give is left out.
  virtual void report_acting(Tensor /*state*/, const DrawSource& /*draws*/) {}
  // From the next update on; none: as at first.
  void take_draws_from(DrawSource source) { draw_source_ = std::move(source); }

 protected:
  Learner(int observations, int actions, uint64_t seed) : observations_(observations), actions_(actions), seed_(seed) {}
  // Says how this learner acts; once, when all that the description points to is there.
  Policy& acts_by(const PolicyDescription& description) {
    own_policy_ = std::make_unique<Policy>(description);
    return acts_by(*own_policy_);
  }
  Policy& acts_by(Policy& policy) { return *(policy_ = &policy); }   // which lives as long
  virtual void parameters_changed() { policy_->outdate(); }   // from outside: what was computed from them is outdated
  void outdate() final { parameters_changed(); }

  kernels::RandomKey key(Purpose purpose, uint64_t step) const { return {seed_, static_cast<uint32_t>(purpose), step}; }
  Tensor normals(Purpose purpose, uint64_t step, int64_t rows, int64_t cols) const;
  Tensor uniforms(Purpose purpose, uint64_t step, int64_t rows, int64_t cols) const;
  // Numbers of several purposes that are drawn together: room for each, and at `now` the numbers. `name`: in Draws.
  class DrawTogether {
   public:
    DrawTogether(const Learner& learner, uint64_t step) : learner_(learner), step_(step) {}
    Tensor normals(const char* name, Purpose purpose, int64_t rows, int64_t cols) {
      return add(name, purpose, true, rows, cols);
    }
    Tensor uniforms(const char* name, Purpose purpose, int64_t rows, int64_t cols) {
      return add(name, purpose, false, rows, cols);
    }
    // One of the two columns [rows, 1] that the sampler makes times of.
    Tensor times(const char* name, const FlowTimesSampler& sampler, Purpose purpose, int64_t rows) {
      return add(name, purpose, sampler.from_normals(), rows, 1);
    }
    void now();

   private:
    Tensor add(const char* name, Purpose purpose, bool normal, int64_t rows, int64_t cols);
    const Learner& learner_;
    uint64_t step_;
    kernels::DrawArguments draws_[16];
    size_t count_ = 0;
  };
  // Where an update reports its quantities: the observer sees them, and of those that are logged the numbers are kept
  // until `record` writes them to their places in the row, all at once. An empty row: none is wanted.
  class Report {
   public:
    Report(const Learner& learner, std::span<float> row) : learner_(learner), row_(row) {}
    void operator()(std::initializer_list<Quantity> quantities) {
      for (const Quantity& q : quantities) {
        if (!q.value) continue;
        if (learner_.observer_) learner_.observer_(q);
        if (!row_.empty()) keep(q);
      }
    }
    // Loss, gradient and outputs of both; throws Diverged if they are not finite.
    void critic_losses(const TwinCritic::Loss (&loss)[2]);
    void record();

   private:
    void keep(const Quantity& quantity);
    const Learner& learner_;
    std::span<float> row_;
    kernels::NumberArguments numbers_[32];
    size_t count_ = 0;
  };
  bool is_observed() const { return bool(observer_); }
  void log_metrics(std::span<const Metric> metrics);   // to be called once, by the constructor

  int observations_, actions_;
  uint64_t seed_;
  std::vector<Network> networks_;

 private:
  Policy* policy_ = nullptr;
  std::unique_ptr<Policy> own_policy_;
  std::span<const Metric> metrics_;
  std::vector<const char*> metric_names_;
  QuantityObserver observer_;
  DrawSource draw_source_;
  mutable std::vector<std::vector<float>> saved_;   // what a file being written reads, from another device than the CPU
};

// Learns a policy for a Q that is given and stays: what is left of an algorithm without its critics.
class PolicyLearner {
 public:
  virtual ~PolicyLearner() = default;
  // One update of the policy from states [B, S]; `step` counts from 1. Throws Failure as Agent::update does.
  virtual void improve_policy(const ActionValue& q, Tensor state, uint64_t step) = 0;
};

struct Loss {
  const char* name;
  Number value;
  Tensor gradient;
};
// Throws Diverged naming the first loss that is not finite, or whose gradient is not; in a queued update that is said
// when it is done.
void check_finite(std::initializer_list<Loss>);

}  // namespace meander
