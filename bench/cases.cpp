#include "bench/cases.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <type_traits>
#include <utility>

#include <meander/algos/device_agent.h>
#include <meander/algos/mean_flow.h>
#include <meander/algos/mfpo.h>
#include "bench/products_of_update.h"
#include <meander/kernels/device.h>
#include <meander/kernels/error.h>
#include <meander/kernels/dense.h>
#include <meander/kernels/elementwise.h>
#include <meander/kernels/philox.h>
#include <meander/kernels/rows.h>
#include <meander/kernels/threads.h>

namespace meander::bench {

using kernels::current;
using kernels::MlpProducts;
using kernels::MlpShape;
using kernels::Norm;
using kernels::Precision;

namespace {

const char* name_of(Precision precision) {
  return precision == Precision::float32 ? "float32" : precision == Precision::tf32 ? "tf32" : "bfloat16";
}
double clipped(double z) { return std::clamp(z, -1.0, 1.0); }
double one(double) { return 1; }
double mean_absolute(const Buffer& x) {
  const std::vector<float> numbers = x.numbers();
  return bench::mean_absolute(numbers.data(), x.size());
}

// ---- the kernels ----------------------------------------------------------------------------------------------------
struct MlpCase {
  Perceptron net;
  int64_t rows;
  ReadyWeights ready;  // of forward
  Buffer x, dx, dy_cotangent, y, dy, tape, gradient, workspace;

