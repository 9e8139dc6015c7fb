#include <cmath>
#include <optional>

#include <meander/algos/mfpo.h>
#include <meander/app/recorded_task.h>
#include <meander/app/verify_reference.h>
#include <meander/core/file_numbers.h>
#include <meander/core/json.h>

namespace meander {
namespace {

constexpr double phase_tolerance = 1e-4;   // of the largest value of each tensor
constexpr double step_tolerance = 1e-6;    // Adam and the target average
constexpr double float32_margin = 3;       // times the recording's own error against float64, where that is larger

// The names of the networks: ours and the recording's.
constexpr const char* recorded_name[] = {"actor", "div", "critic1", "critic2", "log_alpha", "target1", "target2"};
constexpr int log_alpha = 4;

// The quantities of an update that are recorded: our names and the recording's.
constexpr std::pair<const char*, const char*> recorded_quantity[] = {
    {"next/action", "next_action"}, {"next/log_prob", "next_logp"},
    {"target/logits1", "target_logits1"}, {"target/logits2", "target_logits2"}, {"target/positions", "target_atoms"},
    {"target/projected1", "proj1"}, {"target/projected2", "proj2"}, {"target/mean1", "proj_mean1"},
    {"target/mean2", "proj_mean2"}, {"target/distribution", "target_dist"},
    {"critic1/outputs", "critic_logits1"}, {"critic2/outputs", "critic_logits2"}, {"critic1/loss", "critic_loss1"},
    {"critic2/loss", "critic_loss2"},
    {"flow/t", "t"}, {"flow/r", "r"}, {"flow/x", "x_t"},
    {"proposals/policy", "k1_action"}, {"proposals/log_prob", "k1_logp"}, {"proposals/lower", "k2_lower"},
    {"proposals/upper", "k2_upper"}, {"proposals/noise", "k2_noise"}, {"proposals/gaussian", "k2_action"},
    {"proposals/q1", "q1"}, {"proposals/q2", "q2"}, {"proposals/q", "q"},
    {"weights/log_policy", "logw_policy"}, {"weights/log_gaussian", "logw_gauss"}, {"weights/policy", "w_policy"},
    {"weights/gaussian", "w_gauss"},
    {"velocity/policy", "v1"}, {"velocity/gaussian", "v2"}, {"velocity/ess_policy", "ess1"},
    {"velocity/ess_gaussian", "ess2"}, {"velocity/share", "lambda"}, {"velocity/mixed", "v"},
    {"actor/mean_field", "u"}, {"actor/target", "actor_target"}, {"actor/loss", "actor_loss"},
    {"divergence/t", "div_t"}, {"divergence/r", "div_r"}, {"divergence/x", "div_x_t"}, {"divergence/velocity", "div_v"},
    {"divergence/directions", "div_jz"}, {"divergence/estimate", "div_estimate"},
    {"divergence/mean_field", "div_delta"}, {"divergence/target", "div_target"}, {"divergence/loss", "div_loss"},
    {"temperature/entropy", "entropy"}, {"temperature/loss", "temp_loss"}, {"temperature/gradient", "temp_grad"},
};

double largest(std::span<const float> x) {
  double m = 0;
  for (float v : x) m = std::max(m, std::abs(double(v)));
  return m;
}

double distance(std::span<const float> mine, std::span<const float> expected) {
  double worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double d = std::abs(double(mine[i]) - double(expected[i]));
    worst = std::isfinite(d) ? std::max(worst, d) : INFINITY;
  }
  return worst;
}

class UpdateCheck {
 public:
  explicit UpdateCheck(const SafetensorsFile& file) : file_(file) {
    try {
      const Json s = Json::parse(file.metadata("settings"));
      RecordedTask task(file, s);
      observations_ = task.observations, actions_ = task.actions, batch_ = task.batch;
      updates_ = static_cast<int>(whole_number("updates", static_cast<double>(s.at("updates").whole()), 1, 1'000'000));
      const auto take = [&](const char* ours, const char* theirs) {
        meander::set(settings_, ours, s.at(theirs).dump());
      };
      take("batch_size", "batch");
      take("sampling_steps", "T");
      take("policy_proposals", "K1");
      take("gaussian_proposals", "K2");
      take("probes", "N");
      take("atoms", "atoms");
      take("v_min", "v_min");
      take("v_max", "v_max");
      take("discount", "gamma");
      take("target_rate", "tau");
      take("learning_rate", "lr");
      take("clipped_double_q", "use_cdq");
      take("alpha", "alpha_init");
      take("share_equal_times", "share_r_equals_t");
      take("evaluation_candidates", "eval_candidates");
      meander::set(settings_, "target_entropy_per_action", message(s.at("target_entropy").number() / actions_));
      hidden(s.at("actor_hidden"), "actor");
      hidden(s.at("critic_hidden"), "critic");
      if (!(settings_.v_min < settings_.v_max)) throw Error("v_min is not below v_max");
      task.expect_room_for(settings_);
      if (file.metadata().contains("float32_error")) {
        const Json errors = Json::parse(file.metadata("float32_error"));
        for (const auto& [name, error] : errors.object()) float32_error_[name] = error.first().number();
      }
    } catch (const std::exception& e) {
      throw Error(message(file.path(), ": the metadata do not describe an MFPO recording (", e.what(), ")"));
    }
    phases_.emplace(observations_, actions_, settings_, 0);
    moments_.emplace(observations_, actions_, settings_, 0);
    networks_ = phases_->networks();
  }

