#include <mujoco/mujoco.h>

#include <algorithm>
#include <cmath>

#include <meander/envs/gymnasium.h>

namespace meander {
namespace {

bool all_within(std::span<const double> x, double bound) {
  return std::all_of(x.begin(), x.end(), [&](double value) { return std::abs(value) < bound; });
}

bool all_finite(std::span<const double> x) {
  return std::all_of(x.begin(), x.end(), [](double value) { return std::isfinite(value); });
}

// Run forward; falling does not end the episode.
class HalfCheetah final : public GymnasiumEnvironment {
 public:
  explicit HalfCheetah(const std::string& name)
      : GymnasiumEnvironment(
            name, {.model_file = "half_cheetah.xml", .frame_skip = 5, .observations = 17, .clipped_double_q = false}) {}

 private:
  void randomise(Stream& random) override {
    uniform_positions(random, 0.1);
    normal_velocities(random, 0.1);
  }
  void observe(ObservationWriter& out) const override {
    out.add(positions().subspan(1));
    out.add(velocities());
  }
  double measure() const override { return positions()[0]; }
  Outcome judge(std::span<const double> action, double before, double now) const override {
    return {velocity_of(before, now) - 0.1 * sum_of_squares(action)};
  }
};

// Hop forward on one leg without falling.
class Hopper final : public GymnasiumEnvironment {
 public:
  explicit Hopper(const std::string& name)
      : GymnasiumEnvironment(name, {.model_file = "hopper.xml", .frame_skip = 4, .observations = 11}) {}

 private:
  void randomise(Stream& random) override {
    uniform_positions(random, 0.005);
    uniform_velocities(random, 0.005);
  }
  void observe(ObservationWriter& out) const override {
    out.add(positions().subspan(1));
    out.add_clipped(velocities(), 10);
  }
  double measure() const override { return positions()[0]; }
  Outcome judge(std::span<const double> action, double before, double now) const override {
    const double height = positions()[1], angle = positions()[2];
    const bool healthy = all_within(positions().subspan(2), 100) && all_within(velocities(), 100) && height > 0.7 &&
                         std::abs(angle) < 0.2;
    const double bonus = healthy || version() < 5 ? 1 : 0;
    return {velocity_of(before, now) + bonus - 1e-3 * sum_of_squares(action), !healthy};
  }
};

// Walk forward on two legs without falling.
class Walker2d final : public GymnasiumEnvironment {
 public:
  explicit Walker2d(const std::string& name)
      : GymnasiumEnvironment(name, {.model_file = name == "Walker2d-v5" ? "walker2d_v5.xml" : "walker2d.xml",
                                    .frame_skip = 4,
                                    .observations = 17}) {}

 private:
  void randomise(Stream& random) override {
    uniform_positions(random, 0.005);
    uniform_velocities(random, 0.005);
  }
  void observe(ObservationWriter& out) const override {
    out.add(positions().subspan(1));
    out.add_clipped(velocities(), 10);
  }
  double measure() const override { return positions()[0]; }
  Outcome judge(std::span<const double> action, double before, double now) const override {
    const double height = positions()[1], angle = positions()[2];
    const bool healthy = height > 0.8 && height < 2 && std::abs(angle) < 1;
    const double bonus = healthy || version() < 5 ? 1 : 0;
    return {velocity_of(before, now) + bonus - 1e-3 * sum_of_squares(action), !healthy};
  }
};

// Walk forward on four legs. Contact forces (v5) are six numbers a body, the world's row first.
class Ant final : public GymnasiumEnvironment {
 public:
  explicit Ant(const std::string& name)
      : GymnasiumEnvironment(name, {.model_file = "ant.xml",
                                    .frame_skip = 5,
                                    .observations = name == "Ant-v3" ? 111 : name == "Ant-v4" ? 27 : 105}),
        torso_(body("torso")) {}

 private:
  void randomise(Stream& random) override {
    uniform_positions(random, 0.1);  // the quaternion too; MuJoCo normalises it
    normal_velocities(random, 0.1);
  }
  void observe(ObservationWriter& out) const override {
    out.add(positions().subspan(2));
    out.add(velocities());
    if (version() == 3)
      for (size_t i = 0; i < contact_forces().size(); ++i) out.add(0);
    if (version() == 5) out.add_clipped(contact_forces().subspan(6), 1);
  }
  double measure() const override { return body_position(torso_)[0]; }
  Outcome judge(std::span<const double> action, double before, double now) const override {
    const double height = positions()[2];
    const bool healthy = all_finite(positions()) && all_finite(velocities()) && height >= 0.2 && height <= 1;
    const double bonus = healthy || version() < 5 ? 1 : 0;
    double cost = 0.5 * sum_of_squares(action);
    if (version() == 5) {
      double contact = 0;
      for (double force : contact_forces()) contact += std::pow(std::clamp(force, -1.0, 1.0), 2);
      cost += 5e-4 * contact;
    }
    return {velocity_of(before, now) + bonus - cost, !healthy};
  }
  std::span<const double> contact_forces() const { return {data().cfrc_ext, 6 * static_cast<size_t>(model().nbody)}; }