  MlpCase(const Data& data, Perceptron&& network, const std::string& prefix, int64_t n, bool tangents,
          Precision precision = Precision::float32)
      : net(std::move(network)), rows(n), ready(net, precision) {
    const int64_t in = net.shape.width[0], out = net.shape.width[net.shape.layers];
    x = data.normals(prefix + ".x", rows * in);
    y = Buffer(rows * out);
    workspace = Buffer(current().mlp_workspace(net.shape, rows));
    if (!tangents) return;
    dx = data.normals(prefix + ".dx", rows * in);
    dy_cotangent = data.normals(prefix + ".dy", rows * out);
    dy = Buffer(rows * out);
    tape = Buffer(current().mlp_tape_size(net.shape, rows));
    gradient = Buffer(net.params.size());
  }
  void forward() {
    current().mlp_forward(net.shape, net.params.data(), rows, x.data(), y.data(), nullptr, workspace.data(),
                          ready.products);
  }
  void value_and_tangent() {
    current().mlp_value_and_tangent(net.shape, net.params.data(), rows, x.data(), rows, dx.data(), y.data(), dy.data(),
                                    tape.data(), workspace.data());
  }
  void backward() {
    current().fill_value(gradient.size(), 0, gradient.data());  // the kernel adds
    current().mlp_backward(net.shape, net.params.data(), rows, x.data(), tape.data(), dy_cotangent.data(), nullptr,
                           gradient.data(), workspace.data());
  }
};

Case forward_case(const Data& data, Precision precision, Perceptron&& network, const std::string& prefix,
                  int64_t rows) {
  const auto c = std::make_shared<MlpCase>(data, std::move(network), prefix, rows, false, precision);
  return {.flop = c->net.flop(rows),
          .bytes = c->net.bytes(rows),
          .run = [c] { c->forward(); },
          .check = [c] { return mean_absolute(c->y); }};
}

Case value_and_tangent_case(const Data& data, int64_t rows) {
  const auto c = std::make_shared<MlpCase>(data, mlp_of_cases(data), "mlp", rows, true);
  return {.flop = 2 * c->net.flop(rows),
          .bytes = c->net.bytes(rows) + 4.0 * double(c->dx.size() + c->dy.size()),
          .run = [c] { c->value_and_tangent(); },
          .check = [c] {
            return 0.5 * (mean_absolute(c->y) + mean_absolute(c->dy));
          }};
}

// Value and tangent, then the gradient of sum(y * cotangent) through the value alone, by the parameters.
Case backward_case(const Data& data, int64_t rows) {
  const auto c = std::make_shared<MlpCase>(data, mlp_of_cases(data), "mlp", rows, true);
  const double first = 2.0 * double(c->net.shape.width[0] * c->net.shape.width[1] * rows);
  return {.flop = 4 * c->net.flop(rows) - first,  // value, tangent, weights, and inputs of all layers but the first
          .bytes = c->net.bytes(rows) + 4.0 * double(c->dx.size() + 2 * c->dy.size() + c->gradient.size()),
          .run = [c] { c->value_and_tangent(), c->backward(); },
          .check = [c] { return mean_absolute(c->gradient); }};
}

// A critic of HalfCheetah and its gradient by the action, for 100 actions of each of rows / 100 states.
Case value_and_input_gradient_case(const Data& data, int64_t rows) {
  constexpr int64_t group = 100, observations = 17, actions = 6;
  struct State {
    Perceptron net;
    Buffer state, action, y, gradient, workspace;
  };
  const auto s = std::make_shared<State>(
      State{{data, "mlp_scalar", {observations + actions, 256, 256, 256, 1}, Norm::none}, {}, {}, {}, {}, {}});
  s->net.shape.activation = kernels::Activation::mish;
  s->state = data.normals("mlp_scalar.state", rows / group * observations);
  s->action = data.normals("mlp_scalar.action", rows * actions);
  s->y = Buffer(rows);
  s->gradient = Buffer(rows * actions);
  s->workspace = Buffer(kernels::mlp_workspace(s->net.shape, rows));
  const auto run = [s, rows] {
    kernels::mlp_value_and_gradient_shared(s->net.shape, s->net.params.data(), rows, actions, s->action.data(), group,
                                           s->state.data(), false, s->y.data(), s->gradient.data(),
                                           s->workspace.data());
  };
  const double of_states = 2.0 * double(rows * observations * s->net.shape.width[1]);  // no gradient by them
  return {.flop = 2 * s->net.flop(rows) - of_states,
          .bytes = 4.0 * double(s->net.params.size() + s->state.size() + s->action.size() + s->y.size() +
                                s->gradient.size()),
          .run = run,
          .check = [s] { return mean_absolute(s->gradient); }};
}

// Adam, then the exponential average of the result.
Case adam_case(const Data& data, int64_t n) {
  struct State {
    Buffer params, gradient, m, v, target;
    int64_t step = 0;
  };
  const auto s = std::make_shared<State>();
  s->params = data.normals("adam.params", n);
  s->target = data.normals("adam.params", n);
  s->gradient = data.normals("adam.gradient", n);
  s->m = data.normals("adam.m", n);
  s->v = data.numbers("adam.v", n, [](double z) { return std::abs(z); });
  return {.bytes = 4.0 * 9 * double(n),  // reads five, writes four
          .run =
              [s, n] {
                const kernels::AdamArguments all[] = {{n, s->gradient.data(), s->params.data(), s->m.data(),
                                                       s->v.data(), s->target.data()}};
                kernels::adam(all, {}, 0.005f, ++s->step, nullptr, nullptr);
              }};
}

Case layer_norm_gelu_case(const Data& data, int64_t rows) {
  constexpr int64_t cols = 256;
  struct State {
    Buffer x, params, y;
    MlpShape shape;
  };
  const auto s = std::make_shared<State>();
  s->x = data.normals("norm.x", rows * cols);
  s->y = Buffer(rows * cols);
  s->params = Buffer(2 * cols);
  std::copy_n(data.normals("norm.scale", cols, 0.1, 1).data(), cols, s->params.data());
  std::copy_n(data.normals("norm.shift", cols, 0.1).data(), cols, s->params.data() + cols);
  s->shape.layers = 2;  // of a network of one hidden layer
  s->shape.width[1] = cols;
  s->shape.shift[0] = cols;
  const auto run = [s, rows] {
    kernels::parallel_for(rows, 16, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i += 16) {  // few rows at a time: the kernel works in place, in cache
        const int64_t n = std::min<int64_t>(16, end - i);
        float* const y = s->y.data() + i * cols;
        std::copy_n(s->x.data() + i * cols, n * cols, y);
        kernels::mlp_finish_layer(s->shape, s->params.data(), 0, n, y);
      }
    });
  };
  return {.bytes = 4.0 * double(2 * rows * cols + 2 * cols),
          .run = run,
          .check = [s] { return mean_absolute(s->y); }};
}

