#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include <meander/algos/learner.h>
#include <meander/algos/settings.h>
#include <meander/app/recorded_task.h>
#include <meander/app/verify_reference.h>
#include <meander/core/json.h>
#include <meander/kernels/error.h>

namespace meander {
namespace {

constexpr double least = 2e-6;     // of the largest value of each tensor: sums of some tens of float32 products
constexpr double margin = 16;      // times the recording's own float32 error, which is that of one order of rounding

// What an update reports, and what recordings call it. Gradients and parameters go by their networks' names.
constexpr std::pair<const char*, const char*> recorded_quantity[] = {
    // critics
    {"next/candidates", "next_candidates"}, {"next/candidate_q", "next_q"}, {"next/q1", "next_q1"},
    {"next/q2", "next_q2"}, {"next/best", "next_best"},
    {"next/chosen", "next_chosen"}, {"next/action", "next_action"}, {"next/log_prob", "next_log_prob"},
    {"target/q1", "target_q1"}, {"target/q2", "target_q2"}, {"target/rewards", "discounted_rewards"},
    {"target/return", "critic_target"}, {"critic1/outputs", "data_q1"}, {"critic2/outputs", "data_q2"},
    {"critic1/loss", "critic_loss1"}, {"critic2/loss", "critic_loss2"},
    // the flow
    {"actor/t", "t"}, {"actor/r", "r"}, {"actor/x", "x_t"}, {"actor/velocity", "velocity"}, {"actor/u", "u"},
    {"actor/derivative", "du_dt"}, {"actor/target", "actor_target"}, {"actor/loss", "actor_loss"},
    {"actor/sample_weight", "sample_weight"}, {"actor/element_weight", "element_weight"},
    {"actor/mean_flow_loss", "mean_flow_loss"}, {"actor/constraint_loss", "constraint_loss"},
    {"actor/row_action", "row_action"}, {"actor/valid", "row_valid"}, {"actor/candidates", "candidates"},
    {"actor/candidate_q", "candidate_q"}, {"actor/candidate_q1", "candidate_q1"},
    {"actor/candidate_q2", "candidate_q2"}, {"actor/best", "best"},
    // SOM
    {"actor/start", "start_action"}, {"diffusion/beta", "beta"}, {"diffusion/mu", "mu"}, {"diffusion/sigma", "sigma"},
    {"proposals/action", "proposals"}, {"proposals/q", "q"}, {"proposals/q1", "q1"}, {"proposals/q2", "q2"},
    {"proposals/gradient", "q_gradient"},
    {"weights/softmax", "weights"}, {"weights/deviation", "deviation"}, {"score", "score"}, {"velocity", "velocity"},
    {"ess/all", "ess_all"}, {"ess/state", "ess_state"}, {"actor/learning_rate", "policy_learning_rate"},
    {"noise/entropy", "noise_entropy"}, {"noise/loss", "noise_loss"}, {"noise/gradient", "noise_gradient"},
    // FQL
    {"behaviour/valid", "row_valid"}, {"behaviour/x", "x_t"}, {"behaviour/velocity", "velocity"}, {"behaviour/v", "v"},
    {"behaviour/loss", "behaviour_loss"}, {"actor/one_step", "one_step"}, {"actor/flow_action", "flow_action"},
    {"actor/q1", "q1"}, {"actor/q2", "q2"}, {"actor/q", "q"}, {"actor/q_scale", "q_scale"},
    {"actor/distillation_loss", "distillation_loss"}, {"actor/q_loss", "q_loss"},
    // the flow map
    {"self/t", "t"}, {"self/r", "r"}, {"self/x", "x_t"}, {"self/velocity", "velocity"}, {"self/u", "u"},
    {"self/derivative", "du_dt"}, {"self/target", "self_target"}, {"diagonal/x", "diagonal_x"},
    {"diagonal/velocity", "diagonal_velocity"}, {"diagonal/u", "diagonal_u"}, {"anchor/x", "q_x"},
    {"anchor/policy_u", "q_u"}, {"anchor/u", "anchor_u"}, {"anchor/action", "anchor_action"},
    {"anchor/q1", "anchor_q1"}, {"anchor/q2", "anchor_q2"},
    {"anchor/gradient", "q_gradient"}, {"anchor/spread", "critic_spread"}, {"anchor/radius", "radius"},
    {"anchor/target", "q_target"}, {"anchor/displacement", "displacement"}, {"actor/q_loss", "q_target_loss"},
    {"actor/self_loss", "self_distillation_loss"}, {"actor/diagonal_loss", "diagonal_loss"},
    // SAC
    {"actor/action", "action"}, {"actor/log_prob", "log_prob"}, {"temperature/loss", "temperature_loss"},
};

// Runs the updates of one file.
class LearnerCheck {
 public:
  explicit LearnerCheck(const SafetensorsFile& file) : file_(file) {
    try {
      const Json s = Json::parse(file.metadata("settings"));
      settings_ = make_algorithm(s.at("algorithm").text());
      const RecordedTask task(file, s);
      task_.observations = task.observations, task_.actions = task.actions, batch_ = task.batch;
      for (const Json& offline : s.at("offline").list()) offline_.push_back(offline.boolean());
      set(*settings_, "batch_size", s.at("batch_size").dump());
      for (const auto& [recorded, value] : s.at("settings").object()) {
        std::string name = recorded;
        for (const Renamed& r : settings_->renamed())
          if (r.before == recorded) name = r.now;
        set(*settings_, name, value.is_text() ? value.text() : value.dump());
      }
      task.expect_room_for(*settings_);
      const Json errors = Json::parse(file.metadata("float32_error"));
      for (const auto& [name, error] : errors.object()) float32_error_[name] = error.first().number();
    } catch (const std::exception& e) {
      throw Error(message(file.path(), ": the metadata do not describe recorded updates (", e.what(), ")"));
    }
    agent_ = settings_->make_agent(task_.observations, task_.actions, 0);
    learner_ = dynamic_cast<Learner*>(agent_.get());
    if (!learner_) throw Error(message(file.path(), ": ", settings_->name(), " reports nothing to be compared"));
    learner_->observe([this](const Quantity& q) { seen_[q.name] = numbers(q.value); });
  }

