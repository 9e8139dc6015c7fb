#include <meander/app/onnx_policy.h>

#include <fmt/format.h>

#include <set>

#include <meander/app/exported_policy.h>
#include <meander/app/onnx_file.h>
#include <meander/app/version.h>
#include <meander/core/arena.h>

namespace meander {

namespace {

using kernels::Activation;
using kernels::Norm;
using Name = std::string;

class PolicyGraph {
 public:
  PolicyGraph(const PolicyDescription& policy, const ActingRecord& acting) : policy_(policy), acting_(acting) {}

  OnnxModel build() {
    const int64_t numbers = policy_.numbers(), candidates = policy_.act_candidates;
    const Name observation = scaled(model_.input("observation", {1, policy_.observations}));
    if (candidates == 1) {
      actions(observation, "action");
    } else {
      const Name all = actions(observation, "candidates");
      const Name q = model_.node(policy_.scores->smaller ? "Min" : "Mean",
                                 {value(0, observation, all), value(1, observation, all)}, "candidates/q");
      const Name best = model_.node("ArgMax", {q}, "best", {{"axis", int64_t{0}}, {"keepdims", int64_t{0}}});
      model_.node("Gather", {all, best}, "action", {{"axis", int64_t{0}}});
      model_.node("Gather", {q, best}, "q", {{"axis", int64_t{0}}});
    }
    model_.output("action", {1, numbers});
    if (candidates > 1) model_.output("q", {1, 1});
    return std::move(model_);
  }

 private:
  // What is said of a network in the names of its constants, and what it needs.
  struct Network {
    Name name;
    NetworkPart part;
  };

  Name scalar(const Name& name, float value) {
    if (scalars_.insert(name).second) model_.constant(name, {}, {&value, 1});
    return name;
  }

  // ---- networks -----------------------------------------------------------------------------------------------------
  Network placed(const Name& name, const NetworkPart& part) {
    const auto matrix = [&](const Name& to, const float* from, int64_t rows, int64_t cols, int64_t stride) {
      std::vector<float> numbers;
      for (int64_t i = 0; i < rows; ++i) numbers.insert(numbers.end(), from + i * stride, from + i * stride + cols);
      model_.constant(to, {rows, cols}, numbers);
    };
    for (int l = 0; l < part.shape->layers; ++l) {
      const Name dense = fmt::format("{}/dense_{}/", name, l), norm = fmt::format("{}/norm_{}/", name, l);
      const auto row = [&](const Name& to, int64_t offset) {
        model_.constant(to, {part.cols(l)}, {part.params + offset, static_cast<size_t>(part.cols(l))});
      };
      if (l == 0)
        matrix(dense + "state_weight", part.state_weight(), policy_.observations, part.cols(l), part.stride(l));
      if (part.rows(l) > 0) matrix(dense + "weight", part.weight(l), part.rows(l), part.cols(l), part.stride(l));
      row(dense + "bias", part.shape->bias[l]);
      if (!part.has_norm(l)) continue;
      row(norm + "scale", part.shape->scale[l]);
      row(norm + "shift", part.shape->shift[l]);
    }
    return {name, part};
  }

  // The observation's share of the first layer's sums, the bias included.
  Name share_of_state(const Network& network, const Name& observation) {
    const Name dense = network.name + "/dense_0/";
    return model_.node("Gemm", {observation, dense + "state_weight", dense + "bias"}, network.name + "/of_observation");
  }

  // Rows of own inputs (none: "") through the network, whose first sums begin at `start`; nodes are named `at`/...
  Name through(const Network& network, const Name& at, const Name& own, const Name& start) {
    const NetworkPart& part = network.part;
    Name z = own;
    for (int l = 0; l < part.shape->layers; ++l) {
      const Name dense = fmt::format("{}/dense_{}/", network.name, l);
      z = z.empty() ? start : model_.node("Gemm", {z, dense + "weight", l ? dense + "bias" : start},
                                          fmt::format("{}/dense_{}", at, l));
      if (part.is_last(l)) break;
      const Name norm = fmt::format("{}/norm_{}/", network.name, l);
      const auto normalise = [&] {
        z = model_.node("LayerNormalization", {z, norm + "scale", norm + "shift"}, fmt::format("{}/norm_{}", at, l),
                        {{"axis", int64_t{-1}}, {"epsilon", part.shape->norm_eps}});
      };
      if (part.shape->norm == Norm::before_activation) normalise();
      z = activated(part.shape->activation, z, fmt::format("{}/{}_{}", at, activation_name(part.shape->activation), l));
      if (part.shape->norm == Norm::after_activation) normalise();
    }
    return z;
  }