Case c51_case(const Data& data, int64_t rows) {
  constexpr int64_t atoms = 101;
  struct State {
    Buffer prob, position, y;
  };
  const auto s = std::make_shared<State>();
  s->prob = data.numbers("c51.prob", rows * atoms, [](double z) { return std::exp(z); });
  for (int64_t i = 0; i < rows; ++i) {  // the file's are normalised, but for rounding
    float* const p = s->prob.data() + i * atoms;
    const float sum = std::accumulate(p, p + atoms, 0.0f);
    for (int64_t j = 0; j < atoms; ++j) p[j] /= sum;
  }
  s->position = data.numbers("c51.position", rows * atoms,
                             [](double z) { return 1700 * std::erf(z / std::numbers::sqrt2); });  // uniform
  s->y = Buffer(rows * atoms);
  return {.bytes = 4.0 * 3 * double(rows * atoms),
          .run =
              [s, rows] {
                kernels::c51_project(rows, atoms, -1600, 1600, s->prob.data(), s->position.data(), s->y.data());
              },
          .check =
              [s] {  // of squares: the mean itself would be 1 / atoms whatever the projection does
                double sum = 0;
                for (int64_t i = 0; i < s->y.size(); ++i) sum += double(s->y.data()[i]) * s->y.data()[i];
                return sum / double(s->y.size());
              }};
}

// ---- MFPO -----------------------------------------------------------------------------------------------------------
struct Task {
  const char* name;
  int observations, actions;
  bool clipped_double_q;
};
constexpr Task half_cheetah = {"HalfCheetah", 17, 6, false}, humanoid = {"Humanoid", 376, 17, true};
constexpr int64_t batch_size = 256;

// As in training: batches and states come from memory of the host, metrics and actions go there.
struct Learner {
  std::unique_ptr<Agent> agent;
  std::vector<float> state, action, reward, mask, next_state, metrics;
  uint64_t step = 0;

  static MfpoSettings settings(const Task& task, Precision precision) {
    MfpoSettings s;
    s.clipped_double_q = task.clipped_double_q;
    s.drawing_precision = s.scoring_precision = s.acting_precision = name_of(precision);
    return s;
  }
  Learner(const Data& data, const Task& task, const MfpoSettings& settings) {
    const auto make = [&] { return settings.make_agent(task.observations, task.actions, 1); };
    agent = kernels::on_cpu() ? make() : std::make_unique<DeviceAgent>(current(), make);
    const std::string prefix = std::string("update.") + task.name + ".";
    state = data.values(prefix + "state", batch_size * task.observations, Data::normal());
    action = data.values(prefix + "action", batch_size * task.actions, clipped);
    reward = data.values(prefix + "reward", batch_size, Data::normal());
    mask = data.values(prefix + "mask", batch_size, one);
    next_state = data.values(prefix + "next_state", batch_size * task.observations, Data::normal());
    metrics.resize(agent->metric_names().size());
  }
  void update() {
    const auto matrix = [](std::vector<float>& x) { return view(x.data(), batch_size, std::ssize(x) / batch_size); };
    agent->update({matrix(state), matrix(action), matrix(reward), matrix(mask), matrix(next_state)}, ++step, metrics);
  }
};

// Multiply-adds x 2 a row of the trunks MFPO uses.
double flow_flop(const Task& task) {
  return 2.0 * ((task.observations + task.actions + 64) * 256 + 2 * 256 * 256 + 256 * task.actions);
}
double critic_flop(const Task& task) {
  return 2.0 * ((task.observations + task.actions) * 256 + 2 * 256 * 256 + 256 * 101);
}

