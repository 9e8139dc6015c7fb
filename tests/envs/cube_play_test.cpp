// Protects OGBench's play data: the scripted policy carries cubes, as often and as far as the package's own script, the
// same seed gives the same episode, and the names of the data sets.

#include <meander/envs/cube_play.h>

#include <doctest/doctest.h>

#include <cmath>

using namespace meander;

namespace {

bool can_run() {
  if (!has_ogbench_assets()) MESSAGE("skipped: ./meander fetch ogbench brings the task files");
  return has_ogbench_assets();
}

struct Summary {
  double held = 0, carried = 0;  // shares of steps: with a cube between the fingers, with one in the air
  double path = 0;               // m a cube
  std::array<double, 5> action_deviation{};
  std::vector<double> last;      // positions at the end
};

// Measured as bench/learning/play_statistics.py measures files.
Summary play(const std::string& name, int number) {
  OgbenchCube cubes(name);
  Stream reset(4, Purpose::collect_reset, number);
  cubes.scatter(reset);
  CubePlay policy(cubes, Stream(4, Purpose::collect_explore, number));
  Summary sum;
  std::array<double, 5> mean{}, squares{};
  std::vector<std::array<double, 3>> before;
  for (int i = 0; i < cubes.cubes(); ++i) before.push_back(cubes.cube(i).position);
  for (int step = 0; step < CubePlay::episode_steps; ++step) {
    const bool contact = cubes.observation()[18] > 0.1;
    const auto pinch = cubes.gripper().position;
    bool held = false, carried = false;
    for (int i = 0; i < cubes.cubes(); ++i) {
      const auto p = cubes.cube(i).position;
      const bool near = std::hypot(p[0] - pinch[0], p[1] - pinch[1], p[2] - pinch[2]) < 0.03;
      held |= near && contact;
      carried |= near && contact && p[2] > 0.03;
      sum.path += std::hypot(p[0] - before[i][0], p[1] - before[i][1], p[2] - before[i][2]) / cubes.cubes();
      before[i] = p;
    }
    sum.held += held;
    sum.carried += carried;
    const auto action = policy.act();
    for (int k = 0; k < 5; ++k) {
      CHECK(std::abs(action[k]) <= 1);
      mean[k] += action[k] / CubePlay::episode_steps;
      squares[k] += action[k] * action[k] / CubePlay::episode_steps;
    }
    cubes.step(action);
  }
  sum.held /= CubePlay::episode_steps;
  sum.carried /= CubePlay::episode_steps;
  for (int k = 0; k < 5; ++k) sum.action_deviation[k] = std::sqrt(squares[k] - mean[k] * mean[k]);
  sum.last.assign(cubes.positions().begin(), cubes.positions().end());
  return sum;
}

}  // namespace

// The centres are means over 50 episodes of the package's script (bench/results/cube_play.md), the bounds five times
// the deviation of one episode from them.
TEST_CASE("the scripted policy does what the package's does") {
  if (!can_run()) return;
  const Summary one = play("cube-double-v0", 0);
  CHECK(std::abs(one.held - 0.4555) < 0.09);
  CHECK(std::abs(one.carried - 0.3941) < 0.095);
  CHECK(std::abs(one.path - 3.72) < 1.1);
  const double package[5] = {0.308, 0.446, 0.646, 0.416, 0.256}, bound[5] = {0.12, 0.18, 0.09, 0.24, 0.03};
  for (int k = 0; k < 5; ++k) CHECK(std::abs(one.action_deviation[k] - package[k]) < bound[k]);
}

TEST_CASE("an episode depends on seed and number alone") {
  if (!can_run()) return;
  const Summary a = play("cube-single-v0", 1), b = play("cube-single-v0", 1), c = play("cube-single-v0", 2);
  CHECK(a.last == b.last);
  CHECK(a.last != c.last);
}

TEST_CASE("names of play data sets") {
  CHECK(play_data_cubes("cube-single-play") == 1);
  CHECK(play_data_cubes("cube-double-play-v0") == 2);
  CHECK(play_data_cubes("cube-triple-play-v0") == 3);
  CHECK(!play_data_cubes("cube-double-v0"));
  CHECK(!play_data_cubes("cube-double-play-singletask-v0"));
}