  std::vector<CheckLine> run() {
    for (size_t u = 1; u <= offline_.size(); ++u) {
      ArenaScope scope;
      seen_.clear();
      const std::string update = "u" + std::to_string(u) + "/";
      const std::string before = u == 1 ? "init/" : "u" + std::to_string(u - 1) + "/";
      // What is frozen before the first update is recorded; what a change of phase freezes is the agent's to find.
      if (u == 1 && !offline_[0]) agent_->begin_online();
      restore(before, u == 1);
      if (u > 1 && offline_[u - 2] && !offline_[u - 1]) agent_->begin_online();
      perform(update, u);
      compare_quantities(update);
      for (const Network& n : learner_->networks()) compare_network(update, n);
    }
    acting();
    return std::move(lines_);
  }

 private:
  // ---- reading ------------------------------------------------------------------------------------------------------
  bool has(const std::string& name) const { return file_.contains(name); }
  std::vector<float> numbers(const std::string& name) const {
    const FileTensor& tensor = file_.at(name);
    if (tensor.dtype != DType::int32) {
      const auto x = file_.values<float>(name);
      return {x.begin(), x.end()};
    }
    const auto x = file_.values<int32_t>(name);
    return {x.begin(), x.end()};
  }
  // [rows, the rest], on the current device; absent where the recording has none.
  Tensor matrix(const std::string& name, int64_t rows) const {
    if (!has(name)) return {};
    const auto x = file_.values<float>(name);
    if (rows < 1 || std::ssize(x) % rows != 0)
      throw Error(message(file_.path(), ": ", quoted(name), " has ", x.size(), " numbers, which are not ", rows,
                          " rows"));
    return placed(view(x.data(), rows, std::ssize(x) / rows));
  }
  // Likewise with its size given. Throws Error if the recording has none, or one of another size.
  Tensor matrix(const std::string& name, int64_t rows, int64_t cols) const {
    return placed(view(file_.values<float>(name, rows * cols).data(), rows, cols));
  }
  static std::vector<float> numbers(Tensor x) {
    x = fetched(x);
    if (x.dtype == DType::int32) return {x.as<int32_t>(), x.as<int32_t>() + x.size()};
    return {x.f32(), x.f32() + x.size()};
  }