  std::vector<CheckLine> run() {
    for (int u = 1; u <= updates_; ++u) {
      ArenaScope scope;
      update_ = "u" + std::to_string(u) + "/";
      before_ = u == 1 ? "init/" : "u" + std::to_string(u - 1) + "/new/";
      critic_phase();
      actor_phase();
      divergence_phase();
      temperature_phase();
      optimiser(u);
    }
    acting();
    if (updates_ > 1) end_to_end();
    return std::move(lines_);
  }

 private:
  void hidden(const Json& widths, const std::string& network) {
    const std::vector<int64_t> w = widths.wholes();
    if (w.empty() || std::ranges::count(w, w[0]) != std::ssize(w))
      throw Error(message("hidden layers of different widths (", widths.dump(), ") are not supported"));
    meander::set(settings_, network + "_width", message(w[0]));
    meander::set(settings_, network + "_layers", message(w.size()));
  }

  // ---- the recording -------------------------------------------------------------------------------------------------
  Tensor get(const std::string& name, int64_t rows, int64_t cols) const {
    return placed(view(file_.values<float>(name, rows * cols).data(), rows, cols));
  }
  Tensor batch(const char* name, int64_t cols) const { return get(update_ + "batch/" + name, batch_, cols); }
  Tensor noise(const char* name, int64_t a_state, int64_t cols) const {
    return get(update_ + "noise/" + name, batch_ * a_state, cols);
  }
  Tensor out(const char* name, int64_t a_state, int64_t cols) const {
    return get(update_ + "out/" + name, batch_ * a_state, cols);
  }
  float number(const char* name) const { return file_.values<float>(update_ + "out/" + name, 1)[0]; }

  // Sets networks of the phases to the recorded parameters under `from` ("init/", "u1/new/").
  void set(std::initializer_list<int> networks, const std::string& from) {
    phases_->policy.outdate();
    for (int n : networks) set(networks_[static_cast<size_t>(n)], from);
  }
  void set(const Network& n, const std::string& from) { n.train_state->params.set(recorded(n, from).data()); }
  std::vector<float> recorded(const Network& n, const std::string& from) {
    std::vector<float> flat(static_cast<size_t>(n.layout->size()));
    const int network = index(n);
    if (network == log_alpha)
      flat[0] = file_.values<float>(from + "log_alpha", 1)[0];
    else
      n.layout->load(file_, from + recorded_name[network] + "/params/", flat.data());
    return flat;
  }
  int index(const Network& n) {
    int i = 0;
    for (const Network& other : networks_) {
      if (std::string(other.name) == n.name) return i;
      ++i;
    }
    return i;
  }

