#include "bench/environments.h"

#include <mujoco/mujoco.h>

#include <algorithm>
#include <span>

#include <meander/algos/sac.h>
#include <meander/algos/training.h>
#include <meander/kernels/error.h>
#include <meander/envs/dm_control.h>
#include <meander/envs/environments.h>
#include <meander/envs/mujoco.h>
#include <meander/envs/ogbench_cube.h>
#include <meander/envs/robomimic.h>
#include <meander/kernels/threads.h>

namespace meander::bench {
namespace {

constexpr int recorded_steps = 2000;
const std::string one = "environment_step/", many = "environment_steps/";
const char* const simulated[] = {"HalfCheetah-v4",    "Hopper-v4",   "Humanoid-v4",
                                 "dmc-walker-walk",   "dmc-humanoid-walk", "dmc-dog-run",
                                 "cube-double-play-singletask-v0"};
// A controller within the step gives new controls to each of MuJoCo's: no row of bare mj_step says the same.
const char* const controlled[] = {"robomimic-lift", "robomimic-can", "robomimic-square"};
const char* const spread[] = {"HalfCheetah-v4", "dmc-walker-walk", "dmc-humanoid-walk", "dmc-dog-run",
                              "cube-double-play-singletask-v0", "robomimic-lift", "robomimic-can",
                              "robomimic-square"};

// The names of those tasks whose files are here, after a prefix.
std::vector<std::string> names_of(const std::string& prefix, std::span<const char* const> tasks) {
  std::vector<std::string> names;
  for (const std::string task : tasks)
    if (task.starts_with("dmc-")         ? dm_control_available()
        : task.starts_with("cube-")      ? has_ogbench_assets()
        : task.starts_with("robomimic-") ? has_robosuite_assets()
                                         : true)
      names.push_back(prefix + task);
  return names;
}

std::string task_of(const std::string& name, const std::string& prefix) {
  if (!name.starts_with(prefix)) throw Error(message("no case '", name, "'"));
  return name.substr(prefix.size());
}

// Random actions and the state in which each episode begins, as Environment::save gives it.
struct Episodes {
  struct Beginning {
    int step;
    std::vector<double> state;
  };
  std::vector<double> actions;   // of all steps, one after another
  std::vector<double> controls;  // what MuJoCo's actuators were told
  std::vector<Beginning> beginnings;
  std::vector<double> last;      // the state after the last step

  explicit Episodes(Environment& environment) {
    const EnvironmentInfo& info = environment.info();
    const auto* const mujoco = dynamic_cast<const MujocoEnvironment*>(&environment);
    Stream resets(1, Purpose::environment_reset, 0), random(1, Purpose::random_action, 0);
    environment.reset(resets);
    beginnings.push_back({0, environment.save()});
    std::vector<double> action(static_cast<size_t>(info.actions));
    for (int i = 0; i < recorded_steps; ++i) {
      for (size_t j = 0; j < action.size(); ++j) action[j] = random.uniform(info.action_low[j], info.action_high[j]);
      actions.insert(actions.end(), action.begin(), action.end());
      const Step step = environment.step(action);
      if (mujoco) controls.insert(controls.end(), mujoco->controls().begin(), mujoco->controls().end());
      if ((step.terminated || step.truncated) && i + 1 < recorded_steps) {
        environment.reset(resets);
        beginnings.push_back({i + 1, environment.save()});
      }
    }
    last = environment.save();
  }
  static std::span<const double> row(const std::vector<double>& rows, int step) {
    const size_t size = rows.size() / recorded_steps;
    return std::span(rows).subspan(static_cast<size_t>(step) * size, size);
  }
};

// Walks through the recorded steps, round and round.
class Walk {
 public:
  explicit Walk(const Episodes& episodes) : episodes_(episodes) {}
  // begin(state) where an episode starts, then take(number of the step).
  template <class Begin, class Take>
  void next(Begin&& begin, Take&& take) {
    if (episode_ < episodes_.beginnings.size() && episodes_.beginnings[episode_].step == step_)
      begin(std::span<const double>(episodes_.beginnings[episode_++].state));
    take(step_);
    if (++step_ == recorded_steps) step_ = 0, episode_ = 0;
  }

