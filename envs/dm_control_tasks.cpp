#include <mujoco/mujoco.h>

#include <array>
#include <cmath>
#include <numbers>

#include <meander/envs/dm_control.h>
#include <meander/envs/tolerance.h>

namespace meander {
namespace {

using enum Target::Falloff;

constexpr Target around_zero(double margin) { return {.low = 0, .high = 0, .margin = margin}; }

// Swing a pole up on a cart and balance it.
class Cartpole final : public DmControlEnvironment {
 public:
  explicit Cartpole(const std::string& name) : DmControlEnvironment(name) {}

 private:
  void initialise(Draws& draws) override {
    data().qpos[0] = 0.01 * draws.normal();
    data().qpos[1] = std::numbers::pi + 0.01 * draws.normal();  // hanging
    for (int i = 0; i < model().nv; ++i) data().qvel[i] = 0.01 * draws.normal();
  }
  void observe(ObservationWriter& out) const override {
    out.add(positions()[0]);
    out.add(rotation(pole_)[8]);
    out.add(rotation(pole_)[2]);
    out.add(velocities());
  }
  double reward() const override {
    const double raised = (upright(pole_) + 1) / 2;
    const double gentle = (4 + gentleness()) / 5;
    const double slow = (1 + tolerance(velocities()[1], around_zero(5))) / 2;
    const double centred = (1 + tolerance(positions()[0], around_zero(2))) / 2;
    return raised * gentle * slow * centred;
  }

  const int pole_ = body("pole_1");
};

// Run forward.
class Cheetah final : public DmControlEnvironment {
 public:
  explicit Cheetah(const std::string& name) : DmControlEnvironment(name) {}

 private:
  // From random joint angles it settles for two seconds. The first time step still moves by what was computed for the
  // default pose: the package does so.
  void initialise(Draws& draws) override {
    for (int joint = 0; joint < model().njnt; ++joint)
      if (model().jnt_limited[joint])
        data().qpos[joint] = draws.uniform(model().jnt_range[2 * joint], model().jnt_range[2 * joint + 1]);
    mj_step2(&model(), &data());
    for (int i = 1; i < 200; ++i) mj_step(&model(), &data());
    mj_step1(&model(), &data());
    data().time = 0;
  }
  void observe(ObservationWriter& out) const override {
    out.add(positions().subspan(1));
    out.add(velocities());
  }
  double reward() const override {
    return tolerance(velocity_[0], {.low = 10, .margin = 10, .falloff = linear, .at_margin = 0});
  }

  const std::span<const double> velocity_ = sensor("torso_subtreelinvel");
};

// Stand up, and walk or run on two legs in a plane.
class Walker final : public DmControlEnvironment {
 public:
  explicit Walker(const std::string& name) : DmControlEnvironment(name) {
    speed_ = task() == "walk" ? 1 : task() == "run" ? 8 : 0;
  }

 private:
  void initialise(Draws& draws) override { randomise_joints(draws); }
  void observe(ObservationWriter& out) const override {
    for (int b = 1; b < model().nbody; ++b) {
      out.add(rotation(b)[0]);
      out.add(rotation(b)[2]);
    }
    out.add(height(torso_));
    out.add(velocities());
  }
  double reward() const override {
    const double raised = tolerance(height(torso_), {.low = 1.2, .margin = 0.6});
    const double standing = (3 * raised + (1 + upright(torso_)) / 2) / 4;
    if (speed_ == 0) return standing;
    const double moving =
        tolerance(velocity_[0], {.low = speed_, .margin = speed_ / 2, .falloff = linear, .at_margin = 0.5});
    return standing * (5 * moving + 1) / 6;
  }

  const int torso_ = body("torso");
  const std::span<const double> velocity_ = sensor("torso_subtreelinvel");
  double speed_;  // 0: stand
};

// Stand up, or hop forward, on one leg in a plane.
class Hopper final : public DmControlEnvironment {
 public:
  explicit Hopper(const std::string& name) : DmControlEnvironment(name), hops_(task() == "hop") {}

 private:
  void initialise(Draws& draws) override { randomise_joints(draws); }
  void observe(ObservationWriter& out) const override {
    out.add(positions().subspan(1));
    out.add(velocities());
    out.add(std::log1p(toe_[0]));
    out.add(std::log1p(heel_[0]));
  }
  double reward() const override {
    const double above_foot = data().xipos[3 * torso_ + 2] - data().xipos[3 * foot_ + 2];  // centres of mass
    const double standing = tolerance(above_foot, {.low = 0.6, .high = 2});
    if (!hops_) return standing * (4 + gentleness()) / 5;
    return standing * tolerance(velocity_[0], {.low = 2, .margin = 1, .falloff = linear, .at_margin = 0.5});
  }

  const int torso_ = body("torso"), foot_ = body("foot");
  const std::span<const double> velocity_ = sensor("torso_subtreelinvel");
  const std::span<const double> toe_ = sensor("touch_toe"), heel_ = sensor("touch_heel");
  const bool hops_;
};

// Stand up, and walk or run.
class Humanoid final : public DmControlEnvironment {
 public:
  explicit Humanoid(const std::string& name) : DmControlEnvironment(name) {
    speed_ = task() == "walk" ? 1 : task() == "run" ? 10 : 0;
  }

 private:
  void initialise(Draws& draws) override {
    do {
      randomise_joints(draws);
      forward();
    } while (data().ncon > 0);  // until nothing touches or overlaps
  }
  void observe(ObservationWriter& out) const override {
    out.add(positions().subspan(7));
    out.add(height(head_));
    const auto centre = body_position(torso_);
    for (const int b : extremities_) {
      const auto at = body_position(b);
      const double offset[] = {at[0] - centre[0], at[1] - centre[1], at[2] - centre[2]};
      out.add(in_frame(offset, rotation(torso_)));
    }
    out.add(vertical(torso_));
    out.add(velocity_);
    out.add(velocities());
  }
  double reward() const override {
    const double raised = tolerance(height(head_), {.low = 1.4, .margin = 0.35});
    const double straight =
        tolerance(upright(torso_), {.low = 0.9, .margin = 1.9, .falloff = linear, .at_margin = 0});
    const double standing = (4 + gentleness()) / 5 * raised * straight;
    if (speed_ == 0)
      return standing * (tolerance(velocity_[0], around_zero(2)) + tolerance(velocity_[1], around_zero(2))) / 2;
    const double over_ground = std::sqrt(velocity_[0] * velocity_[0] + velocity_[1] * velocity_[1]);
    const double moving =
        tolerance(over_ground, {.low = speed_, .margin = speed_, .falloff = linear, .at_margin = 0});
    return standing * (5 * moving + 1) / 6;
  }

  const int torso_ = body("torso"), head_ = body("head");
  const std::array<int, 4> extremities_ = {body("left_hand"), body("left_foot"), body("right_hand"),
                                           body("right_foot")};
  const std::span<const double> velocity_ = sensor("torso_subtreelinvel");
  double speed_;  // 0: stand
};

}  // namespace

void add_dm_control(Registry& registry) {
  registry["dmc-cartpole-swingup"] = make<Cartpole>;
  registry["dmc-cheetah-run"] = make<Cheetah>;
  for (const char* name : {"dmc-walker-stand", "dmc-walker-walk", "dmc-walker-run"}) registry[name] = make<Walker>;
  for (const char* name : {"dmc-hopper-stand", "dmc-hopper-hop"}) registry[name] = make<Hopper>;
  for (const char* name : {"dmc-humanoid-stand", "dmc-humanoid-walk", "dmc-humanoid-run"})
    registry[name] = make<Humanoid>;
}

}  // namespace meander