  // ---- comparing -----------------------------------------------------------------------------------------------------
  double float32_error(const std::string& name) const {
    const auto found = float32_error_.find(name);
    return found == float32_error_.end() ? 0 : found->second;
  }
  // error and tolerance are relative to the largest expected value.
  CheckLine compared(const std::string& quantity, Tensor mine, std::span<const float> expected,
                     double absolute_error) const {
    const double scale = std::max(largest(expected), 1e-30);
    const std::span<const float> x(fetched(mine).f32(), static_cast<size_t>(mine.size()));
    if (x.size() != expected.size())
      throw Error(message(file_.path(), ": ", quantity, " has ", expected.size(), " numbers, expected ", x.size()));
    const double allowed = std::max(phase_tolerance, float32_margin * absolute_error / scale);
    return {quantity, distance(x, expected) / scale, allowed,
            allowed > phase_tolerance ? "three times the recording's own float32 error" : ""};
  }
  void compare(const std::string& quantity, Tensor mine, std::span<const float> expected, double absolute_error) {
    lines_.push_back(compared(quantity, mine, expected, absolute_error));
  }
  void check(const std::string& name, Tensor mine) {
    compare(update_ + name, mine, file_.values<float>(update_ + "out/" + name), float32_error(update_ + "out/" + name));
  }
  void check(const std::string& name, Number mine) { check(name, mine.tensor); }
  static std::string numbered(const char* name, int critic) { return name + std::to_string(critic + 1); }
  // The trailing rows, where r < t.
  void check_moving(const char* name, Tensor mine, int64_t moving, int64_t cols) {
    if (!moving) return;
    compare(update_ + name, mine, file_.values<float>(update_ + "out/" + name, batch_ * cols).subspan(
            static_cast<size_t>((batch_ - moving) * cols)), float32_error(update_ + "out/" + name));
  }
  // A gradient tensor by tensor; one line, that of the tensor nearest to its tolerance.
  void check_gradient(int network, Tensor gradient) {
    const Network& n = networks_[static_cast<size_t>(network)];
    gradient = fetched(gradient);
    const std::string name = recorded_name[network];
    const double error = float32_error(update_ + "grad/" + name);
    CheckLine worst{update_ + "grad/" + name, 0, phase_tolerance, ""};
    for (const ParameterInfo& p : n.layout->entries()) {
      const std::string tensor = "/params/" + p.name;
      const std::span<const float> mine(gradient.f32() + p.offset, static_cast<size_t>(p.size()));
      if (file_.contains(update_ + "grad/" + name + tensor)) {
        const auto expected = file_.values<float>(update_ + "grad/" + name + tensor, p.size());
        const double scale = std::max(largest(expected), 1e-30);
        const CheckLine line{worst.quantity, distance(mine, expected) / scale,
                             std::max(phase_tolerance, float32_margin * error / scale), p.name};
        if (!(line.error / line.tolerance <= worst.error / worst.tolerance)) worst = line;
      } else {
        double square = 0;
        for (float g : mine) square += double(g) * double(g);
        const double norm = file_.values<float>(update_ + "gradnorm/" + name + tensor, 1)[0];
        const double allowed = std::max(phase_tolerance, float32_margin * error * std::sqrt(double(p.size())) /
                                                             std::max(norm, 1e-30));
        const CheckLine line{worst.quantity, std::abs(std::sqrt(square) - norm) / std::max(norm, 1e-30), allowed,
                             "norm of " + p.name};
        if (!(line.error / line.tolerance <= worst.error / worst.tolerance)) worst = line;
      }
    }
    lines_.push_back(worst);
  }

