// Recorded episodes of the Python packages, replayed through the production environments, and what becomes of a file
// that is wrong.
#include <meander/app/verify_environment.h>

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <map>

#include "../folder.h"
#include <meander/kernels/error.h>
#include <meander/envs/dm_control.h>
#include <meander/envs/ogbench_cube.h>
#include <meander/envs/robomimic.h>

using namespace meander;

namespace {

// "Hopper-v4" is Gymnasium's, "dmc-hopper-hop" dm_control's, "cube-double-task5" OGBench's.
std::string golden(const std::string& task) {
  const char* const family = task.starts_with("dmc-") || task.starts_with("robomimic-") ? "/"
                             : task.starts_with("cube-")                               ? "/ogb-"
                                                                                       : "/gym-";
  return std::string(MEANDER_TEST_DATA) + family + task + ".safetensors";
}

bool dm_control_here() {
  const bool here = dm_control_available();
  if (!here) MESSAGE("skipped for dm_control: ./meander fetch dm_control brings its task files");
  return here;
}

bool robomimic_here() {
  if (!has_robosuite_assets()) MESSAGE("skipped for robomimic: ./meander fetch robomimic brings its task files");
  return has_robosuite_assets();
}

// A golden whose numbers can be changed and written under another name.
struct Copy {
  std::map<std::string, std::string> metadata;
  std::map<std::string, std::vector<int64_t>> shapes;
  std::map<std::string, std::vector<double>> tensors;

  explicit Copy(const std::string& task) {
    const SafetensorsFile file(golden(task));
    metadata = file.metadata();
    for (const auto& [name, tensor] : file.tensors()) {
      shapes[name] = tensor.shape;
      const auto values = file.values<double>(name);
      tensors[name].assign(values.begin(), values.end());
    }
  }

  std::vector<CheckLine> verify() const {
    const Folder folder;
    const std::string path = folder.file("golden.safetensors");
    SafetensorsWriter writer;
    for (const auto& [key, value] : metadata) writer.metadata(key, value);
    for (const auto& [name, values] : tensors) writer.add(name, shapes.at(name), values.data());
    writer.write(path);
    return verify_environment(SafetensorsFile(path));
  }

  // The quantities that are out, joined.
  std::string out() const {
    std::string names;
    for (const CheckLine& line : verify())
      if (!line.ok()) names += (names.empty() ? "" : " ") + line.quantity;
    return names;
  }