 private:
  const Episodes& episodes_;
  int step_ = 0;
  size_t episode_ = 0;
};

// An environment on its walk.
struct Walking {
  std::unique_ptr<Environment> environment;
  Walk walk;

  Walking(std::unique_ptr<Environment> of, const Episodes& episodes) : environment(std::move(of)), walk(episodes) {}
  void step(const Episodes& episodes) {
    walk.next([&](std::span<const double> state) { environment->load(state); },
              [&](int step) { environment->step(Episodes::row(episodes.actions, step)); });
  }
};

Episodes episodes_of(const std::string& task) { return Episodes(*make_environment(task)); }

}  // namespace

std::vector<std::string> environment_case_names() {
  std::vector<std::string> names = raw_step_case_names();
  for (const std::string& name : names_of(one, controlled)) names.push_back(name);
  names.push_back(one + "Pendulum-v1");
  return names;
}

std::vector<std::string> raw_step_case_names() { return names_of(one, simulated); }

std::vector<std::string> side_by_side_case_names() { return names_of(many, spread); }

Case make_environment_case(const std::string& name) {
  struct State {
    Episodes episodes;
    Walking walker;
    explicit State(const std::string& task) : episodes(episodes_of(task)), walker(make_environment(task), episodes) {}
  };
  const auto s = std::make_shared<State>(task_of(name, one));
  return {.run = [s] { s->walker.step(s->episodes); }};
}

Case make_raw_step_case(const std::string& name) {
  const std::string task = task_of(name, one);
  if (std::ranges::find(simulated, task) == std::end(simulated))
    throw Error(message("no case '", name, "' for mj_step"));
  struct State {
    Episodes episodes;
    Walk walk;
    int frame_skip;
    SharedModel model;
    std::unique_ptr<mjData, void (*)(mjData*)> data;

    explicit State(MujocoEnvironment& environment)
        : episodes(environment),
          walk(episodes),
          frame_skip(static_cast<int>(environment.model_number("skip"))),
          model(environment.shared_model()),
          data(mj_makeData(model.get()), mj_deleteData) {}
    void step() {
      walk.next(
          [&](std::span<const double> state) {  // the simulation's part of the saved state stands first
            mj_resetData(model.get(), data.get());
            mj_setState(model.get(), data.get(), state.data(), mjSTATE_INTEGRATION);
          },
          [&](int step) {
            std::ranges::copy(Episodes::row(episodes.controls, step), data->ctrl);
            for (int i = 0; i < frame_skip; ++i) mj_step(model.get(), data.get());
          });
    }
  };
  const auto environment = make_environment(task);
  const auto s = std::make_shared<State>(dynamic_cast<MujocoEnvironment&>(*environment));
  for (int i = 0; i < recorded_steps; ++i) s->step();
  std::vector<double> reached(static_cast<size_t>(mj_stateSize(s->model.get(), mjSTATE_INTEGRATION)));
  mj_getState(s->model.get(), s->data.get(), reached.data(), mjSTATE_INTEGRATION);
  if (!std::equal(reached.begin(), reached.end(), s->episodes.last.begin()))
    throw Failure(message(name, ": mj_step reached another state than the environment"));
  return {.run = [s] { s->step(); }};
}

Case make_side_by_side_case(const std::string& name) {
  struct State {
    Episodes episodes;
    std::vector<Walking> walkings;

    explicit State(const std::string& task) : episodes(episodes_of(task)) {
      for (int i = 0; i < side_by_side; ++i) walkings.emplace_back(make_environment(task), episodes);
      const auto spread_out = [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i)
          for (int64_t k = 0; k <= i * recorded_steps / side_by_side; ++k)
            walkings[static_cast<size_t>(i)].step(episodes);
      };
      kernels::parallel_for(side_by_side, 1, spread_out);
    }
    void step() {
      kernels::parallel_for(side_by_side, 1, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) walkings[static_cast<size_t>(i)].step(episodes);
      });
    }
  };
  const auto s = std::make_shared<State>(task_of(name, many));
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