  // ---- the phases ----------------------------------------------------------------------------------------------------
  void critic_phase() {
    set({0, 1, 2, 3, 4, 5, 6}, before_);
    TwinCritic& critic = phases_->critic;
    const Tensor next_state = batch("next_obs", observations_);
    const auto next = phases_->sample(next_state, noise("next_z", 1, actions_));
    check("next_action", next.action);
    check("next_logp", next.log_prob);
    const Tensor next_action = out("next_action", 1, actions_);
    for (int i : {0, 1})
      check(numbered("target_logits", i), critic.outputs(critic.target[i].tensor(), next_state, next_action).detached);

    const int64_t atoms = settings_.atoms;
    const SoftTarget target =
        soft_target(phases_->support, {out("target_logits1", 1, atoms), out("target_logits2", 1, atoms)},
                    batch("rew", 1), batch("mask", 1), out("next_logp", 1, 1), phases_->alpha().tensor,
                    settings_.discount, settings_.clipped_double_q);
    check("target_atoms", target.positions);
    for (int i : {0, 1}) check(numbered("proj", i), target.projected[i]);
    for (int i : {0, 1}) check(numbered("proj_mean", i), target.mean[i]);
    check("target_dist", target.chosen);
    for (int i : {0, 1}) {
      const TwinCritic::Loss c = critic.cross_entropy(i, batch("obs", observations_), batch("act", actions_),
                                                      out("target_dist", 1, atoms));
      check(numbered("critic_logits", i), c.outputs);
      check(numbered("critic_loss", i), c.loss);
      check_gradient(2 + i, c.gradient);
    }
  }

  FlowTimes interval(const char* t, const char* r) const {
    return {out(t, 1, 1), out(r, 1, 1), batch_ - static_cast<int64_t>(double(batch_) * settings_.share_equal_times)};
  }

  Tensor first_proposal() const {
    const int64_t k1 = settings_.policy_proposals;
    return slice_columns(out("k1_action", k1, actions_).reshape(batch_, k1 * actions_), 0, actions_).detached;
  }

  void actor_phase() {
    set({2, 3}, update_ + "new/");
    const int64_t k1 = settings_.policy_proposals, k2 = settings_.gaussian_proposals;
    const Tensor state = batch("obs", observations_);
    const FlowTimes drawn = phases_->flow_times(noise("tr_normal_a", 1, 1), noise("tr_normal_b", 1, 1));
    check("t", drawn.t);
    check("r", drawn.r);
    const auto policy = phases_->sample(state, noise("k1_z", k1, actions_));
    check("k1_action", policy.action);
    check("k1_logp", policy.log_prob);

    const FlowTimes time = interval("t", "r");
    const MfpoPhases::Sample recorded{out("k1_action", k1, actions_), out("k1_logp", k1, 1)};
    check("x_t", interpolate(first_proposal(), noise("xt_e", 1, actions_), time.t));
    const Tensor x = out("x_t", 1, actions_);
    const GaussianProposals g = gaussian_proposals(x, time.t, noise("k2_uniform", k2, actions_));
    check("k2_lower", g.lower);
    check("k2_upper", g.upper);
    check("k2_noise", g.noise);
    check("k2_action", g.action);

    const Tensor gaussian = out("k2_action", k2, actions_);
    const Tensor proposals = phases_->all_proposals(batch_, recorded.action, gaussian);
    const TwinCritic::Estimates q = phases_->critic.values(phases_->critic.online, state, proposals);
    check("q1", q.q[0]);
    check("q2", q.q[1]);
    check("q", q.chosen);
    const ProposalWeights w =
        proposal_weights(x, time.t, recorded.action, recorded.log_prob,
                         out("q", k1 + k2, 1).reshape(batch_, k1 + k2), phases_->alpha().tensor);
    check("logw_policy", w.log_policy);
    check("logw_gauss", w.log_gaussian);
    ProposalWeights weights{out("logw_policy", 1, k1), out("logw_gauss", 1, k2), {}, {}};
    check("w_policy", softmax(weights.log_policy).detached);
    check("w_gauss", softmax(weights.log_gaussian).detached);

    weights.policy = out("w_policy", 1, k1);
    weights.gaussian = out("w_gauss", 1, k2);
    const ProposalVelocity v =
        proposal_velocity(phases_->mixture, x, time.t, weights, recorded.action, gaussian);
    check("v1", v.policy);
    check("v2", v.gaussian);
    check("ess1", v.ess_policy);
    check("ess2", v.ess_gaussian);
    check("lambda", v.share);
    check("v", v.mixed);

    const auto a = phases_->actor_loss(state, x, time, out("v", 1, actions_));
    check("u", a.mean_field);
    check_moving("du_dt", a.derivative, time.unequal, actions_);
    check("actor_target", a.target);
    check("actor_loss", a.loss);
    check_gradient(0, a.gradient);
    check("entropy", (-mean_all(recorded.log_prob)).detached);
  }

