// Protects pictures: that they show the state, at the size asked for, and that drawing leaves the simulation alone.
#include <meander/envs/renderer.h>
#include <meander/envs/robomimic.h>

#include <doctest/doctest.h>

#include <set>
#include <vector>

#include "../can_draw.h"
#include "available.h"
#include <meander/kernels/error.h>
#include <meander/envs/environments.h>

using namespace meander;

namespace {

std::vector<unsigned char> picture(Renderer& renderer) {
  const auto drawn = renderer.draw();
  return {drawn.begin(), drawn.end()};
}

size_t colours(const std::vector<unsigned char>& picture) {
  std::set<int> all;
  for (size_t i = 0; i < picture.size(); i += 3)
    all.insert(picture[i] << 16 | picture[i + 1] << 8 | picture[i + 2]);
  return all.size();
}

void begin(Environment& environment, uint64_t seed) {
  Stream random(seed, Purpose::test, 0);
  environment.reset(random);
}

}  // namespace

TEST_CASE("pictures of every family show the state and change nothing of it") {
  if (!can_draw()) return;
  std::vector<std::string> tasks = {"HalfCheetah-v4", "Reacher-v5"};
  if (dm_control_available()) tasks.push_back("dmc-walker-run");
  if (has_ogbench_assets()) tasks.push_back("cube-double-v0");
  if (has_robosuite_assets() && has_robosuite_pictures())
    tasks.insert(tasks.end(), {"robomimic-lift", "robomimic-can", "robomimic-square"});
  for (const std::string& task : tasks) {
    CAPTURE(task);
    const auto drawn = make_environment(task), alone = make_environment(task);
    for (Environment* environment : {drawn.get(), alone.get()}) begin(*environment, 1);
    Renderer renderer(*drawn, 100, 60);
    const auto first = picture(renderer);
    CHECK(first.size() == 100 * 60 * 3);
    CHECK(colours(first) > 50);
    CHECK(picture(renderer) == first);
    const std::vector<float> action(static_cast<size_t>(drawn->info().actions), 0.5f);
    for (int i = 0; i < 3; ++i) {
      for (Environment* environment : {drawn.get(), alone.get()}) environment->act(action);
      CHECK(picture(renderer) != first);
    }
    CHECK(drawn->save() == alone->save());
    CHECK(renderer.interval() > 0);
  }
}

TEST_CASE("a picture stands upright and may be larger than the model's own buffer") {
  if (!can_draw()) return;
  const auto environment = make_environment("HalfCheetah-v4");
  begin(*environment, 1);
  const auto draw = [&](int width, int height, const char* camera) {
    Renderer renderer(*environment, width, height, camera);
    return picture(renderer);
  };
  const auto drawn = draw(801, 643, "");  // the model's: 640 by 480
  CHECK(drawn.size() == 801 * 643 * 3);
  const size_t half = drawn.size() / 2;
  // Sky above, a chequered floor below.
  CHECK(colours({drawn.begin(), drawn.begin() + half}) < colours({drawn.begin() + half, drawn.end()}));
  CHECK(draw(801, 643, "0") == drawn);
  CHECK(draw(80, 60, "free") != draw(80, 60, "track"));
}

TEST_CASE("what cannot be drawn is said before anything is") {
  const auto pendulum = make_environment("Pendulum-v1"), hopper = make_environment("Hopper-v4");
  CHECK_THROWS_WITH_AS(Renderer(*pendulum, 64, 64), doctest::Contains("Pendulum-v1"), Error);
  CHECK_THROWS_WITH_AS(Renderer(*hopper, 64, 64, "trakc"),
                       "Hopper-v4 has no camera 'trakc': there are 0 (track), free", Error);
}
