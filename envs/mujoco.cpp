#include <meander/envs/mujoco.h>

#include <mujoco/mujoco.h>

#include <algorithm>
#include <cassert>
#include <map>
#include <mutex>
#include <variant>

#include <meander/kernels/error.h>
#include <meander/kernels/isa.h>

namespace meander {
namespace {

constexpr unsigned state_parts = mjSTATE_INTEGRATION;

void check_size(const std::string& task, const char* what, size_t expected, size_t got) {
  if (got != expected) throw Error(message(task, ": expected ", what, " of ", expected, " numbers, got ", got));
}

}  // namespace

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

// ---- models --------------------------------------------------------------------------------------------------------

// MuJoCo would print, append to MUJOCO_LOG.TXT in the current folder and, on an error or without AVX, end the process.
void prepare_mujoco() {
  kernels::isa();  // throws where there is less than AVX2
  static std::once_flag once;
  std::call_once(once, [] {
    mju_user_error = [](const char* text) { throw Failure("MuJoCo: " + one_line(text)); };
    mju_user_warning = [](const char*) {};
  });
}

SharedModel load_model(const std::filesystem::path& file) {
  static std::mutex mutex;
  static std::map<std::filesystem::path, std::weak_ptr<const mjModel>> models;
  const std::lock_guard lock(mutex);
  prepare_mujoco();
  if (auto known = models[file].lock()) return known;
  if (!std::filesystem::exists(file))
    throw Error(message("missing model file ", file.string(), ": run ./meander once with a network, it fetches them"));
  char reason[1000] = "";
  mjModel* model = mj_loadXML(file.c_str(), nullptr, reason, sizeof reason);
  if (!model) throw Error(message("cannot load model file ", file.string(), ": ", one_line(reason)));
  SharedModel loaded(model, [](const mjModel* m) { mj_deleteModel(const_cast<mjModel*>(m)); });
  models[file] = loaded;
  return loaded;
}

// ---- observations -------------------------------------------------------------------------------------------------

void ObservationWriter::add(double x) {
  assert(written_ < out_.size());
  out_[written_++] = x;
}

void ObservationWriter::add(std::span<const double> x) {
  assert(written_ + x.size() <= out_.size());
  std::copy(x.begin(), x.end(), out_.begin() + written_);
  written_ += x.size();
}

void ObservationWriter::add_clipped(std::span<const double> x, double bound) {
  for (double value : x) add(std::clamp(value, -bound, bound));
}

// ---- episodes ------------------------------------------------------------------------------------------------------

void MujocoEnvironment::DeleteData::operator()(mjData_* data) const { mj_deleteData(data); }

MujocoEnvironment::MujocoEnvironment(EnvironmentInfo info, const std::filesystem::path& model_file, int frame_skip)
    : MujocoEnvironment(std::move(info), load_model(model_file), frame_skip) {}

MujocoEnvironment::MujocoEnvironment(EnvironmentInfo info, SharedModel model, int frame_skip)
    : info_(std::move(info)),
      model_(std::move(model)),
      data_(mj_makeData(model_.get())),
      frame_skip_(frame_skip),
      observation_(info_.observations) {
  if (info_.actions > 0) return;
  info_.actions = model_->nu;
  for (int i = 0; i < model_->nu; ++i) {
    info_.action_low.push_back(model_->actuator_ctrlrange[2 * i]);
    info_.action_high.push_back(model_->actuator_ctrlrange[2 * i + 1]);
  }
}

void MujocoEnvironment::reset(Stream& random) {
  clear();
  randomise(random);
  finish_reset();
}

void MujocoEnvironment::clear() { mj_resetData(model_.get(), data_.get()); }

void MujocoEnvironment::forward() { mj_forward(model_.get(), data_.get()); }

void MujocoEnvironment::finish_reset() {
  forward();
  steps_ = 0;
  measure_and_observe();
}

void MujocoEnvironment::start_from(std::span<const double> state) {
  check_size(info_.name, "a simulation state", mj_stateSize(model_.get(), state_parts), state.size());
  clear();
  mj_setState(model_.get(), data_.get(), state.data(), state_parts);
  finish_reset();
}

bool MujocoEnvironment::finish_step() {
  ++steps_;
  measure_and_observe();
  return steps_ >= info_.time_limit;
}

void MujocoEnvironment::measure_and_observe() {
  measured_ = measure();
  ObservationWriter out(observation_);
  observe(out);
  assert(out.written() == observation_.size());
}

// ---- saving and loading --------------------------------------------------------------------------------------------

std::vector<double> MujocoEnvironment::integration_state() const {
  std::vector<double> state(mj_stateSize(model_.get(), state_parts));
  mj_getState(model_.get(), data_.get(), state.data(), state_parts);
  return state;
}

std::vector<double> MujocoEnvironment::save() const {
  std::vector<double> state = integration_state();
  state.insert(state.end(), observation_.begin(), observation_.end());
  for (const std::span<double> part : derived()) state.insert(state.end(), part.begin(), part.end());
  state.push_back(steps_);
  state.push_back(measured_);
  return state;
}

void MujocoEnvironment::load(std::span<const double> state) {
  const size_t simulation = mj_stateSize(model_.get(), state_parts);
  const std::vector<std::span<double>> parts = derived();
  size_t expected = simulation + observation_.size() + 2;
  for (const std::span<double> part : parts) expected += part.size();
  check_state(state, expected);
  const int steps = steps_in_state(state[state.size() - 2]);
  clear();
  mj_setState(model_.get(), data_.get(), state.data(), state_parts);
  auto rest = state.begin() + simulation;
  std::copy_n(rest, observation_.size(), observation_.begin());
  rest += observation_.size();
  for (const std::span<double> part : parts) {
    std::copy_n(rest, part.size(), part.begin());
    rest += part.size();
  }
  steps_ = steps;
  measured_ = state.back();
  prepare_loaded();
}

// ---- looking inside ------------------------------------------------------------------------------------------------

std::span<const double> MujocoEnvironment::positions() const { return {data_->qpos, static_cast<size_t>(model_->nq)}; }
std::span<const double> MujocoEnvironment::velocities() const { return {data_->qvel, static_cast<size_t>(model_->nv)}; }
std::span<const double> MujocoEnvironment::activations() const { return {data_->act, static_cast<size_t>(model_->na)}; }
std::span<const double> MujocoEnvironment::controls() const { return {data_->ctrl, static_cast<size_t>(model_->nu)}; }
double MujocoEnvironment::control_interval() const { return model_->opt.timestep * frame_skip_; }

int MujocoEnvironment::body(const char* name) const {
  const int id = mj_name2id(model_.get(), mjOBJ_BODY, name);
  if (id < 0) throw Error(message(info_.name, ": the model has no body '", name, "'"));
  return id;
}

std::span<const double> MujocoEnvironment::body_position(int body) const { return {data_->xpos + 3 * body, 3}; }

std::vector<double> MujocoEnvironment::model_array(const std::string& field) const {
  const mjModel& m = *model_;
  using Data = std::variant<const mjtNum*, const int*>;
  struct Field { const char* name; Data data; int rows, cols; };
  const Field fields[] = {
      {"body_parentid", m.body_parentid, m.nbody, 1},
      {"body_mass", m.body_mass, m.nbody, 1},
      {"body_inertia", m.body_inertia, m.nbody, 3},
      {"body_ipos", m.body_ipos, m.nbody, 3},
      {"body_iquat", m.body_iquat, m.nbody, 4},
      {"body_pos", m.body_pos, m.nbody, 3},
      {"body_quat", m.body_quat, m.nbody, 4},
      {"body_invweight0", m.body_invweight0, m.nbody, 2},
      {"body_subtreemass", m.body_subtreemass, m.nbody, 1},
      {"qpos0", m.qpos0, m.nq, 1},
      {"actuator_ctrlrange", m.actuator_ctrlrange, m.nu, 2},
      {"actuator_forcerange", m.actuator_forcerange, m.nu, 2},
      {"jnt_type", m.jnt_type, m.njnt, 1},
      {"jnt_range", m.jnt_range, m.njnt, 2},
      {"dof_armature", m.dof_armature, m.nv, 1},
      {"dof_damping", m.dof_damping, m.nv, 1},
      {"dof_frictionloss", m.dof_frictionloss, m.nv, 1},
      {"dof_invweight0", m.dof_invweight0, m.nv, 1},
      {"actuator_gainprm", m.actuator_gainprm, m.nu, mjNGAIN},
      {"actuator_biasprm", m.actuator_biasprm, m.nu, mjNBIAS},
      {"geom_bodyid", m.geom_bodyid, m.ngeom, 1},
      {"geom_type", m.geom_type, m.ngeom, 1},
      {"geom_contype", m.geom_contype, m.ngeom, 1},
      {"geom_conaffinity", m.geom_conaffinity, m.ngeom, 1},
      {"geom_condim", m.geom_condim, m.ngeom, 1},
      {"geom_size", m.geom_size, m.ngeom, 3},
      {"geom_pos", m.geom_pos, m.ngeom, 3},
      {"geom_quat", m.geom_quat, m.ngeom, 4},
      {"geom_friction", m.geom_friction, m.ngeom, 3},
      {"geom_solref", m.geom_solref, m.ngeom, mjNREF},
      {"geom_solimp", m.geom_solimp, m.ngeom, mjNIMP},
      {"geom_margin", m.geom_margin, m.ngeom, 1},
      {"geom_rbound", m.geom_rbound, m.ngeom, 1},
      {"eq_data", m.eq_data, m.neq, mjNEQDATA},
  };
  if (field == "hull") {
    std::vector<double> hull;
    for (int i = 0; i < m.ngeom; ++i)
      hull.push_back(m.geom_dataid[i] < 0 ? -1 : m.mesh_graphadr[m.geom_dataid[i]] >= 0 ? 1 : 0);
    return hull;
  }
  for (const Field& f : fields)
    if (field == f.name)
      return std::visit([&](const auto* data) { return std::vector<double>(data, data + f.rows * f.cols); }, f.data);
  throw Error(message(info_.name, ": no field '", field, "' of the model can be read"));
}

double MujocoEnvironment::model_number(const std::string& field) const {
  const mjModel& m = *model_;
  double mass = 0;
  for (int i = 0; i < m.nbody; ++i) mass += m.body_mass[i];
  const std::pair<const char*, double> numbers[] = {
      {"nq", m.nq}, {"nv", m.nv}, {"nu", m.nu}, {"na", m.na}, {"nbody", m.nbody}, {"ngeom", m.ngeom}, {"njnt", m.njnt},
      {"nsensordata", m.nsensordata}, {"timestep", m.opt.timestep}, {"skip", frame_skip_}, {"mass", mass},
      {"meaninertia", m.stat.meaninertia},
  };
  for (const auto& [name, value] : numbers)
    if (field == name) return value;
  throw Error(message(info_.name, ": no number '", field, "' of the model can be read"));
}

}  // namespace meander