  void divergence_phase() {
    set({0}, update_ + "new/");
    const Tensor state = batch("obs", observations_);
    const FlowTimes drawn = phases_->flow_times(noise("div_tr_normal_a", 1, 1), noise("div_tr_normal_b", 1, 1));
    check("div_t", drawn.t);
    check("div_r", drawn.r);
    const FlowTimes time = interval("div_t", "div_r");
    check("div_x_t", interpolate(first_proposal(), noise("div_e", 1, actions_), time.t));
    const Tensor x = out("div_x_t", 1, actions_);
    const auto d = phases_->divergence_of_velocity(state, x, time.t, noise("div_probe", settings_.probes, actions_));
    check("div_v", d.velocity);
    check("div_jz", d.derivative);
    check("div_estimate", d.estimate);
    const auto loss = phases_->divergence_loss(state, x, time,
                                               {out("div_v", 1, actions_), {}, out("div_estimate", 1, 1)});
    check("div_delta", loss.mean_field);
    check_moving("div_ddelta", loss.derivative, time.unequal, 1);
    check("div_target", loss.target);
    check("div_loss", loss.loss);
    check_gradient(1, loss.gradient);
  }

  void temperature_phase() {
    const auto t = phases_->temperature_loss(full(1, 1, number("entropy")));
    check("temp_loss", t.loss);
    check("temp_grad", t.gradient);
  }

  // Adam from the recorded gradients, moments carried from update to update, and the target average.
  void optimiser(int u) {
    const kernels::AdamConstants adam{settings_.learning_rate};
    const std::vector<Network> networks = moments_->networks();
    const auto same = [&](const std::string& quantity, const Network& n, const std::string& from,
                          const Buffer& flat, double rounding = 0) {
      const std::vector<float> expected = recorded(n, from), mine = flat.numbers();
      CheckLine worst{quantity, 0, step_tolerance, ""};
      for (const ParameterInfo& p : n.layout->entries()) {
        const std::span<const float> e(expected.data() + p.offset, static_cast<size_t>(p.size()));
        const double scale = std::max(largest(e), 1e-30);
        const CheckLine line{quantity, distance({mine.data() + p.offset, e.size()}, e) / scale,
                             step_tolerance + rounding / scale, p.name};
        if (!(line.error / line.tolerance <= worst.error / worst.tolerance)) worst = line;
      }
      lines_.push_back(worst);
    };
    // The recording rounds 1 - beta2^u to float32, which is coarse while that is small: half an ulp of beta2^u over it,
    // halved by the root, on a step of about the learning rate. It shows on biases, which started at 0.
    const double rounding = 0.5 * std::ldexp(1.0, -24) / (1 - std::pow(adam.beta2, u)) * adam.learning_rate;
    for (int i = 0; i <= log_alpha; ++i) {
      const Network& n = networks[static_cast<size_t>(i)];
      const std::string name = recorded_name[i];
      Tensor gradient;
      std::vector<float> host;
      if (i == log_alpha)
        gradient = get(update_ + "out/temp_grad", 1, 1);
      else if (file_.contains(update_ + "grad/" + name + "/params/" + n.layout->entries()[0].name))
        gradient = placed(view((host = recorded(n, update_ + "grad/")).data(), 1, n.layout->size()));
      else
        continue;   // recorded with norms only
      set(n, before_);
      n.train_state->descend(gradient, adam, u);
      same(update_ + "adam/" + name, n, update_ + "new/", n.train_state->params, rounding);
      const bool has_moments = file_.contains(update_ + "m/" + name + (i == log_alpha ? "" : "/params/" + n.layout->entries()[0].name));
      if (!has_moments) continue;
      same(update_ + "m/" + name, n, update_ + "m/", n.train_state->m);
      same(update_ + "v/" + name, n, update_ + "v/", n.train_state->v);
    }
    for (int i : {5, 6}) {
      const Network& n = networks[static_cast<size_t>(i)];
      const Network& critic = networks[static_cast<size_t>(i - 3)];
      set(n, before_);
      set(critic, update_ + "new/");
      n.train_state->follow(*critic.train_state, settings_.target_rate);
      same(update_ + "average/" + recorded_name[i], n, update_ + "new/", n.train_state->params);
    }
  }

