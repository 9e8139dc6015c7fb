#pragma once

#include <meander/kernels/mlp_shape.h>
#include <meander/nn/flow_network.h>
#include <meander/nn/ready_weights.h>

namespace meander {

// Draws actions from a flow network u: x begins as noise at t = 1; T steps x <- x - u(s, x, t, t - 1/T) / T, or Euler's
// x <- x - u(s, x, t, t) / T, lead down to t = 0, the action. What depends on the parameters alone (the times' share of
// the first layer, packed weights) is kept from call to call: say `outdate` when they change.
class FlowSampler {
 public:
  // The network and its parameters must live as long as this.
  FlowSampler(const FlowNetwork& network, const Buffer& params, int64_t steps, bool euler)
      : network_(network), params_(params), steps_(steps), euler_(euler), step_begin_(steps), step_end_(steps) {
    std::vector<float> t;
    for (int64_t i = 0; i <= steps; ++i) t.push_back(static_cast<float>(1 - double(i) / double(steps)));
    step_begin_.set(t.data()), step_end_.set(t.data() + 1);
  }

  void outdate();

  // K actions a state, not yet in [-1, 1]: state [B, S], noise [B K, A] -> [B K, A]. at_step(i, x) is called with the
  // position before each step.
  template <class F>
  Tensor operator()(Tensor state, Tensor noise, kernels::Precision precision, F&& at_step) {
    const Value params = params_.tensor(), of_state = network_.project_state(params, state);
    const Tensor of_times = times();
    const kernels::MlpProducts& products =
        ready_[static_cast<int>(precision)].of(network_.trunk(), params_, precision);
    Value x = noise;
    for (int64_t i = 0; i < steps_; ++i) {
      at_step(i, x.detached);
      x = add_scaled(x, -1.0 / double(steps_),
                     network_.from_projection(params, of_state + slice_rows(of_times, i, 1), x, products));
    }
    return x.detached;
  }
  Tensor operator()(Tensor state, Tensor noise, kernels::Precision precision = kernels::Precision::float32) {
    return (*this)(state, noise, precision, [](int64_t, Tensor) {});
  }

  // What the times of the steps contribute to the first layer of a network like this one, [T, width].
  Tensor times_of(const FlowNetwork& network, Value params) const;
  Tensor times();   // of this one, kept

  const FlowNetwork& network() const { return network_; }
  const Buffer& params() const { return params_; }
  int64_t steps() const { return steps_; }

 private:
  const FlowNetwork& network_;
  const Buffer& params_;
  int64_t steps_;
  bool euler_;
  Buffer step_begin_, step_end_;   // t and r of each step
  Buffer times_;
  Kept times_kept_;
  ReadyWeights ready_[3];   // by precision
};

}  // namespace meander
