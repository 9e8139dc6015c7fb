// The wrapper's handling of what can go wrong in MuJoCo: one clear line each, and nothing left in the user's folder.
#include <meander/envs/mujoco.h>

#include <doctest/doctest.h>

#include <cmath>

#include "../folder.h"
#include <meander/kernels/error.h>
#include <meander/envs/environments.h>

extern "C" void mju_error(const char* text, ...);

using namespace meander;

namespace {

// The least environment that can be made of a model file.
class Bare final : public MujocoEnvironment {
 public:
  explicit Bare(const std::filesystem::path& file) : MujocoEnvironment({}, file, 1) {}
  Step step(std::span<const double>) override { return {}; }

 private:
  void randomise(Stream&) override {}
  void observe(ObservationWriter&) const override {}
};

std::string error_of(const std::filesystem::path& file) {
  try {
    Bare bare(file);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a missing model file is named, with the remedy") {
  const std::string text = error_of("/nowhere/ant.xml");
  CHECK(text.find("/nowhere/ant.xml") != std::string::npos);
  CHECK(text.find("./meander") != std::string::npos);
  CHECK(text.find('\n') == std::string::npos);
}

TEST_CASE("a damaged model file is one line") {
  const Folder folder;
  const std::string file = folder.file("damaged.xml");
  write_text(file, "<mujoco>\n<worldbody>\n<body><geom type='sphere'\n");
  const std::string text = error_of(file);
  CHECK(text.find(file) != std::string::npos);
  CHECK(text.find('\n') == std::string::npos);
}

// MuJoCo's own handler would write MUJOCO_LOG.TXT and end the process.
TEST_CASE("errors inside MuJoCo become Failure") {
  make_environment("Hopper-v4");
  CHECK_THROWS_WITH_AS(mju_error("stack\noverflow of %d", 3), "MuJoCo: stack overflow of 3", Failure);
  CHECK_FALSE(std::filesystem::exists("MUJOCO_LOG.TXT"));
}

// A state out of all bounds makes MuJoCo warn and start anew; its log file must not appear.
TEST_CASE("warnings are quiet") {
  const auto environment = make_environment("HalfCheetah-v4");
  Stream random(1, Purpose::test, 0);
  environment->reset(random);
  std::vector<double> state = environment->save();
  state[2] = 1e30;  // a position, after the time
  environment->load(state);
  environment->step(std::vector<double>(6, 0.0));
  CHECK(std::isfinite(environment->observation()[0]));
  CHECK_FALSE(std::filesystem::exists("MUJOCO_LOG.TXT"));
}

// Sharing the compiled model is what lets training and evaluation each have an environment; one must not disturb the
// other.
TEST_CASE("environments that share a model are independent") {
  const auto alone = make_environment("Ant-v4");
  Stream random(1, Purpose::test, 0), same(1, Purpose::test, 0);
  const std::vector<double> action(8, 0.5);
  alone->reset(random);
  for (int i = 0; i < 20; ++i) alone->step(action);

  const auto first = make_environment("Ant-v4"), second = make_environment("Ant-v5");
  Stream other(2, Purpose::test, 0);
  first->reset(same);
  second->reset(other);
  for (int i = 0; i < 20; ++i) {
    first->step(action);
    second->step(std::vector<double>(8, -1));
  }
  CHECK(first->save() == alone->save());
}
