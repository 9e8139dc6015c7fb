#include "bench/environments.h"

#include <mujoco/mujoco.h>

#include <algorithm>
#include <span>
#include <string_view>

#include "algos/sac.h"
#include "algos/training.h"
#include "core/error.h"
#include "envs/dm_control.h"
#include "envs/environments.h"
#include "envs/mujoco.h"

namespace meander::bench {
namespace {

constexpr int recorded_steps = 2000;
const std::string prefix = "environment_step/";

// Where MuJoCo finds the model of an environment.
struct Model {
  const char *environment, *file;
};
constexpr Model models[] = {{"HalfCheetah-v4", "half_cheetah.xml"},
                            {"Hopper-v4", "hopper.xml"},
                            {"Humanoid-v4", "humanoid.xml"},
                            {"dmc-walker-walk", "walker.xml"},
                            {"dmc-humanoid-walk", "humanoid.xml"}};

bool of_dm_control(const Model& model) { return std::string_view(model.environment).starts_with("dmc-"); }

// Random actions and the state in which each episode begins, as Environment::save gives it.
struct Episodes {
  struct Beginning {
    int step;
    std::vector<double> state;
  };
  std::vector<double> actions;      // of all steps, one after another
  std::vector<Beginning> beginnings;
  std::vector<double> last;         // the state after the last step

  explicit Episodes(Environment& environment) {
    const EnvironmentInfo& info = environment.info();
    Stream resets(1, Purpose::environment_reset, 0), random(1, Purpose::random_action, 0);
    environment.reset(resets);
    beginnings.push_back({0, environment.save()});
    std::vector<double> action(static_cast<size_t>(info.actions));
    for (int i = 0; i < recorded_steps; ++i) {
      for (size_t j = 0; j < action.size(); ++j) action[j] = random.uniform(info.action_low[j], info.action_high[j]);
      actions.insert(actions.end(), action.begin(), action.end());
      const Step step = environment.step(action);
      if ((step.terminated || step.truncated) && i + 1 < recorded_steps) {
        environment.reset(resets);
        beginnings.push_back({i + 1, environment.save()});
      }
    }
    last = environment.save();
  }
  std::span<const double> action(int step) const {
    const size_t size = actions.size() / recorded_steps;
    return std::span(actions).subspan(static_cast<size_t>(step) * size, size);
  }
};

// Walks through the recorded steps, round and round.
class Walk {
 public:
  explicit Walk(const Episodes& episodes) : episodes_(episodes) {}
  // begin(state) where an episode starts, then step(action).
  template <class Begin, class Take>
  void next(Begin&& begin, Take&& take) {
    if (episode_ < episodes_.beginnings.size() && episodes_.beginnings[episode_].step == step_)
      begin(std::span<const double>(episodes_.beginnings[episode_++].state));
    take(episodes_.action(step_));
    if (++step_ == recorded_steps) step_ = 0, episode_ = 0;
  }

 private:
  const Episodes& episodes_;
  int step_ = 0;
  size_t episode_ = 0;
};

std::string environment_of(const std::string& name) {
  if (!name.starts_with(prefix)) throw Error(message("no case '", name, "'"));
  return name.substr(prefix.size());
}

}  // namespace

std::vector<std::string> environment_case_names() {
  std::vector<std::string> names = raw_step_case_names();
  names.push_back(prefix + "Pendulum-v1");
  if (dm_control_available()) names.push_back(prefix + "dmc-dog-run");  // its model is in no file
  return names;
}

std::vector<std::string> raw_step_case_names() {
  std::vector<std::string> names;
  for (const Model& model : models)
    if (!of_dm_control(model) || dm_control_available()) names.push_back(prefix + model.environment);
  return names;
}

Case make_environment_case(const std::string& name) {
  struct State {
    std::unique_ptr<Environment> environment;
    Episodes episodes;
    Walk walk;
    explicit State(const std::string& of)
        : environment(make_environment(of)), episodes(*environment), walk(episodes) {}
  };
  const auto s = std::make_shared<State>(environment_of(name));
  return {.run =
              [s] {
                s->walk.next([&](std::span<const double> state) { s->environment->load(state); },
                             [&](std::span<const double> action) { s->environment->step(action); });
              }};
}

Case make_raw_step_case(const std::string& name) {
  const std::string of = environment_of(name);
  const auto found = std::ranges::find_if(models, [&](const Model& m) { return m.environment == of; });
  if (found == std::end(models)) throw Error(message("no case '", name, "' for mj_step"));
  struct State {
    std::unique_ptr<Environment> environment;
    Episodes episodes;
    Walk walk;
    int frame_skip;
    std::unique_ptr<mjModel, void (*)(mjModel*)> model;
    std::unique_ptr<mjData, void (*)(mjData*)> data;
    State(const std::string& of, const std::string& file)
        : environment(make_environment(of)),
          episodes(*environment),
          walk(episodes),
          frame_skip(static_cast<int>(dynamic_cast<MujocoEnvironment&>(*environment).model_number("skip"))),
          model(mj_loadXML(file.c_str(), nullptr, nullptr, 0), mj_deleteModel),
          data(nullptr, mj_deleteData) {
      if (!model) throw Error(message("cannot load model file ", file));
      data.reset(mj_makeData(model.get()));
    }
    void step() {
      walk.next(
          [&](std::span<const double> state) {  // the simulation's part of the saved state stands first
            mj_resetData(model.get(), data.get());
            mj_setState(model.get(), data.get(), state.data(), mjSTATE_INTEGRATION);
          },
          [&](std::span<const double> action) {
            std::ranges::copy(action, data->ctrl);
            for (int i = 0; i < frame_skip; ++i) mj_step(model.get(), data.get());
          });
    }
  };
  const std::string file = of_dm_control(*found) ? dm_control_file(found->file).string()
                                                 : std::string(MEANDER_GYMNASIUM_ASSETS) + "/" + found->file;
  const auto s = std::make_shared<State>(of, file);
  for (int i = 0; i < recorded_steps; ++i) s->step();
  std::vector<double> reached(static_cast<size_t>(mj_stateSize(s->model.get(), mjSTATE_INTEGRATION)));
  mj_getState(s->model.get(), s->data.get(), reached.data(), mjSTATE_INTEGRATION);
  if (!std::equal(reached.begin(), reached.end(), s->episodes.last.begin()))
    throw Failure(message(name, ": mj_step reached another state than the environment"));
  return {.run = [s] { s->step(); }};
}

Case make_training_case() {
  const auto seed = std::make_shared<int64_t>(0);
  return {.run = [seed] {
    SacSettings sac;
    sac.batch_size = 100, sac.width = 64;
    sac.learning_rate = 1e-3, sac.adam_epsilon = 1e-7, sac.alpha = 0.5;
    TrainingSettings loop;
    sac.adapt_loop(loop);
    loop.seed = (*seed)++, loop.steps = 10'000;
    loop.evaluation_episodes = 1;  // of the one at the end: 200 actions, below a thousandth of the time
    const auto world = make_environment("Pendulum-v1"), other = make_environment("Pendulum-v1");
    const EnvironmentInfo& info = world->info();
    const auto agent = sac.make_agent(info.observations, info.actions, static_cast<uint64_t>(loop.seed));
    Observer silent;
    Training(loop, *agent, {world.get()}, {other.get()}).run(silent);
  }};
}

}  // namespace meander::bench
