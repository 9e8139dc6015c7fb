#include <mujoco/mujoco.h>

#include <array>
#include <cmath>

#include <meander/envs/gymnasium.h>

namespace meander {
namespace {

using Vector3 = std::array<double, 3>;

Vector3 difference(std::span<const double> a, std::span<const double> b) {
  return {a[0] - b[0], a[1] - b[1], a[2] - b[2]};
}

double distance(std::span<const double> a, std::span<const double> b) {
  return std::sqrt(sum_of_squares(difference(a, b)));
}

// Keep a pole on a cart upright.
class InvertedPendulum final : public GymnasiumEnvironment {
 public:
  explicit InvertedPendulum(const std::string& name)
      : GymnasiumEnvironment(name, {.model_file = "inverted_pendulum.xml", .frame_skip = 2, .observations = 4}) {}

 private:
  void randomise(Stream& random) override {
    uniform_positions(random, 0.01);
    uniform_velocities(random, 0.01);
  }
  void observe(ObservationWriter& out) const override {
    out.add(positions());
    out.add(velocities());
  }
  Outcome judge(std::span<const double>, double, double) const override {
    bool finite = true;
    for (double x : positions()) finite = finite && std::isfinite(x);
    for (double x : velocities()) finite = finite && std::isfinite(x);
    const bool fell = !finite || std::abs(positions()[1]) > 0.2;
    return {fell && version() == 5 ? 0.0 : 1.0, fell};
  }
};

// Keep two poles, one on top of the other, upright on a cart.
class InvertedDoublePendulum final : public GymnasiumEnvironment {
 public:
  explicit InvertedDoublePendulum(const std::string& name)
      : GymnasiumEnvironment(name, {.model_file = "inverted_double_pendulum.xml",
                                    .frame_skip = 5,
                                    .observations = name.back() == '5' ? 9 : 11}) {}

 private:
  void randomise(Stream& random) override {
    uniform_positions(random, 0.1);
    normal_velocities(random, 0.1);
  }
  void observe(ObservationWriter& out) const override {
    out.add(positions()[0]);
    for (double angle : positions().subspan(1)) out.add(std::sin(angle));
    for (double angle : positions().subspan(1)) out.add(std::cos(angle));
    out.add_clipped(velocities(), 10);
    out.add_clipped({data().qfrc_constraint, version() == 5 ? size_t{1} : size_t{3}}, 10);
  }
  Outcome judge(std::span<const double>, double, double) const override {
    const double x = data().site_xpos[0], y = data().site_xpos[2];  // the tip
    const double lower = velocities()[1], upper = velocities()[2];
    const bool fell = y <= 1;
    const double bonus = fell && version() == 5 ? 0 : 10;
    const double off_target = 0.01 * x * x + (y - 2) * (y - 2);
    return {bonus - off_target - (1e-3 * lower * lower + 5e-3 * upper * upper), fell};
  }
};

// Bring the tip of a two-link arm to a target.
class Reacher final : public GymnasiumEnvironment {
 public:
  explicit Reacher(const std::string& name)
      : GymnasiumEnvironment(name, {.model_file = "reacher.xml",
                                    .frame_skip = 2,
                                    .observations = name.back() == '5' ? 10 : 11,
                                    .time_limit = 50}),
        fingertip_(body("fingertip")),
        target_(body("target")) {}

 private:
  void randomise(Stream& random) override {
    uniform_positions(random, 0.1);
    double x, y;  // of the target, uniform in a disc
    do {
      x = random.uniform(-0.2, 0.2);
      y = random.uniform(-0.2, 0.2);
    } while (std::sqrt(x * x + y * y) >= 0.2);
    data().qpos[2] = x;
    data().qpos[3] = y;
    uniform_velocities(random, 0.005);
    data().qvel[2] = data().qvel[3] = 0;
  }
  void observe(ObservationWriter& out) const override {
    for (double angle : positions().first(2)) out.add(std::cos(angle));
    for (double angle : positions().first(2)) out.add(std::sin(angle));
    out.add(positions().subspan(2));
    out.add(velocities().first(2));
    const Vector3 offset = difference(body_position(fingertip_), body_position(target_));
    out.add(std::span(offset).first(version() == 5 ? 2 : 3));
  }
  double measure() const override { return distance(body_position(fingertip_), body_position(target_)); }
  // v4 rewards the distance before the step, v5 after it.
  Outcome judge(std::span<const double> action, double before, double now) const override {
    return {-(version() == 5 ? now : before) - sum_of_squares(action)};
  }

  int fingertip_, target_;
};

// Push an object to a goal with a seven-joint arm.
class Pusher final : public GymnasiumEnvironment {
 public:
  explicit Pusher(const std::string& name)
      : GymnasiumEnvironment(
            name, {.model_file = "pusher_v5.xml", .frame_skip = 5, .observations = 23, .time_limit = 100}),
        tips_arm_(body("tips_arm")),
        object_(body("object")),
        goal_(body("goal")) {}

 private:
  void randomise(Stream& random) override {
    double x, y;  // of the object, in the plane of the table; the goal is at (0, 0)
    do {
      x = random.uniform(-0.3, 0);
      y = random.uniform(-0.2, 0.2);
    } while (std::sqrt(x * x + y * y) <= 0.17);
    const int nq = model().nq, nv = model().nv;
    data().qpos[nq - 4] = x;
    data().qpos[nq - 3] = y;
    data().qpos[nq - 2] = data().qpos[nq - 1] = 0;
    uniform_velocities(random, 0.005);
    for (int i = nv - 4; i < nv; ++i) data().qvel[i] = 0;
  }
  void observe(ObservationWriter& out) const override {
    out.add(positions().first(7));
    out.add(velocities().first(7));
    out.add(body_position(tips_arm_));
    out.add(body_position(object_));
    out.add(body_position(goal_));
  }
  Outcome judge(std::span<const double> action, double, double) const override {
    const double to_goal = distance(body_position(object_), body_position(goal_));
    const double to_arm = distance(body_position(object_), body_position(tips_arm_));
    return {-to_goal - 0.1 * sum_of_squares(action) - 0.5 * to_arm};
  }

  int tips_arm_, object_, goal_;
};

}  // namespace

void add_gymnasium_control(Registry& registry) {
  for (const std::string version : {"-v4", "-v5"}) {
    registry["InvertedPendulum" + version] = make<InvertedPendulum>;
    registry["InvertedDoublePendulum" + version] = make<InvertedDoublePendulum>;
    registry["Reacher" + version] = make<Reacher>;
  }
  registry["Pusher-v5"] = make<Pusher>;
}

}  // namespace meander