Case update_case(const Data& data, Precision precision, const Task& task) {
  const auto learner = std::make_shared<Learner>(data, task, Learner::settings(task, precision));
  return {.flop = 1e9 * ProductsOfUpdate(task.observations, task.actions).gflop(),
          .run = [learner] { learner->update(); }};
}

// Candidates drawn for one state, the best of them by both target critics; 1: none is scored.
Case acting_case(const Data& data, Precision precision, int64_t candidates) {
  MfpoSettings settings = Learner::settings(half_cheetah, precision);
  settings.evaluation_candidates = candidates;
  const auto learner = std::make_shared<Learner>(data, half_cheetah, settings);
  const auto action = std::make_shared<std::vector<float>>(half_cheetah.actions);
  const std::span<const float> state(learner->state.data(), half_cheetah.observations);
  if (candidates == 1)
    return {.flop = 2 * flow_flop(half_cheetah),
            .run = [=] { learner->agent->explore(state, ++learner->step, *action); }};
  return {.flop = double(candidates) * (2 * flow_flop(half_cheetah) + 2 * critic_flop(half_cheetah)),
          .run = [=] { learner->agent->act(state, ++learner->step, *action); }};
}

// 10 candidates for each of 256 states, scored by both target critics, the best chosen.
Case candidates_case(const Data& data, Precision precision) {
  constexpr int64_t candidates = 10;
  struct State {
    Mfpo agent;
    Buffer state;
    uint64_t step = 0;
    State(const Data& data, Precision precision)
        : agent(half_cheetah.observations, half_cheetah.actions, Learner::settings(half_cheetah, precision), 1),
          state(data.normals("update.HalfCheetah.state", batch_size * half_cheetah.observations)) {}
  };
  const auto s = std::make_shared<State>(data, precision);
  const auto run = [s] {
    ArenaScope scope;
    const Tensor noise = empty(batch_size * candidates, half_cheetah.actions);
    current().philox_normal({.seed = 1, .purpose = 1, .step = ++s->step}, nullptr, noise.size(), noise.f32());
    s->agent.best_candidate(view(s->state.data(), batch_size, half_cheetah.observations), noise);
  };
  return {.flop = batch_size * candidates * (2 * flow_flop(half_cheetah) + 2 * critic_flop(half_cheetah)),
          .run = run};
}

// The mean velocity with both time embeddings: value and derivative along (v, 1, 0) of all rows, then the gradient of
// sum(u * cotangent) through the value by all parameters.
Case actor_jvp_reverse_case(const Data& data) {
  struct State {
    FlowNetwork network{half_cheetah.observations, half_cheetah.actions, {256, 3}, half_cheetah.actions,
                        Times::fourier};
    Buffer params, state, x, velocity, cotangent, t, r;
  };
  const auto s = std::make_shared<State>();
  s->params = Buffer(s->network.layout.size());
  s->network.layout.initialise(s->params, Stream(1, Purpose::initialise_actor, 0));
  const int64_t n = batch_size, actions = half_cheetah.actions;
  s->state = data.normals("update.HalfCheetah.state", n * half_cheetah.observations);
  s->x = data.numbers("update.HalfCheetah.action", n * actions, clipped);
  s->velocity = data.normals("mlp.dy", n * actions);
  s->cotangent = data.normals("mlp.dy", n * actions);
  s->t = Buffer(n), s->r = Buffer(n);
  current().philox_uniform({.seed = 1, .purpose = 1}, nullptr, n, s->t.data());
  current().philox_uniform({.seed = 1, .purpose = 2}, nullptr, n, s->r.data());
  const auto run = [s] {
    ArenaScope scope;
    const Tensor state = view(s->state.data(), n, half_cheetah.observations), x = view(s->x.data(), n, actions),
                 velocity = view(s->velocity.data(), n, actions), cotangent = view(s->cotangent.data(), n, actions),
                 t = view(s->t.data(), n, 1), r = view(s->r.data(), n, 1);
    value_and_grad(
        [&](Value params) {
          const auto u = [&](Value x, Value t, Value r) { return s->network(params, state, x, t, r); };
          const Value one = full(n, 1, 1);
          const auto [value, derivative] = jvp(u, {x, t, r}, {velocity, one, Value()});
          return Values<2>{sum_all(value * Value(cotangent)), stop_gradient(derivative)};
        },
        s->params.tensor());
  };
  // Trunk: value, tangent, weights, inputs. Embeddings of t and h: the same without inputs of their first layer.
  const double embedding = 2.0 * 2 * (4 * (128 * 64 + 64 * 64) - 128 * 64);
  return {.flop = double(n) * (4 * flow_flop(half_cheetah) + embedding), .run = run};
}

