#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <meander/core/environment.h>

struct mjModel_;  // MuJoCo's own headers stay inside envs/*.cpp
struct mjData_;

namespace meander {

// A compiled model; environments share it, and none may change it.
using SharedModel = std::shared_ptr<const mjModel_>;
// The model of an XML file, compiled unless an environment of the same file is alive. Throws Error if the file is
// missing or damaged.
SharedModel load_model(const std::filesystem::path& file);
// Whatever compiles models or simulates without load_model calls this first: MuJoCo's errors become meander::Failure,
// its warnings are dropped and its log file is never written. Throws Error if the processor is too old.
void prepare_mujoco();

// Collects an observation into fixed memory.
class ObservationWriter {
 public:
  explicit ObservationWriter(std::span<double> out) : out_(out) {}
  void add(double x);
  void add(std::span<const double> x);
  void add_clipped(std::span<const double> x, double bound);  // each in [-bound, bound]
  size_t written() const { return written_; }

 private:
  std::span<double> out_;
  size_t written_ = 0;
};

std::string one_line(std::string text);  // MuJoCo's own are sometimes several

// An environment simulated by MuJoCo: the model, the state, and what saving, loading and replaying need.
// Environments of the same model file share one compiled model.
class MujocoEnvironment : public Environment {
 public:
  const EnvironmentInfo& info() const final { return info_; }
  void reset(Stream& random) final;
  std::span<const double> observation() const final { return observation_; }
  // mjSTATE_INTEGRATION, the observation, derived(), the number of steps taken and measure(). mj_forward is never
  // called on load: it would move the warm start of the solver, and the next step would differ in the last bits.
  std::vector<double> save() const final;
  void load(std::span<const double> state) final;

  // For replaying recorded episodes and for tests.
  // The state as MuJoCo's mj_getState(mjSTATE_INTEGRATION) lays it out.
  std::vector<double> integration_state() const;
  // Finishes a reset from the state as it stood before the reset's last mj_forward. Throws Error if the size is wrong.
  void start_from(std::span<const double> integration_state);
  std::span<const double> positions() const;    // qpos
  std::span<const double> velocities() const;   // qvel
  std::span<const double> activations() const;  // act
  std::span<const double> controls() const;     // ctrl, as the last step set it
  // The model itself, for drawing, and for simulating with MuJoCo alone what the environment simulates.
  SharedModel shared_model() const { return model_; }
  // The model to draw: the same bodies and joints, perhaps with more to see. Throws Error if files for it are missing.
  virtual SharedModel drawn_model() const { return model_; }
  // A field of the compiled model ("body_mass", [nbody]) as one row of numbers; or "hull": for each geom whether its
  // mesh has a convex hull, -1 without a mesh. Throws Error if it is not known here.
  std::vector<double> model_array(const std::string& field) const;
  // A size of the model ("nq"), "timestep" in seconds, "skip" (time steps in one control step), "mass" (kg in all) or
  // "meaninertia".
  double model_number(const std::string& field) const;
  double control_interval() const;  // seconds of one control step

 protected:
  // Fills info().actions and the action range from the model's actuators unless they are given. Throws Error if the file
  // is missing or damaged.
  MujocoEnvironment(EnvironmentInfo info, const std::filesystem::path& model_file, int frame_skip);
  // The same over a model that is there already.
  MujocoEnvironment(EnvironmentInfo info, SharedModel model, int frame_skip);

  virtual void randomise(Stream& random) = 0;              // sets qpos and qvel of a new episode
  virtual void observe(ObservationWriter& out) const = 0;  // writes info().observations numbers
  // What the next reward needs to know of the present state, 0 if nothing. It may read quantities that are stale (they
  // belong to the integrator's last stage) and so is kept rather than computed again.
  virtual double measure() const { return 0; }
  // Parts of mjData that follow from earlier states and that the next step reads before it computes them again: saved,
  // and put back as they are.
  virtual std::vector<std::span<double>> derived() const { return {}; }
  // Computes everything derived of a new episode's state: mj_forward.
  virtual void forward();
  // Computes what a step needs besides what load has put back: nothing where a step begins with mj_step.
  virtual void prepare_loaded() {}

  void clear();         // mj_resetData
  void finish_reset();  // forward, step 0, the observation

  // Closes a control step: counts it, measures and observes. True when the time limit is reached.
  bool finish_step();

  const mjModel_& model() const { return *model_; }
  mjData_& data() { return *data_; }
  const mjData_& data() const { return *data_; }
  double measured() const { return measured_; }  // measure() at the end of the last reset or step
  int steps_taken() const { return steps_; }     // since the last reset
  int frame_skip() const { return frame_skip_; }
  int body(const char* name) const;
  std::span<const double> body_position(int body) const;  // xpos, 3 numbers

 private:
  struct DeleteData { void operator()(mjData_*) const; };
  void measure_and_observe();

  EnvironmentInfo info_;
  SharedModel model_;
  std::unique_ptr<mjData_, DeleteData> data_;
  int frame_skip_;
  int steps_ = 0;
  double measured_ = 0;
  std::vector<double> observation_;
};

}  // namespace meander