  void acting() {
    ArenaScope scope;
    const std::string last = "u" + std::to_string(updates_) + "/new/";
    Mfpo agent(observations_, actions_, settings_, 0);
    for (const Network& n : agent.networks()) set(n, last);
    set({0, 1}, last);
    if (file_.contains("eval/obs")) {
      const int64_t k = settings_.evaluation_candidates, states = states_in(file_, "eval/obs", observations_);
      const Choice c = agent.best_candidate(get("eval/obs", states, observations_),
                                            get("eval/noise", states * k, actions_));
      compare("eval/cand_action", c.action, file_.values<float>("eval/cand_action"), 0);
      compare("eval/q", c.q, file_.values<float>("eval/q"), 0);
      // The choice from the recorded values: rounding must not decide it.
      const auto best = file_.values<int32_t>("eval/best", states);
      const Tensor chosen = fetched(argmax_row(get("eval/q", states, k))), mine = fetched(c.best);
      double wrong = 0;
      for (int64_t i = 0; i < states; ++i) wrong += chosen.as<int32_t>()[i] != best[static_cast<size_t>(i)];
      lines_.push_back({"eval/best", wrong, 0, ""});
      if (std::ranges::equal(best, std::span(mine.as<int32_t>(), best.size())))
        compare("eval/action", c.chosen, file_.values<float>("eval/action"), 0);
    }
    if (file_.contains("explore/noise")) {
      const int64_t states = states_in(file_, "explore/noise", actions_);
      const auto s = phases_->sample(get("eval/obs", states, observations_), get("explore/noise", states, actions_));
      compare("explore/action", s.action, file_.values<float>("explore/action"), 0);
    }
  }