// ---- a one-step policy: 32 candidates a_i = clip(e_i - u(s, e_i, t = 1, r = 0), -1, 1), best of them by two critics -
struct OneStep {
  static constexpr int64_t observations = 46, actions = 25, width = 512, candidates = 32;
  Perceptron actor, critic[2];
  ReadyWeights of_actor, of_critic[2];
  Buffer state, given_noise, noise, start, action, q[2], workspace;
  uint64_t step = 0;
  int64_t best = 0;

  OneStep(const Data& data, Precision precision)
      : actor(data, "one_step.actor", {observations + actions + 2, width, width, width, width, actions}, Norm::none),
        critic{{data, "one_step.critic_0", {observations + actions, width, width, width, width, 1},
                Norm::after_activation},
               {data, "one_step.critic_1", {observations + actions, width, width, width, width, 1},
                Norm::after_activation}},
        of_actor(actor, precision),
        of_critic{{critic[0], precision}, {critic[1], precision}},
        state(data.normals("one_step.state", observations)),
        given_noise(data.normals("one_step.noise", candidates * actions)),
        noise(candidates * actions),
        start(width),
        action(candidates * actions),
        q{Buffer(candidates), Buffer(candidates)},
        workspace(std::max({kernels::mlp_workspace(actor.shape, candidates),
                            kernels::mlp_workspace(critic[0].shape, candidates),
                            kernels::product_workspace(1, width, observations)})) {}

  const float* act() {
    kernels::philox_normal({.seed = 1, .purpose = 3, .step = ++step}, nullptr, noise.size(), noise.data());
    return act(noise.data());
  }
  // The chosen action.
  const float* act(const float* e) {
    // Inputs of the actor are [state, noise, t, r]. State and times go through its first layer once for all candidates.
    const float* const first = actor.params.data() + actor.shape.weight[0];
    kernels::dense(1, observations, width, state.data(), first, actor.params.data() + actor.shape.bias[0],
                   start.data(), workspace.data());
    const float* const weight_of_t = first + (observations + actions) * width;
    for (int64_t j = 0; j < width; ++j) start.data()[j] += weight_of_t[j];  // t = 1, and r = 0 adds nothing
    kernels::mlp_forward_projected(actor.shape, actor.params.data(), candidates, actions, e, observations, candidates,
                                   start.data(), action.data(), workspace.data(), of_actor.products);
    for (int64_t i = 0; i < action.size(); ++i)
      action.data()[i] = std::clamp(e[i] - action.data()[i], -1.0f, 1.0f);
    for (int i : {0, 1})
      kernels::mlp_forward_shared(critic[i].shape, critic[i].params.data(), candidates, actions, action.data(),
                                  candidates, state.data(), false, q[i].data(), workspace.data(),
                                  of_critic[i].products);
    best = 0;
    for (int64_t i = 1; i < candidates; ++i)
      if (q[0].data()[i] + q[1].data()[i] > q[0].data()[best] + q[1].data()[best]) best = i;
    return action.data() + best * actions;
  }
};

