// What the goldens (tests/app/verify_environment_test.cpp) cannot show of the DeepMind Control tasks: the parts by
// hand, one dog for all, and a machine without the files.
#include <meander/envs/dm_control.h>

#include <doctest/doctest.h>

#include <cstdlib>
#include <functional>
#include <random>
#include <thread>

#include "available.h"
#include <meander/kernels/error.h>
#include <meander/envs/mersenne_twister.h>
#include <meander/envs/tolerance.h>

using namespace meander;

namespace {

// The tests of a fresh clone pass without the files, and say what they left out.
bool files_here() {
  const bool here = dm_control_available();
  if (!here) MESSAGE("skipped: ./meander fetch dm_control brings the task files");
  return here;
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// Points the family at another folder while it lives.
class OtherFolder {
 public:
  explicit OtherFolder(const char* folder) {
    if (const char* before = std::getenv(name)) before_ = before;
    setenv(name, folder, 1);
  }
  ~OtherFolder() { before_.empty() ? unsetenv(name) : setenv(name, before_.c_str(), 1); }

 private:
  static constexpr const char* name = "MEANDER_DM_CONTROL_ASSETS";
  std::string before_;
};

}  // namespace

// Every reward is a product of these.
TEST_CASE("tolerance by hand") {
  const Target band{.low = -1, .high = 2};
  CHECK(tolerance(-1, band) == 1);
  CHECK(tolerance(2, band) == 1);
  CHECK(tolerance(2.001, band) == 0);
  const Target gaussian{.low = 1, .margin = 0.5};
  CHECK(tolerance(7, gaussian) == 1);
  CHECK(tolerance(0.5, gaussian) == doctest::Approx(0.1));      // the margin's worth
  CHECK(tolerance(0.0, gaussian) == doctest::Approx(0.0001));   // .1^(2^2)
  const Target linear{.low = 10, .margin = 10, .falloff = Target::linear, .at_margin = 0};
  CHECK(tolerance(4, linear) == doctest::Approx(0.4));
  CHECK(tolerance(-3, linear) == 0);
  CHECK(tolerance(1, {.low = 2, .margin = 1, .falloff = Target::linear, .at_margin = 0.5}) == 0.5);
  CHECK(tolerance(0.5, {.low = 2, .margin = 1, .falloff = Target::linear, .at_margin = 0.5}) == 0.25);
  const Target quadratic{.low = 0, .high = 0, .margin = 1, .falloff = Target::quadratic, .at_margin = 0};
  CHECK(tolerance(-0.5, quadratic) == 0.75);
  CHECK(tolerance(20, quadratic) == 0);
}

// The generator against the standard library's, and its doubles and normals against those NumPy is known for.
TEST_CASE("the package's generator") {
  for (const uint32_t seed : {0u, 1u, 4294967295u}) {
    std::mt19937 standard(seed);
    MersenneTwister ours(seed);
    for (int i = 0; i < 2000; ++i) REQUIRE(ours.bits() == standard());
  }
  MersenneTwister uniform(0), normal(0);
  CHECK(uniform.uniform() == 0.5488135039273248);
  CHECK(uniform.uniform() == 0.7151893663724195);
  CHECK(normal.normal() == doctest::Approx(1.764052345967664).epsilon(1e-15));
  CHECK(normal.normal() == doctest::Approx(0.4001572083672233).epsilon(1e-15));  // the kept one
  CHECK(normal.normal() == doctest::Approx(0.9787379841057392).epsilon(1e-15));
}

// Rewards in [0, 1] with whatever actions are asked for is what v_min and v_max rest on.
TEST_CASE("rewards lie in [0, 1]") {
  if (!files_here()) return;
  for (const std::string& name : environment_names()) {
    if (!name.starts_with("dmc-")) continue;
    CAPTURE(name);
    const auto environment = make_environment(name);
    Stream random(3, Purpose::test, 0);
    environment->reset(random);
    std::vector<double> action(environment->info().actions);
    for (int i = 0; i < 50; ++i) {
      for (double& a : action) a = random.uniform(-20, 20);
      const Step step = environment->step(action);
      REQUIRE(step.reward >= 0);
      REQUIRE(step.reward <= 1);
      REQUIRE_FALSE(step.terminated);
    }
  }
}

// Compiling the dog takes a second and 90 MB: environments made side by side must come to one and the same model.
TEST_CASE("all dogs share one model") {
  if (!files_here()) return;
  std::vector<SharedModel> models(4);
  std::vector<std::thread> threads;
  const char* names[] = {"dmc-dog-stand", "dmc-dog-walk", "dmc-dog-trot", "dmc-dog-run"};
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&, i] {
      const auto dog = make_environment(names[i]);
      models[i] = dynamic_cast<const MujocoEnvironment&>(*dog).shared_model();
    });
  for (std::thread& thread : threads) thread.join();
  for (const SharedModel& model : models) CHECK(model == models[0]);
}

// Before the first fetch the family is there by name and dimensions; what needs its files says what to run.
TEST_CASE("a machine without the files") {
  const OtherFolder nowhere("/nowhere");
  CHECK_FALSE(dm_control_available());
  CHECK(environment_info("dmc-humanoid-run").actions == 21);
  for (const char* name : {"dmc-cartpole-swingup", "dmc-humanoid-run"}) {
    const std::string text = error_of([&] { make_environment(name); });
    CHECK(text.find("/nowhere/") != std::string::npos);
    CHECK(text.find("./meander fetch dm_control") != std::string::npos);
    CHECK(text.find('\n') == std::string::npos);
  }
  CHECK(error_of([] { environment_info("dmc-walker-jump"); }).find("dmc-walker-run") != std::string::npos);
}