  void restore(const std::string& before, bool first) {
    const std::string params = first ? before : before + "new/";
    for (const Network& n : learner_->networks()) {
      std::vector<float> flat(static_cast<size_t>(n.layout->size()));
      const auto load = [&](const std::string& prefix, Buffer& to) {
        n.layout->load(file_, prefix + n.name + "params/", flat.data());
        to.set(flat.data());
      };
      load(params, n.train_state->params);
      if (first || !n.optimised) continue;   // moments begin as zeros
      load(before + "m/", n.train_state->m);
      load(before + "v/", n.train_state->v);
    }
  }

  Batch batch(const std::string& update, bool offline) const {
    const std::string from = update + "batch/";
    const auto needed = [&](const char* name) {
      file_.at(from + name);   // throws if it is missing
      return matrix(from + name, batch_);
    };
    const Batch b{needed("obs"), needed("act"), needed("rew"), needed("mask"), needed("next_obs"),
                  matrix(from + "valid", batch_), {}, offline};
    if (b.state.cols != task_.observations || b.next_state.cols != task_.observations ||
        b.action.cols != agent_->chunk() * task_.actions || b.mask.cols != 1 ||
        b.reward.cols != agent_->return_steps() || (b.valid && b.valid.cols != b.reward.cols))
      throw Error(message(file_.path(), ": ", from, " holds tensors of other shapes than its settings say"));
    return b;
  }

  // The update with the recorded draws.
  void perform(const std::string& update, uint64_t step) {
    Buffer metrics(std::ssize(agent_->metric_names()));   // where the agent is: a device cannot write to the host's
    learner_->take_draws_from([&](const std::string& name, int64_t rows, int64_t cols) {
      return matrix(update + "noise/" + name, rows, cols);
    });
    agent_->update(batch(update, offline_[step - 1]), step,
                   {metrics.data(), static_cast<size_t>(metrics.size())});
    learner_->take_draws_from({});
  }

  // ---- comparing ----------------------------------------------------------------------------------------------------
  // error and tolerance are relative to the largest expected value.
  CheckLine line(const std::string& quantity, std::span<const float> mine, std::span<const float> expected,
                 double absolute_error, const std::string& note = "") const {
    if (mine.size() != expected.size())
      throw Error(message(file_.path(), ": ", quantity, " has ", expected.size(), " numbers, expected ", mine.size()));
    double scale = 1e-30, worst = 0;
    for (size_t i = 0; i < mine.size(); ++i) {
      scale = std::max(scale, std::abs(double(expected[i])));
      const double d = std::abs(double(mine[i]) - double(expected[i]));
      worst = std::isfinite(d) ? std::max(worst, d) : INFINITY;
    }
    return {quantity, worst / scale, std::max(least, margin * absolute_error / scale), note};
  }
  double float32_error(const std::string& name) const {
    const auto found = float32_error_.find(name);
    return found == float32_error_.end() ? 0 : found->second;
  }
  void compare(const std::string& quantity, std::span<const float> mine, const std::string& recorded) {
    lines_.push_back(line(quantity, mine, numbers(recorded), float32_error(recorded)));
  }

  void compare_quantities(const std::string& update) {
    for (const auto& [ours, theirs] : recorded_quantity) {
      const auto found = seen_.find(ours);
      const std::string recorded = update + "out/" + theirs;
      if (found == seen_.end() || !has(recorded)) continue;
      std::vector<float> expected = numbers(recorded);
      // Where only the last rows have a derivative the recording has it of all.
      if (found->second.size() < expected.size() && std::string_view(ours) == "actor/derivative")
        expected.erase(expected.begin(), expected.end() - std::ssize(found->second));
      lines_.push_back(line(update + theirs, found->second, expected, float32_error(recorded)));
    }
  }