  // The result is named `at`, what is on the way to it `at`/...
  Name activated(Activation which, const Name& x, const Name& at) {
    switch (which) {
      case Activation::relu: return model_.node("Relu", {x}, at);
      case Activation::tanh: return model_.node("Tanh", {x}, at);
      case Activation::silu: return model_.node("Mul", {x, model_.node("Sigmoid", {x}, at + "/sigmoid")}, at);
      case Activation::mish: {
        const Name softplus = model_.node("Softplus", {x}, at + "/softplus");
        return model_.node("Mul", {x, model_.node("Tanh", {softplus}, at + "/tanh")}, at);
      }
      case Activation::gelu: {
        // 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), of the nodes that ONNX Runtime knows and makes one of: it
        // takes a decision of MFPO in three quarters of the time of x sigmoid(2 z), which is the same.
        const Name cube = model_.node("Pow", {x, scalar("gelu/exponent", 3)}, at + "/cube");
        const Name cubic = model_.node("Mul", {cube, scalar("gelu/cubic", 0.044715f)}, at + "/cubic");
        const Name sum = model_.node("Add", {x, cubic}, at + "/sum");
        const Name z = model_.node("Mul", {sum, scalar("gelu/linear", 0.797884561f)}, at + "/z");
        const Name tanh = model_.node("Tanh", {z}, at + "/tanh");
        const Name gate = model_.node("Add", {tanh, scalar("gelu/one", 1)}, at + "/gate");
        const Name half = model_.node("Mul", {x, scalar("gelu/half", 0.5f)}, at + "/half");
        return model_.node("Mul", {half, gate}, at);
      }
    }
    return x;
  }

  // ---- the decision -------------------------------------------------------------------------------------------------
  Name scaled(const Name& observation) {
    if (acting_.mean.empty()) return observation;
    const OnnxModel::Shape row = {policy_.observations};
    const Name mean = model_.constant("observation/mean", row, acting_.mean);
    const Name deviation = model_.constant("observation/deviation", row, acting_.deviation);
    return model_.node("Div", {model_.node("Sub", {observation, mean}, "observation/centred"), deviation},
                       "observation/scaled");
  }

  // K actions of an observation, bounded.
  Name actions(const Name& observation, const Name& name) {
    const Network actor = placed("actor", actor_part(policy_));
    const Name share = share_of_state(actor, observation);
    Name x;
    if (!std::holds_alternative<PolicyDescription::Gaussian>(policy_.actor))
      x = model_.input("noise", {policy_.act_candidates, policy_.numbers()});
    if (std::holds_alternative<PolicyDescription::Flow>(policy_.actor)) x = flowed(actor, x, share);
    else x = through(actor, "actor", x, share);
    if (policy_.bound == PolicyDescription::Bound::tanh) return model_.node("Tanh", {x}, name);
    return model_.node("Clip", {x, scalar("action/lowest", -1), scalar("action/highest", 1)}, name);
  }

  // T steps x <- x - u(x, ...) / T from the noise on.
  Name flowed(const Network& actor, Name x, const Name& share) {
    const ArenaScope scope;
    Policy policy(policy_);
    const Tensor times = policy.flow().times();
    for (int64_t i = 0; i < times.rows; ++i) {
      const Name at = fmt::format("actor/step_{}", i);
      const Name row = model_.constant(at + "/times", {times.cols},
                                       {times.f32() + i * times.cols, static_cast<size_t>(times.cols)});
      const Name u = through(actor, at, x, model_.node("Add", {share, row}, at + "/start"));
      const Name size = scalar("actor/step_size", 1.0f / static_cast<float>(times.rows));
      x = model_.node("Sub", {x, model_.node("Mul", {u, size}, at + "/change")}, at + "/x");
    }
    return x;
  }

  // What one of the critics says of each action, [K, 1].
  Name value(int which, const Name& observation, const Name& actions) {
    const Network critic = placed(fmt::format("critic_{}", which), critic_part(policy_, which));
    const Name out = through(critic, critic.name, actions, share_of_state(critic, observation));
    const Tensor atoms = policy_.scores->atoms;
    if (!atoms) return out;
    const Name column = "critic/atoms";
    if (which == 0) model_.constant(column, {atoms.size(), 1}, {atoms.f32(), static_cast<size_t>(atoms.size())});
    const Name chances = model_.node("Softmax", {out}, critic.name + "/probabilities", {{"axis", int64_t{-1}}});
    return model_.node("MatMul", {chances, column}, critic.name + "/q");
  }

  const PolicyDescription& policy_;
  const ActingRecord& acting_;
  OnnxModel model_;
  std::set<Name> scalars_;   // that are in the model
};

}  // namespace

std::string onnx_policy(const PolicyDescription& policy, const ActingRecord& acting, int64_t candidates,
                        const std::string& text) {
  const PolicyDescription exported = exported_policy(policy, acting, candidates);
  OnnxModel model = PolicyGraph(exported, acting).build();
  for (size_t from = 0, end; (end = text.find('\n', from)) != std::string::npos; from = end + 1) {
    const std::string line = text.substr(from, end - from);
    const size_t space = line.find(' ');
    model.metadata(line.substr(0, space), space == std::string::npos ? "" : line.substr(space + 1));
  }
  model.metadata("action_low", fmt::format("{}", fmt::join(acting.action_low, " ")));
  model.metadata("action_high", fmt::format("{}", fmt::join(acting.action_high, " ")));
  return model.file("policy", version());
}

}  // namespace meander