Case one_step_case(const Data& data, Precision precision) {
  const auto policy = std::make_shared<OneStep>(data, precision);
  constexpr int64_t n = OneStep::candidates;
  return {.flop = policy->actor.flop(n) + policy->critic[0].flop(n) + policy->critic[1].flop(n),
          .bytes = 4.0 * double(policy->actor.params.size() + 2 * policy->critic[0].params.size()),
          .run = [policy] { policy->act(); },
          .check = [policy] {
            return bench::mean_absolute(policy->act(policy->given_noise.data()), OneStep::actions);
          }};
}

// ---- the list -------------------------------------------------------------------------------------------------------
struct Entry {
  std::string name;
  bool rounded;   // may round factors
  bool portable;  // to other devices than the CPU
  std::function<Case(const Data&, Precision)> make;
};

const std::vector<Entry>& entries() {
  static const std::vector<Entry> all = [] {
    std::vector<Entry> list;
    for (const Task& task : {half_cheetah, humanoid})
      list.push_back({std::string("mfpo_update/") + task.name, true, true,
                      [task](const Data& data, Precision p) { return update_case(data, p, task); }});
    for (const auto& [name, candidates] : {std::pair{"explore", 1}, std::pair{"evaluate_10", 10},
                                           std::pair{"evaluate_32", 32}})
      list.push_back({std::string("act/mfpo_") + name, true, true,
                      [=](const Data& data, Precision p) { return acting_case(data, p, candidates); }});
    list.push_back({"act/one_step_32", true, false, one_step_case});
    const auto add = [&](const std::string& kernel, const std::vector<int64_t>& rows, bool portable, auto make) {
      constexpr bool rounded = std::is_invocable_v<decltype(make), const Data&, Precision, int64_t>;
      for (const int64_t n : rows)
        list.push_back({with_rows(kernel, {n})[0], rounded, portable,
                        [=](const Data& data, [[maybe_unused]] Precision p) {
                          if constexpr (rounded) return make(data, p, n);
                          else return make(data, n);
                        }});
    };
    add("mlp_forward", mlp_rows, true,
        [](const Data& data, Precision p, int64_t n) { return forward_case(data, p, mlp_of_cases(data), "mlp", n); });
    add("mlp_value_and_tangent", mlp_rows, true, value_and_tangent_case);
    add("mlp_backward", mlp_rows, true, backward_case);
    add("value_and_input_gradient", {25600}, false, value_and_input_gradient_case);
    add("chain", chain_rows, true, [](const Data& data, Precision p, int64_t n) {
      return forward_case(data, p, chain_of_cases(data), "chain", n);
    });
    list.push_back({"actor_jvp_reverse/256", false, true, [](const Data& data, Precision) {
                      return actor_jvp_reverse_case(data);
                    }});
    list.push_back({"candidates/256x10", true, true, candidates_case});
    add("adam_ema", {1048576}, false, adam_case);
    add("layer_norm_gelu", {12288}, false, layer_norm_gelu_case);
    add("c51_projection", {256}, false, c51_case);
    return list;
  }();
  return all;
}

std::vector<std::string> names_of(const std::function<bool(const Entry&)>& wanted) {
  std::vector<std::string> names;
  for (const Entry& entry : entries())
    if (wanted(entry)) names.push_back(entry.name);
  return names;
}

}  // namespace

std::vector<std::string> case_names() {
  return names_of([](const Entry&) { return true; });
}
std::vector<std::string> rounded_case_names() {
  return names_of([](const Entry& entry) { return entry.rounded; });
}
std::vector<std::string> portable_case_names() {
  return names_of([](const Entry& entry) { return entry.portable; });
}

Case make_case(const std::string& name, const Data& data, Precision precision) {
  for (const Entry& entry : entries())
    if (entry.name == name && (entry.rounded || precision == Precision::float32) &&
        (entry.portable || kernels::on_cpu()))
      return entry.make(data, precision);
  throw Error(message("no case '", name, "' in ", name_of(precision), " on ", current().name));
}

}  // namespace meander::bench