  // Gradient, new parameters and moments; a line each, that of the tensor nearest to its tolerance.
  void compare_network(const std::string& update, const Network& n) {
    const std::string name(n.name, std::string_view(n.name).size() - 1);
    const auto worst_of = [&](const char* what, std::span<const float> mine) {
      const std::string prefix = update + what + "/" + name;
      std::optional<CheckLine> worst;
      for (const ParameterInfo& p : n.layout->entries()) {
        const std::string tensor = prefix + "/params/" + p.name;
        if (!has(tensor)) continue;
        const CheckLine one = line(prefix, mine.subspan(static_cast<size_t>(p.offset), static_cast<size_t>(p.size())),
                                   numbers(tensor), float32_error(prefix), p.name);
        if (!worst || !(one.error / one.tolerance <= worst->error / worst->tolerance)) worst = one;
      }
      if (worst) lines_.push_back(*worst);
    };
    if (const auto found = seen_.find(name + "/gradient"); found != seen_.end()) worst_of("grad", found->second);
    worst_of("new", n.train_state->params.numbers());
    if (!n.optimised) return;
    worst_of("m", n.train_state->m.numbers());
    worst_of("v", n.train_state->v.numbers());
  }

  // Candidates, their values, the choice and the action, by the networks after the last update; and what else is
  // recorded of acting.
  void acting() {
    if (!has("eval/obs")) return;
    ArenaScope scope;
    learner_->networks();   // what was kept of them is outdated
    const int64_t chunk = agent_->chunk() * task_.actions;
    const int64_t states = states_in(file_, "eval/obs", task_.observations);
    const Tensor obs = matrix("eval/obs", states, task_.observations);
    const auto check = [&](const char* recorded, Tensor mine) { compare(recorded, numbers(mine), recorded); };
    if (has("eval/noise")) {
      const int64_t rows = states * states_in(file_, "eval/noise", states * chunk);
      const Choice choice = learner_->best_candidate(obs, matrix("eval/noise", rows, chunk));
      check("eval/candidates", choice.action), check("eval/action", choice.chosen);
      if (choice.q) check("eval/q", choice.q), check("eval/best", choice.best);   // one has no rivals
    } else {
      const Tensor here = fetched(obs);
      std::vector<float> action(static_cast<size_t>(states * chunk));
      for (int64_t i = 0; i < states; ++i)
        agent_->act({here.f32() + i * obs.cols, static_cast<size_t>(obs.cols)}, 1,
                    std::span(action).subspan(static_cast<size_t>(i * chunk), static_cast<size_t>(chunk)));
      compare("eval/action", action, "eval/action");
    }
    seen_.clear();
    learner_->report_acting(obs, [this](const std::string& name, int64_t rows, int64_t cols) {
      return has(name) ? matrix(name, rows, cols) : Tensor();
    });
    for (const auto& [name, mine] : seen_)
      if (has(name)) compare(name, mine, name);
  }

  const SafetensorsFile& file_;
  std::unique_ptr<AlgorithmSettings> settings_;
  EnvironmentInfo task_;
  int64_t batch_ = 0;
  std::vector<bool> offline_;
  std::map<std::string, double> float32_error_;
  std::unique_ptr<Agent> agent_;
  Learner* learner_ = nullptr;
  std::map<std::string, std::vector<float>> seen_;
  std::vector<CheckLine> lines_;
};

}  // namespace

bool is_learner_reference(const SafetensorsFile& file) {
  const auto found = file.metadata().find("settings");
  return found != file.metadata().end() && found->second.find("\"algorithm\"") != std::string::npos;
}

std::vector<CheckLine> verify_learner(const SafetensorsFile& file) { return LearnerCheck(file).run(); }

}  // namespace meander
