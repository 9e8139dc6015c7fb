#include <meander/envs/dm_control.h>

#include <mujoco/mujoco.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numbers>

#include <meander/kernels/error.h>
#include <meander/envs/mersenne_twister.h>
#include <meander/envs/tolerance.h>

namespace meander {
namespace {

struct Domain {
  const char* name;
  int observations, actions, frame_skip;
};
constexpr Domain domains[] = {{"cartpole", 5, 1, 1}, {"cheetah", 17, 6, 1},   {"walker", 24, 6, 10},
                              {"hopper", 15, 4, 4},  {"humanoid", 67, 21, 5}, {"dog", 223, 38, 3}};

// "walker" of dmc-walker-run.
std::string domain_name(const std::string& name) {
  const size_t begin = name.find('-') + 1;
  return name.substr(begin, name.rfind('-') - begin);
}

const Domain& domain_of(const std::string& name) {
  for (const Domain& domain : domains)
    if (domain_name(name) == domain.name) return domain;
  throw Error(message("no task '", name, "' of the DeepMind Control Suite"));
}

// The files lie where ./meander put them, or where a copy of the program without the repository says.
std::filesystem::path assets() {
  const char* const elsewhere = std::getenv("MEANDER_DM_CONTROL_ASSETS");
  return elsewhere && *elsewhere ? elsewhere : MEANDER_DM_CONTROL_ASSETS;
}

}  // namespace

std::filesystem::path dm_control_file(const std::string& file) {
  const std::filesystem::path path = assets() / file;
  if (!std::filesystem::exists(path))
    throw Error(message("no ", path.string(), ": the task files of dm_control come with ./meander fetch dm_control"));
  return path;
}

bool dm_control_available() { return std::filesystem::exists(assets() / "dog.xml"); }

EnvironmentInfo dm_control_info(const std::string& name) {
  const Domain& domain = domain_of(name);
  EnvironmentInfo info;
  info.name = name;
  info.observations = domain.observations;
  info.actions = domain.actions;
  info.action_low.assign(domain.actions, -1);
  info.action_high.assign(domain.actions, 1);
  info.time_limit = 1000;
  info.v_min = -200;  // returns discounted by .99 lie in [0, 100]
  info.v_max = 200;
  info.source = "dm_control 1.0.28";
  return info;
}

// ---- the loop ------------------------------------------------------------------------------------------------------

DmControlEnvironment::DmControlEnvironment(const std::string& name)
    : DmControlEnvironment(name, load_model(dm_control_file(domain_name(name) + ".xml"))) {}

DmControlEnvironment::DmControlEnvironment(const std::string& name, SharedModel shared)
    : MujocoEnvironment(dm_control_info(name), std::move(shared), domain_of(name).frame_skip) {
  // A copy of the struct alone: its pointers lead to the shared model's arrays, which the base class keeps alive.
  const auto copy = std::make_shared<mjModel>(model());
  copy->opt.disableflags |= mjDSBL_ACTUATION;
  without_actuators_ = copy;
}

void DmControlEnvironment::forward() { mj_forward(without_actuators_.get(), &data()); }

void DmControlEnvironment::randomise(Stream& random) {
  DrawsOf draws(random);
  forward();  // it leaves a warm start of the solver behind
  initialise(draws);
}

void DmControlEnvironment::reset_as_package(uint32_t seed) {
  MersenneTwister generator(seed);
  DrawsOf draws(generator);
  clear();
  forward();
  initialise(draws);
  finish_reset();
}

Step DmControlEnvironment::step(std::span<const double> action) {
  check_action(action);
  std::copy(action.begin(), action.end(), data().ctrl);
  int whole_steps = frame_skip();
  if (model().opt.integrator != mjINT_RK4) {
    mj_step2(&model(), &data());
    --whole_steps;
  }
  for (int i = 0; i < whole_steps; ++i) mj_step(&model(), &data());
  mj_step1(&model(), &data());
  const bool truncated = finish_step();
  return {.reward = reward(), .terminated = false, .truncated = truncated};
}

// The next step begins with mj_step2, which reads what mj_step1 left. It follows from the state alone and leaves the
// warm start where it is.
void DmControlEnvironment::prepare_loaded() { mj_step1(&model(), &data()); }

// ---- what the tasks share ------------------------------------------------------------------------------------------

void DmControlEnvironment::randomise_joints(Draws& draws) {
  for (int joint = 0; joint < model().njnt; ++joint) {
    double* const position = data().qpos + model().jnt_qposadr[joint];
    const int type = model().jnt_type[joint];
    if (type == mjJNT_FREE) {
      // The package draws the quaternion from [0, 1)^4, which is not uniform over rotations.
      double square = 0;
      for (int i = 3; i < 7; ++i) {
        position[i] = draws.uniform();
        square += position[i] * position[i];
      }
      for (int i = 3; i < 7; ++i) position[i] /= std::sqrt(square);
    } else if (model().jnt_limited[joint]) {
      *position = draws.uniform(model().jnt_range[2 * joint], model().jnt_range[2 * joint + 1]);
    } else if (type == mjJNT_HINGE) {
      *position = draws.uniform(-std::numbers::pi, std::numbers::pi);
    }
  }
}

std::string DmControlEnvironment::task() const { return info().name.substr(info().name.rfind('-') + 1); }

double DmControlEnvironment::height(int body) const { return body_position(body)[2]; }

std::span<const double> DmControlEnvironment::rotation(int body) const { return {data().xmat + 9 * body, 9}; }

std::span<const double> DmControlEnvironment::sensor(const char* name) const {
  const int id = mj_name2id(&model(), mjOBJ_SENSOR, name);
  if (id < 0) throw Error(message(info().name, ": the model has no sensor '", name, "'"));
  return {data().sensordata + model().sensor_adr[id], static_cast<size_t>(model().sensor_dim[id])};
}

double DmControlEnvironment::gentleness() const {
  double sum = 0;
  for (int i = 0; i < model().nu; ++i)
    sum += tolerance(data().ctrl[i],
                     {.low = 0, .high = 0, .margin = 1, .falloff = Target::quadratic, .at_margin = 0});
  return sum / model().nu;
}

std::array<double, 3> in_frame(std::span<const double> v, std::span<const double> rotation) {
  std::array<double, 3> turned;
  for (size_t j = 0; j < 3; ++j) turned[j] = v[0] * rotation[j] + v[1] * rotation[3 + j] + v[2] * rotation[6 + j];
  return turned;
}

}  // namespace meander