  std::string error() const {
    try {
      verify();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
};

// False, with a message, where OGBench's files were never fetched.
bool can_run_cubes() {
  if (!has_ogbench_assets()) MESSAGE("skipped: no files of OGBench (./meander fetch ogbench)");
  return has_ogbench_assets();
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

// The environments are the packages', step for step: state, observation, reward and ends of free runs of up to 1,000
// steps. OGBench's: the controller's output, and the steps given the recorded one.
TEST_CASE("goldens") {
  int files = 0;
  const bool cubes = can_run_cubes(), dm_control = dm_control_here(), robomimic = robomimic_here();
  for (const auto& entry : std::filesystem::directory_iterator(MEANDER_TEST_DATA)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with("gym-") && !(cubes && name.starts_with("ogb-")) &&
        !(dm_control && name.starts_with("dmc-")) && !(robomimic && name.starts_with("robomimic-")))
      continue;
    CAPTURE(name);
    ++files;
    const SafetensorsFile file(entry.path());
    CHECK(is_environment_golden(file));
    const auto lines = verify_environment(file);
    CHECK(lines.size() >= 9);
    for (const CheckLine& line : lines) {
      CAPTURE(line.quantity);
      CAPTURE(line.note);
      CAPTURE(line.error);
      CHECK(line.ok());
    }
  }
  CHECK(files == 14 + (cubes ? 3 : 0) + (dm_control ? 6 : 0) + (robomimic ? 3 : 0));
}

// dm_control's resets follow from the seed of its generator: another seed, or a state of another seed, must show.
TEST_CASE("the reset from the package's seed is compared") {
  if (!dm_control_here()) return;
  CHECK(Copy("dmc-walker-run").out() == "");
  Copy other("dmc-walker-run");
  std::string& episodes = other.metadata.at("episodes");
  const size_t at = episodes.find("\"seed\": 0");
  REQUIRE(at != std::string::npos);
  episodes.replace(at, 9, "\"seed\": 7");
  CHECK(other.out() == "seeded reset");
  episodes.replace(at, 9, "\"sead\": 7");
  CHECK(contains(other.error(), "seed"));
  Copy number("dmc-walker-run");
  number.tensors.at("ep1/obs").at(30) += 1e-9;
  CHECK(number.out() == "obs");
}

TEST_CASE("each quantity of a robomimic recording is compared") {
  if (!robomimic_here()) return;
  const auto changed = [](const std::string& tensor, size_t index, double by) {
    Copy copy("robomimic-can-seed0");
    copy.tensors.at(tensor).at(index) += by;
    return copy.out();
  };
  CHECK(Copy("robomimic-can-seed0").out() == "");
  CHECK(changed("model/dof_damping", 8, 1e-9) == "model/dof_damping");
  CHECK(changed("model/geom_type", 3, 1) == "model/geom_type");
  CHECK(changed("hull", 5, 1) == "hull");
  CHECK(changed("ep1/home", 2, 1e-15) == "seeded reset");
  CHECK(changed("ep1/reset/state", 20, 1e-15) == "seeded reset");
  CHECK(changed("ep0/reset/obs", 1, 1e-14) == "obs");
  CHECK(changed("ep0/obs", 23 * 4 + 20, 1e-14) == "obs");
  CHECK(changed("ep0/obs", 23 * 4 + 13, 1e-5) == "obs/rotation");
  CHECK(changed("ep0/grip", 3, 1e-9) == "grip");
  CHECK(changed("ep2/reward", 5, 1) == "reward");
  CHECK(changed("ep2/terminated", 5, 1) == "terminated");
  CHECK(changed("ep2/truncated", 5, 1) == "truncated");
  CHECK(changed("ep0/qpos", 37, 1e-15) == "qpos");
  CHECK(changed("ep0/qvel", 33, 1e-15) == "qvel");
  // The run goes on with the recorded torques: a wrong one shows there and, by what it moves, everywhere after.
  CHECK(changed("ep0/ctrl", 7 * 25 * 19 + 7 * 24, 2e-9).starts_with("ctrl"));
}

// A check that cannot fail is none: each quantity, changed by the least that must show, is reported, and it alone.
TEST_CASE("each quantity of a golden is compared") {
  const auto changed = [](const std::string& tensor, size_t index, const std::function<double(double)>& change) {
    Copy copy("Hopper-v4");
    double& number = copy.tensors.at(tensor).at(index);
    number = change(number);
    return copy.out();
  };
  const auto next = [](double x) { return std::nextafter(x, 1e9); };
  const auto flip = [](double x) { return 1 - x; };
  CHECK(Copy("Hopper-v4").out() == "");
  CHECK(changed("ep0/qpos", 8, next) == "qpos");
  CHECK(changed("ep1/qvel", 8, next) == "qvel");
  CHECK(changed("ep3/obs", 25, next) == "obs");
  CHECK(changed("ep2/reward", 20, [](double x) { return x + 1e-10; }) == "reward");
  CHECK(changed("ep2/reward", 20, [](double x) { return x + 1e-14; }) == "");  // within 1e-12
  CHECK(changed("ep2/reward", 20, [](double) { return std::nan(""); }) == "reward");
  CHECK(changed("ep3/terminated", 999, flip) == "terminated");
  CHECK(changed("ep3/truncated", 998, flip) == "truncated");
  CHECK(changed("ep0/reset/obs", 0, next) == "reset/obs");
  CHECK(changed("ep0/reset/state", 3, next) == "reset/state");
  CHECK(contains(changed("ep0/reset/pre", 3, [](double x) { return x + 1e-3; }), "reset/state"));
  CHECK(contains(changed("ep0/actions", 3, [](double x) { return x / 2; }), "qvel"));
  CHECK(changed("model/body_mass", 1, next) == "model/body_mass");
  CHECK(changed("model/info", 0, [](double x) { return x + 1; }) == "model/nq");

  Copy limit("Hopper-v4");
  limit.metadata["limit"] = "999";
  CHECK(limit.out() == "limit");
}

// What only OGBench's files hold.
TEST_CASE("each quantity of a cube's golden is compared") {
  if (!can_run_cubes()) return;
  const Copy original("cube-single-task4");
  const auto changed = [&](const std::string& tensor, size_t index, double by) {
    Copy copy = original;
    copy.tensors.at(tensor).at(index) += by;
    return copy.out();
  };
  CHECK(original.out() == "");
  CHECK(contains(changed("ep0/ctrl", 8, 1e-8), "ctrl"));
  CHECK(contains(changed("ep0/ctrl", 8, 1e-3), "qpos"));  // the run goes on with it
  CHECK(contains(changed("ep0/actions", 3, 1e-3), "ctrl"));
  CHECK(changed("ep1/obs", 30, 1e-14) == "obs");
  CHECK(changed("ep0/reward", 3, 1) == "reward");
  const size_t state = original.tensors.at("ep0/reset/state").size();
  CHECK(contains(changed("ep0/reset/state", state - 7, 1e-3), "goal"));
  CHECK(contains(changed("ep0/reset/state", 1 + OgbenchCube::first_cube, 0.05), "start"));
  Copy without = original;
  without.tensors.erase("ep1/ctrl");
  CHECK(contains(without.error(), "ep1/ctrl"));
}

// A malformed file is bad input: one line that names the file and what is wrong, never a crash or a silent pass.
TEST_CASE("damaged goldens") {
  const auto with = [](const std::function<void(Copy&)>& damage) {
    Copy copy("Reacher-v4");
    damage(copy);
    const std::string text = copy.error();
    CHECK(contains(text, "golden.safetensors"));
    CHECK_FALSE(contains(text, "\n"));
    return text;
  };
  const auto metadata = [&](const std::string& key, const std::string& value) {
    return with([&](Copy& c) { c.metadata[key] = value; });
  };
  CHECK(contains(with([](Copy& c) { c.tensors.erase("ep0/qvel"); }), "ep0/qvel"));
  CHECK(contains(with([](Copy& c) { c.tensors.erase("ep1/reset/pre"); }), "ep1/reset/pre"));
  CHECK(contains(with([](Copy& c) { c.tensors.erase("ep1/rows"); }), "ep1/rows"));
  CHECK(contains(with([](Copy& c) { c.tensors.erase("model/info"); }), "model/info"));
  CHECK(contains(with([](Copy& c) { c.shapes["ep0/actions"] = {25, 4}; }), "[50,2]"));
  CHECK(contains(with([](Copy& c) { c.tensors["ep0/rows"][2] = 1; }), "ep0/rows"));
  CHECK(contains(with([](Copy& c) { c.tensors["ep0/rows"].back() = 50; }), "ep0/rows"));
  CHECK(contains(with([](Copy& c) { c.tensors["ep0/rows"][0] = std::nan(""); }), "ep0/rows"));
  CHECK(contains(with([](Copy& c) { c.shapes["model/body_mass"] = {1}; }), "model/body_mass"));
  CHECK(contains(with([](Copy& c) {
                   c.tensors["model/colour"] = {1};
                   c.shapes["model/colour"] = {1};
                 }),
                 "colour"));
  CHECK(contains(metadata("episodes", "[{\"steps\": 50}]"), "hold"));
  CHECK(contains(metadata("episodes", "[{\"steps\": 50, \"hold\": 0}]"), "hold"));
  CHECK(contains(metadata("episodes", "[{\"steps\": 51, \"hold\": 1}]"), "ep0/"));
  CHECK(contains(metadata("episodes", "[{\"steps\": 9223372036854775807, \"hold\": 1}]"), "ep0/"));
  CHECK(contains(metadata("episodes", "[]"), "no episode"));
  CHECK(contains(metadata("episodes", "[{"), "episodes"));
  CHECK(contains(metadata("episodes", "5"), "episodes"));
  CHECK(contains(metadata("limit", "soon"), "limit"));
  CHECK(contains(metadata("model_info", "nq nv"), "model/info"));
  CHECK(contains(metadata("task", "Reecher-v4"), "Reacher-v4"));
  CHECK(contains(metadata("task", "Hopper-v4"), "expected"));  // another task's numbers
  CHECK(contains(metadata("family", "dmc"), "no environment 'dmc-Reacher-v4'"));
  CHECK(contains(metadata("family", "ogb"), "cube-double-task2"));
  CHECK(contains(metadata("family", "atari"), "atari"));
  Copy bare("Reacher-v4");
  bare.metadata.erase("task");
  CHECK(contains(bare.error(), "task"));
}
