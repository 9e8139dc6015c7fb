// Protects what is said of robomimic's files by playing them, and the observations made for recorded states.
#include <doctest/doctest.h>

#include <cmath>

#include "command.h"
#include "hdf5_files.h"
#include <meander/app/data_files.h>
#include <meander/app/hdf5_file.h>
#include <meander/envs/robomimic.h>

using namespace meander;

namespace {

const std::string tiny_lift = MEANDER_TEST_DATA "/hdf5/tiny_lift.hdf5";
constexpr int64_t width = 32;  // of a state: time, 16 positions, 15 velocities

bool can_replay() {
  if (!can_read_hdf5()) return false;
  if (!has_robosuite_assets()) MESSAGE("skipped: robomimic's task files are not here");
  return has_robosuite_assets();
}

// The first demonstration of tiny_lift.hdf5 as it is recorded: states and actions alone. `cube`: half sizes for its
// model, or "".
std::vector<double> write_states(const std::string& path, const std::string& cube, int64_t columns = width) {
  Hdf5File file(tiny_lift);
  const int64_t n = file.shape("data/demo_0/actions")->at(0);
  std::vector<double> states(static_cast<size_t>(n * width)), actions(static_cast<size_t>(n * 7));
  file.read_rows<double>({{"data/demo_0/states", n, width}, {"data/demo_0/actions", n, 7}},
                         [&](size_t index, int64_t first, std::span<const double> piece) {
    std::copy(piece.begin(), piece.end(), index ? actions.begin() + 7 * first : states.begin() + width * first);
  });
  Hdf5Writer raw(path);
  raw.attribute("data", "env_args", *file.attribute("data", "env_args"));
  raw.add("data/demo_0/actions", {n, 7}, actions.data());
  raw.add("data/demo_0/states", {n, columns}, states.data());
  if (!cube.empty())
    raw.attribute("data/demo_0", "model_file",
                  "<mujoco><geom size=\"9 9 9\"/><geom name=\"cube_g0\" size=\"" + cube + "\"/></mujoco>");
  raw.finish();
  return states;
}

}  // namespace

TEST_CASE("a demonstration that robosuite recorded is replayed") {
  if (!can_replay()) return;
  const Folder folder;
  Result result = meander_in(folder, {"info", tiny_lift, "--replay", "20"});
  CHECK(result.status == 0);
  for (const char* part : {"3 demonstrations of robomimic-lift replayed, 116 steps", "succeed at their end     3 of 3",
                           "succeed open loop        3 of 3", "the file and the simulation fit",
                           "3 recorded models say no size of the cube"})
    CHECK_MESSAGE(contains(result.out, part), result.out);
  // Actions that mean something else.
  const std::string other = folder.file("other.hdf5");
  {
    Hdf5File file(tiny_lift);
    const int64_t n = file.shape("data/demo_0/actions")->at(0);
    std::vector<double> states(static_cast<size_t>(n * width)), actions(static_cast<size_t>(n * 7), 0.3);
    file.read_rows<double>({{"data/demo_0/states", n, width}},
                           [&](size_t, int64_t first, std::span<const double> piece) {
      std::copy(piece.begin(), piece.end(), states.begin() + width * first);
    });
    Hdf5Writer raw(other);
    raw.attribute("data", "env_args", *file.attribute("data", "env_args"));
    raw.add("data/demo_0/actions", {n, 7}, actions.data());
    raw.add("data/demo_0/states", {n, width}, states.data());
    raw.finish();
  }
  result = meander_in(folder, {"info", other, "--replay", "1"});
  CHECK(contains(result.out, "not as in robosuite 1.5"));
  CHECK(contains(result.out, "succeed open loop        0 of 1"));
  result = meander_in(folder, {"info", MEANDER_TEST_DATA "/hdf5/d4rl.hdf5", "--replay", "1"});
  CHECK((result.status == 2 && is_one_line(result.error)));
}

TEST_CASE("recorded states get the observations of our simulation") {
  if (!can_replay()) return;
  const Folder folder;
  const std::vector<double> states = write_states(folder.file("raw.hdf5"), "0.0201 0.0202 0.0203");
  Result result = meander_in(folder, {"info", "raw.hdf5"});
  CHECK((result.status == 2 && contains(result.error, "meander convert raw.hdf5 --out")));
  result = meander_in(folder, {"convert", "raw.hdf5", "--out", "lift.hdf5"});
  CHECK_MESSAGE(result.status == 0, result.error);
  CHECK(contains(result.out, "1 demonstrations of robomimic-lift, 1 of which succeed\n"));
  const DataSet data = read_data_set(folder.file("lift.hdf5")), recorded = read_data_set(tiny_lift);
  const auto steps = std::ssize(states) / width;
  for (int64_t t = 0; t + 3 < steps; ++t) {  // up to the success
    const float* const seen = &data.observation[t * 19];
    const double* const position = &states[t * width + 1];
    CHECK(seen[7] == static_cast<float>(position[7]));  // a finger
    for (int i = 0; i < 3; ++i) {
      CHECK(std::fabs(seen[9 + i] - position[9 + i]) < 1e-6);  // the cube
      // The package observed the hand two of 25 substeps before the state: at most 4 mm of a step's 5 cm.
      CHECK(std::fabs(seen[i] - recorded.observation[t * 19 + i]) < 4e-3);
    }
    CHECK(data.action[t * 7] == recorded.action[t * 7]);
    CHECK(data.reward[t] == -1);
  }
  CHECK(data.reward[steps - 2] == 0);
  REQUIRE(data.rows() == steps + 3);  // three steps end one after the other
  for (int i = 0; i < 3; ++i) {       // the last was taken
    const float last = data.observation[(steps + 2) * 19 + i];
    CHECK(last != data.observation[(steps + 1) * 19 + i]);
    CHECK(std::fabs(last - recorded.observation[(steps + 2) * 19 + i]) < 4e-3);
  }
  CHECK(contains(*Hdf5File(folder.file("lift.hdf5")).attribute("data/demo_0", "model_file"), "0.0202"));

  result = meander_in(folder, {"convert", "raw.hdf5", "--out", "lift.npz"});
  CHECK(read_data_set(folder.file("lift.npz")).observation == data.observation);
  std::filesystem::remove(folder.file("raw.hdf5"));
  write_states(folder.file("raw.hdf5"), "", width - 1);
  result = meander_in(folder, {"convert", "raw.hdf5", "--out", "other.hdf5"});
  CHECK((result.status == 2 && is_one_line(result.error) && contains(result.error, "raw.hdf5: ")));
  CHECK(!std::filesystem::exists(folder.file("other.hdf5")));
  CHECK(folder.files() == 5);  // raw, two converted, and what the commands said
}