  int torso_;
};

// Swim forward in a viscous fluid.
class Swimmer final : public GymnasiumEnvironment {
 public:
  explicit Swimmer(const std::string& name)
      : GymnasiumEnvironment(name, {.model_file = "swimmer.xml", .frame_skip = 4, .observations = 8}) {}

 private:
  void randomise(Stream& random) override {
    uniform_positions(random, 0.1);
    uniform_velocities(random, 0.1);
  }
  void observe(ObservationWriter& out) const override {
    out.add(positions().subspan(2));
    out.add(velocities());
  }
  double measure() const override { return positions()[0]; }
  Outcome judge(std::span<const double> action, double before, double now) const override {
    return {velocity_of(before, now) - 1e-4 * sum_of_squares(action)};
  }
};

// The body of Humanoid and HumanoidStandup: what both observe and how both start.
class HumanoidBody : public GymnasiumEnvironment {
 protected:
  using GymnasiumEnvironment::GymnasiumEnvironment;
  static int observation_size(const std::string& name) { return name.back() == '5' ? 348 : 376; }

  // v5 leaves out the rows of the world and the six unactuated degrees of freedom.
  void observe(ObservationWriter& out) const final {
    const size_t bodies = model().nbody, skipped = version() == 5 ? 1 : 0;
    out.add(positions().subspan(2));
    out.add(velocities());
    out.add(std::span<const double>(data().cinert, 10 * bodies).subspan(10 * skipped));
    out.add(std::span<const double>(data().cvel, 6 * bodies).subspan(6 * skipped));
    out.add(std::span<const double>(data().qfrc_actuator, model().nv).subspan(6 * skipped));
    if (version() == 3)
      for (size_t i = 0; i < 6 * bodies; ++i) out.add(0);
    else
      out.add(contact_forces().subspan(6 * skipped));
  }
  void randomise(Stream& random) final {
    uniform_positions(random, 0.01);
    uniform_velocities(random, 0.01);
  }
  double contact_cost() const { return std::min(5e-7 * sum_of_squares(contact_forces()), 10.0); }

 private:
  std::span<const double> contact_forces() const { return {data().cfrc_ext, 6 * static_cast<size_t>(model().nbody)}; }
};

// Walk forward without falling; speed is that of the centre of mass.
class Humanoid final : public HumanoidBody {
 public:
  explicit Humanoid(const std::string& name)
      : HumanoidBody(name, {.model_file = "humanoid.xml", .frame_skip = 5, .observations = observation_size(name)}) {}

 private:
  double measure() const override {
    double mass = 0, moment = 0;
    for (int b = 0; b < model().nbody; ++b) {
      moment += model().body_mass[b] * data().xipos[3 * b];
      mass += model().body_mass[b];
    }
    return moment / mass;
  }
  Outcome judge(std::span<const double> action, double before, double now) const override {
    const double height = positions()[2];
    const bool healthy = height > 1 && height < 2;
    const double bonus = healthy || version() < 5 ? 5 : 0;
    const double cost = 0.1 * sum_of_squares(action) + (version() == 5 ? contact_cost() : 0);
    return {1.25 * velocity_of(before, now) + bonus - cost, !healthy};
  }
};

// Get up from lying: height over the time step is the reward, so returns are large.
class HumanoidStandup final : public HumanoidBody {
 public:
  explicit HumanoidStandup(const std::string& name)
      : HumanoidBody(name, {.model_file = "humanoidstandup.xml",
                            .frame_skip = 5,
                            .observations = observation_size(name),
                            .v_min = -50000,
                            .v_max = 50000}) {}

 private:
  Outcome judge(std::span<const double> action, double, double) const override {
    const double rise = positions()[2] / model().opt.timestep;
    return {rise - 0.1 * sum_of_squares(action) - contact_cost() + 1};
  }
};

}  // namespace

void add_gymnasium_locomotion(Registry& registry) {
  for (const std::string version : {"-v3", "-v4", "-v5"}) {
    registry["HalfCheetah" + version] = make<HalfCheetah>;
    registry["Hopper" + version] = make<Hopper>;
    registry["Walker2d" + version] = make<Walker2d>;
    registry["Ant" + version] = make<Ant>;
    registry["Humanoid" + version] = make<Humanoid>;
  }
  for (const std::string version : {"-v4", "-v5"}) {
    registry["Swimmer" + version] = make<Swimmer>;
    registry["HumanoidStandup" + version] = make<HumanoidStandup>;
  }
}

}  // namespace meander
