#include <meander/envs/cube_play.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <numbers>

namespace meander {
namespace {

constexpr double pi = std::numbers::pi;
using Point = std::array<double, 3>;

constexpr double first_stacking = 0.5;  // for an episode's first target, whatever its own probability
constexpr double same_place = 0.02;     // m: cubes closer than this in x and y lie on each other
constexpr double gap = 0.4;             // s, between keyframes; half as much again before those where it grasps
constexpr double time_jitter = 0.2;     // of a gap, to either side
constexpr double noise = 0.1;           // of what an action of 1 asks for
// The weights of a Gaussian of deviation .5 actions, cut at 4 deviations; made to sum to 1 below.
constexpr int noise_radius = 2;
const std::array<double, noise_radius + 1> noise_weights = [] {
  std::array<double, noise_radius + 1> w = {1, std::exp(-2.0), std::exp(-8.0)};
  const double sum = w[0] + 2 * (w[1] + w[2]);
  for (double& x : w) x /= sum;
  return w;
}();

double positive_angle(double angle) { return angle < 0 ? angle + 2 * pi : angle; }  // in [0, 2 pi)
double shortest_turn(double from, double to) { return std::remainder(to - from, 2 * pi); }

// Of the yaws at which a cube looks as at `cube` the one nearest to the gripper's. Both in [0, 2 pi).
double matching_yaw(double gripper, double cube) {
  double best = cube;
  for (int quarters = -4; quarters <= 4; ++quarters) {
    const double yaw = quarters * pi / 2 + cube;
    if (std::abs(gripper - yaw) < std::abs(gripper - best)) best = yaw;
  }
  return best;
}

Point above(const Point& p, double height) { return {p[0], p[1], p[2] + height}; }

// Half the screw motion from one pose to the other, both turned about z only: in the plane an arc. With x + i y as a
// complex number it goes d / (1 + exp(i turn / 2)) of the way d.
Point midway(const Point& from, const Point& to, double turn) {
  const std::complex<double> way(to[0] - from[0], to[1] - from[1]);
  const std::complex<double> half = way / (1.0 + std::polar(1.0, turn / 2));
  return {from[0] + half.real(), from[1] + half.imag(), (from[2] + to[2]) / 2};
}

double draw_stacking(int cubes, Stream& random) {
  switch (cubes) {
    case 1: return 0;
    case 2: return random.uniform(0, 0.25);
    default: return random.uniform(0.05, 0.35);
  }
}

}  // namespace

CubePlay::CubePlay(const OgbenchCube& cubes, Stream random)
    : cubes_(cubes),
      random_(random),
      stacking_(draw_stacking(cubes.cubes(), random_)),
      interval_(cubes.model_number("timestep") * cubes.model_number("skip")) {
  make_plan(keyframes(choose_target(first_stacking)));
}

CubePlay::Target CubePlay::choose_target(double stacking) {
  const auto pick = [&](const std::vector<int>& from) {
    return from[static_cast<size_t>(static_cast<double>(from.size()) * random_.uniform())];
  };
  std::vector<int> top;  // cubes on which none lies
  for (int i = 0; i < cubes_.cubes(); ++i) {
    const Point a = cubes_.cube(i).position;
    bool covered = false;
    for (int j = 0; j < cubes_.cubes(); ++j) {
      const Point b = cubes_.cube(j).position;
      covered |= j != i && b[2] > a[2] && std::hypot(a[0] - b[0], a[1] - b[1]) < same_place;
    }
    if (!covered) top.push_back(i);
  }
  Target target{pick(top), {0, 0, OgbenchCube::cube_height}, 0};
  if (top.size() >= 2 && random_.uniform() < stacking) {
    std::erase(top, target.cube);
    target.position = above(cubes_.cube(pick(top)).position, OgbenchCube::cube_size);
  } else {
    for (int k = 0; k < 2; ++k)
      target.position[k] = random_.uniform(OgbenchCube::cube_low[k], OgbenchCube::cube_high[k]);
  }
  target.yaw = random_.uniform(0, 2 * pi);
  return target;
}

std::vector<CubePlay::Keyframe> CubePlay::keyframes(const Target& target) {
  const OgbenchCube::Gripper gripper = cubes_.gripper();
  const Pose cube = cubes_.cube(target.cube);

  // Gripping by the nearest of the four sides, and putting down so that the least turn is left.
  const double pick_yaw = matching_yaw(positive_angle(gripper.yaw), positive_angle(yaw_of(cube.rotation)));
  const double place_yaw = matching_yaw(positive_angle(std::remainder(pick_yaw, 2 * pi)), target.yaw);
  const Point over_cube = above(cube.position, 0.1 + random_.uniform(0, 0.1));
  const Point over_target = above(target.position, 0.1 + random_.uniform(0, 0.1));

  const double turn = shortest_turn(pick_yaw, place_yaw);
  Point clearance = midway(over_cube, over_target, turn);
  clearance[2] = gripper.position[2];
  clearance[0] += random_.uniform(-0.1, 0.1);
  clearance[1] += random_.uniform(-0.1, 0.1);
  clearance[2] += random_.uniform(0, 0.2);

  Point last;
  for (int k = 0; k < 3; ++k) last[k] = random_.uniform(OgbenchCube::gripper_low[k], OgbenchCube::gripper_high[k]);
  const double last_yaw = random_.uniform(-pi, pi);

  std::vector<Keyframe> frames = {
      {gripper.position, gripper.yaw, 0, 0},
      {over_cube, pick_yaw, 0, gap},
      {cube.position, pick_yaw, 0, 1.5 * gap},
      {cube.position, pick_yaw, 1, gap},
      {over_cube, pick_yaw, 1, gap},
      {clearance, pick_yaw + turn / 2, 1, gap},
      {over_target, place_yaw, 1, gap},
      {target.position, place_yaw, 1, 1.5 * gap},
      {target.position, place_yaw, 0, gap},
      {over_target, place_yaw, 0, gap},
      {last, last_yaw, 0, gap},
  };
  for (size_t i = 1; i < frames.size(); ++i) frames[i].time += frames[i - 1].time;
  for (size_t i = 1; i < frames.size(); ++i) frames[i].time += random_.uniform(-1, 1) * gap * time_jitter;
  return frames;
}

void CubePlay::make_plan(const std::vector<Keyframe>& frames) {
  began_ = cubes_.time();
  done_ = false;
  plan_.clear();
  size_t next = 1;
  for (double t = 0; t < frames.back().time; t += interval_) {
    while (t >= frames[next].time) ++next;
    const Keyframe &a = frames[next - 1], &b = frames[next];
    const double share = (t - a.time) / (b.time - a.time);
    Setpoint setpoint;
    for (int k = 0; k < 3; ++k) setpoint[k] = std::lerp(a.position[k], b.position[k], share);
    setpoint[3] = std::remainder(a.yaw + share * shortest_turn(a.yaw, b.yaw), 2 * pi);
    setpoint[4] = std::lerp(a.grasp, b.grasp, share);
    plan_.push_back(setpoint);
  }

  std::vector<Setpoint> white(plan_.size());
  for (Setpoint& row : white)
    for (int k = 0; k < OgbenchCube::actions; ++k) row[k] = noise * OgbenchCube::action_scale[k] * random_.normal();
  const auto rows = static_cast<int>(plan_.size());
  for (int i = 0; i < rows; ++i)
    for (int offset = -noise_radius; offset <= noise_radius; ++offset) {
      int from = i + offset;  // mirrored at the ends
      if (from < 0) from = -1 - from;
      if (from >= rows) from = 2 * rows - 1 - from;
      for (int k = 0; k < OgbenchCube::actions; ++k)
        plan_[static_cast<size_t>(i)][k] += noise_weights[std::abs(offset)] * white[static_cast<size_t>(from)][k];
    }
}

std::array<double, OgbenchCube::actions> CubePlay::act() {
  if (done_) make_plan(keyframes(choose_target(stacking_)));
  const int last = static_cast<int>(plan_.size()) - 1;
  // So much more that rounding of the time takes no step back.
  const int now = std::min(static_cast<int>((cubes_.time() - began_ + 1e-7) / interval_), last);
  done_ = now == last;
  const Setpoint& goal = plan_[static_cast<size_t>(now)];
  const OgbenchCube::Gripper gripper = cubes_.gripper();
  // The difference of yaws is not brought to [-pi, pi], as in the package: near its ends the arm turns the long way.
  const Setpoint present = {gripper.position[0], gripper.position[1], gripper.position[2], gripper.yaw, gripper.opening};
  std::array<double, OgbenchCube::actions> action;
  for (int k = 0; k < OgbenchCube::actions; ++k)
    action[k] = std::clamp((goal[k] - present[k]) / OgbenchCube::action_scale[k], -1.0, 1.0);
  return action;
}

std::optional<int> play_data_cubes(const std::string& name) {
  const char* const sizes[] = {"single", "double", "triple"};
  for (int cubes = 1; cubes <= OgbenchCube::most_cubes; ++cubes) {
    const std::string play = std::string("cube-") + sizes[cubes - 1] + "-play";
    if (name == play || name == play + "-v0") return cubes;
  }
  return {};
}

}  // namespace meander