  // All updates in a row from the first parameters. Adam's first steps are the sign of the gradient, so an entry whose
  // gradient is within its own noise in any update may go either way: those are left out and counted.
  void end_to_end() {
    Mfpo agent(observations_, actions_, settings_, 0);
    for (const Network& n : agent.networks()) set(n, "init/");
    std::vector<std::vector<bool>> noisy(7);
    Buffer metrics(std::ssize(agent.metric_names()));
    // Of what an update computes on its way, the quantity nearest to its tolerance.
    CheckLine worst;
    agent.observe([&](const Quantity& q) {
      for (const auto& [ours, theirs] : recorded_quantity) {
        if (std::string_view(ours) != q.name) continue;
        const std::string name = update_ + "out/" + theirs;
        CheckLine line = compared(name, q.value, file_.values<float>(name), float32_error(name));
        line.quantity = worst.quantity, line.note = ours;
        if (!(line.error / line.tolerance <= worst.error / worst.tolerance)) worst = line;
      }
    });
    for (int u = 1; u <= updates_; ++u) {
      ArenaScope scope;
      update_ = "u" + std::to_string(u) + "/";
      const int64_t k1 = settings_.policy_proposals, k2 = settings_.gaussian_proposals;
      const Batch b{batch("obs", observations_), batch("act", actions_), batch("rew", 1), batch("mask", 1),
                    batch("next_obs", observations_)};
      const Mfpo::Draws d{noise("next_z", 1, actions_),           noise("tr_normal_a", 1, 1),
                          noise("tr_normal_b", 1, 1),             noise("k1_z", k1, actions_),
                          noise("xt_e", 1, actions_),             noise("k2_uniform", k2, actions_),
                          noise("div_tr_normal_a", 1, 1),         noise("div_tr_normal_b", 1, 1),
                          noise("div_e", 1, actions_),            noise("div_probe", settings_.probes, actions_)};
      worst = {update_ + "end_to_end/quantities", 0, phase_tolerance, ""};
      agent.update(b, d, static_cast<uint64_t>(u), {metrics.data(), static_cast<size_t>(metrics.size())});
      lines_.push_back(worst);
      size_t i = 0;
      for (const Network& n : agent.networks()) compare_whole(n, noisy[i++]);
    }
  }

  void compare_whole(const Network& n, std::vector<bool>& noisy) {
    const int network = index(n);
    const std::string name = recorded_name[network];
    const std::vector<float> expected = recorded(n, update_ + "new/"), mine = n.train_state->params.numbers();
    noisy.resize(static_cast<size_t>(n.layout->size()));
    // A target moves by its critic's step times the target rate: far below the tolerance, noise or not.
    if (network < log_alpha && file_.contains(update_ + "grad/" + name + "/params/" + n.layout->entries()[0].name)) {
      const std::vector<float> gradient = recorded(n, update_ + "grad/");
      const double noise = std::max(1e-6, 30 * float32_error(update_ + "grad/" + name));
      for (size_t i = 0; i < noisy.size(); ++i) noisy[i] = noisy[i] || std::abs(gradient[i]) < noise;
    }
    CheckLine worst{update_ + "end_to_end/" + name, 0, phase_tolerance, ""};
    const double error = float32_error(update_ + "new/" + name);
    for (const ParameterInfo& p : n.layout->entries()) {
      const std::span<const float> e(expected.data() + p.offset, static_cast<size_t>(p.size()));
      const double scale = std::max(largest(e), 1e-30);
      double d = 0;
      for (size_t i = 0; i < e.size(); ++i)
        if (!noisy[static_cast<size_t>(p.offset) + i])
          d = std::max(d, std::abs(double(mine[static_cast<size_t>(p.offset) + i]) - double(e[i])));
      const CheckLine line{worst.quantity, d / scale, std::max(phase_tolerance, float32_margin * error / scale), p.name};
      if (!(line.error / line.tolerance <= worst.error / worst.tolerance)) worst = line;
    }
    if (const auto skipped = std::ranges::count(noisy, true))
      worst.note += message(worst.note.empty() ? "" : ", ", skipped, " of ", noisy.size(), " have gradients of pure noise");
    lines_.push_back(worst);
  }

  const SafetensorsFile& file_;
  int observations_ = 0, actions_ = 0, updates_ = 0;
  int64_t batch_ = 0;
  MfpoSettings settings_;
  std::map<std::string, double> float32_error_;
  std::optional<MfpoPhases> phases_, moments_;   // moments_: the optimiser's own chain
  std::vector<Network> networks_;                // of phases_
  std::string update_, before_;
  std::vector<CheckLine> lines_;
};

}  // namespace

bool is_update_reference(const SafetensorsFile& file) {
  return file.metadata().contains("settings") && file.contains("init/log_alpha");
}

std::vector<CheckLine> verify_updates(const SafetensorsFile& file) { return UpdateCheck(file).run(); }

}  // namespace meander
