// Protects training on files of robomimic, Minari and D4RL: their rows are those that h5py gives, and what would be
// misread (another version, task, order or kind of actions, sizes that disagree) is refused with one line.
#include <doctest/doctest.h>

#include <filesystem>
#include <functional>

#include "../folder.h"
#include "command.h"
#include "hdf5_files.h"
#include <meander/app/data_files.h>
#include <meander/app/demonstrations.h>
#include <meander/app/hdf5_file.h>
#include <meander/core/json.h>

using namespace meander;

namespace {

const std::string data_folder = MEANDER_TEST_DATA "/hdf5/";

void check_equal(const DataSet& a, const DataSet& b) {
  CHECK(a.observations == b.observations);
  CHECK(a.observation == b.observation);
  CHECK(a.action == b.action);
  CHECK(a.reward == b.reward);
  CHECK(a.mask == b.mask);
  CHECK(a.terminal == b.terminal);
}

// A robomimic file of two demonstrations of can, of 3 and 2 steps: numbers that say where they come from, as far as
// they need not be what a reader looks at.
struct Can {
  std::string environment = R"({"env_name": "PickPlaceCan", "env_version": "1.5.1", "type": 1, "env_kwargs":
    {"controller_configs": {"type": "BASIC", "body_parts":
      {"right": {"type": "OSC_POSE", "input_ref_frame": "world"}}}}})";
  bool old_order = false, with_obs = true, with_next = true;
  double z = 0.86, quaternion = 1, action = 0.5, reward = 1, done = 1;
  int64_t samples = 3, total = 5, rows_of_object = 3;
  bool text_rewards = false;

  static double number(int demo, int64_t step, int64_t column) {
    return demo + static_cast<double>(step) / 8 + static_cast<double>(column) / 128;
  }
  // The columns of the object at a step, as robosuite 1.5 has them: seen from the hand, then its own.
  std::vector<double> object(int demo, int64_t step) const {
    std::vector<double> row = {number(demo, step, 9), 0, 0.1, 0, 0, 0, quaternion, 0.1, -0.25, z, 0, 0, 0, 1};
    if (old_order) std::rotate(row.begin(), row.begin() + 7, row.end());
    return row;
  }
  void write(const std::string& path) const {
    std::filesystem::remove(path);
    Hdf5Writer file(path);
    if (!environment.empty()) file.attribute("data", "env_args", environment);
    file.attribute("data", "total", total);
    for (int demo = 0; demo < 2; ++demo) {
      const int64_t n = 3 - demo;
      const std::string group = message("data/demo_", demo == 0 ? 10 : 9);  // by number 9 is first
      const auto numbers = [&](int64_t width, double x) {
        return std::vector<double>(static_cast<size_t>(n * width), x);
      };
      const std::vector<double> actions = numbers(7, action), states = numbers(71, 0);
      std::vector<double> rewards = numbers(1, 0), dones = rewards;
      rewards.back() = reward, dones.back() = done;
      file.add(group + "/actions", {n, 7}, actions.data());
      if (text_rewards) file.add(group + "/rewards", Hdf5File::Names(static_cast<size_t>(n), "1"));
      else file.add(group + "/rewards", {n}, rewards.data());
      file.add(group + "/dones", {n}, dones.data());
      file.add(group + "/states", {n, 71}, states.data());
      for (const int64_t next : {0, 1}) {
        if (!with_obs || (next && !with_next)) continue;
        const std::string keys = group + (next ? "/next_obs/" : "/obs/");
        std::vector<double> position, rotation, fingers, all;
        for (int64_t step = next; step < n + next; ++step) {
          position.insert(position.end(), {number(demo, step, 0), 0, 1});
          rotation.insert(rotation.end(), {0, 0, 0, 1});
          fingers.insert(fingers.end(), {0.02, -0.02});
          const auto row = object(demo, step);
          all.insert(all.end(), row.begin(), row.end());
        }
        file.add(keys + "robot0_eef_pos", {n, 3}, position.data());
        file.add(keys + "robot0_eef_quat", {n, 4}, rotation.data());
        file.add(keys + "robot0_gripper_qpos", {n, 2}, fingers.data());
        file.add(keys + "object", {demo == 0 ? rows_of_object : n, 14}, all.data());
      }
      file.attribute(group, "num_samples", demo == 0 ? samples : n);
    }
    file.add("mask/train", {"demo_9"});
    file.add("mask/wrong", {"demo_11"});
    file.add("mask/empty", std::vector<std::string>{});
    file.finish();
  }
};

struct Written {
  Folder folder;
  std::string path = folder.file("can.hdf5");
  DataFile read(const Can& can, const DataOptions& options = {}) {
    can.write(path);
    return read_data_file(path, nullptr, options);
  }
  void refused(const std::function<void(Can&)>& change, const std::string& part, const DataOptions& options = {}) {
    Can can;
    change(can);
    std::string error = "no Error";
    try {
      read(can, options);
    } catch (const Error& refusal) {
      error = refusal.what();
    }
    CHECK_MESSAGE(error.find(part) != std::string::npos, error, " should say ", part);
    CHECK(error.starts_with(path));
    CHECK(error.find('\n') == std::string::npos);
  }
};

}  // namespace

TEST_CASE("files of the packages are what h5py reads") {
  if (!can_read_hdf5()) return;
  const auto check = [](const std::string& file, const std::string& rows, const DataOptions& options = {}) {
    check_equal(read_data_file(data_folder + file, nullptr, options).data, read_data_set(data_folder + rows));
  };
  check("tiny_lift.hdf5", "tiny_lift.npz");
  check("d4rl.hdf5", "d4rl.npz");
  check("minari", "minari.npz");  // the folder
  check("minari/main_data.hdf5", "minari.npz");
  DataOptions keys;
  keys.observation_keys = "goal,position";
  check("minari_dict.hdf5", "minari_dict.npz", keys);
  CHECK(read_data_file(data_folder + "tiny_lift.hdf5").environment == "robomimic-lift");
  CHECK(read_data_file(data_folder + "minari").environment == "Pendulum-v1");
  CHECK(read_data_set(data_folder + "tiny_lift.hdf5").rows() == 128);
  CHECK_THROWS_WITH_AS(read_data_file(data_folder + "minari_dict.hdf5"),
                       doctest::Contains("--observation-keys, e.g. goal,position"), Error);
  keys.observation_keys = "goal,speed";
  CHECK_THROWS_WITH_AS(read_data_file(data_folder + "minari_dict.hdf5", nullptr, keys),
                       doctest::Contains("no array \"speed\"; --observation-keys takes some of goal,position"), Error);
}

TEST_CASE("robomimic's rows: demonstrations by number, an end after each done, its last row from next_obs") {
  if (!can_read_hdf5()) return;
  Written written;
  const DataFile file = written.read(Can());
  CHECK(file.environment == "robomimic-can");
  CHECK(file.remarks.empty());
  CHECK(file.data.observations == 23);
  CHECK(file.data.terminal == std::vector<uint8_t>{0, 0, 1, 0, 0, 0, 1});
  CHECK(file.data.reward == std::vector<float>{-1, 0, 0, -1, -1, 0, 0});
  CHECK(file.data.mask == std::vector<float>{1, 0, 1, 1, 1, 0, 1});
  const std::vector<double> first = {1, 1.125, 1.25, 0, 0.125, 0.25, 0.375};
  for (size_t row = 0; row < first.size(); ++row)
    CHECK(file.data.observation[row * 23] == static_cast<float>(first[row]));
  CHECK(file.data.observation[23 + 9] == static_cast<float>(Can::number(1, 1, 9)));  // seen from the hand
  CHECK(file.data.observation[23 + 18] == 0.86f);

  DataOptions options;
  options.filter = "train";
  CHECK(written.read(Can(), options).data.rows() == 3);
  options = {};
  options.episodes = 1;
  CHECK(written.read(Can(), options).data.rows() == 3);
  options.observation_keys = "robot0_gripper_qpos,robot0_eef_pos";
  const DataSet keys = written.read(Can(), options).data;
  CHECK(keys.observations == 5);
  CHECK(keys.observation[2] == 1.0f);

  Can alone;
  alone.with_next = false;
  const DataSet repeated = written.read(alone).data;
  CHECK(repeated.terminal == file.data.terminal);
  CHECK(repeated.observation[2 * 23] == 1.125f);  // the state before a true end
  alone.done = 0;
  const DataFile cut = written.read(alone);
  CHECK(cut.data.terminal == std::vector<uint8_t>{0, 1, 0, 0, 1});
  CHECK(cut.remarks.back().starts_with("2 steps are dropped"));
  alone = Can();
  alone.reward = 0.5;
  CHECK(written.read(alone).remarks.back() == "2 rewards are neither 0 nor 1, as those of the tasks are");
}

TEST_CASE("the order of the object's columns is found out") {
  if (!can_read_hdf5()) return;
  Written written;
  const DataSet as_15 = written.read(Can()).data;
  Can old;
  old.old_order = true;
  const size_t at = old.environment.find("1.5.1");
  old.environment.replace(at, 5, "1.4.0");
  const DataFile file = written.read(old);
  check_equal(file.data, as_15);
  CHECK(file.remarks.size() == 2);
  written.refused([](Can& can) { can.z = 0.2; }, "in no order of columns that is known: 0 of 2");
  written.refused([](Can& can) { can.quaternion = 0.5; }, "in no order of columns that is known");
}

TEST_CASE("robomimic files that would be misread are refused") {
  if (!can_read_hdf5()) return;
  Written written;
  const auto with = [&](const std::string& from, const std::string& to, const std::string& part) {
    written.refused([&](Can& can) { can.environment.replace(can.environment.find(from), from.size(), to); }, part);
  };
  with("1.5.1", "1.6.0", "recorded with robosuite \"1.6.0\"");
  with("1.5.1", "2.5.1", "recorded with robosuite \"2.5.1\"");
  with("1.5.1", "new", "recorded with robosuite \"new\"");
  with("OSC_POSE", "JOINT_VELOCITY", "a controller \"JOINT_VELOCITY\"");
  with("\"input_ref_frame\"", "\"control_delta\": false, \"x\"", "absolute poses");
  with("\"input_ref_frame\": \"world\"", "\"input_type\": \"absolute\"", "absolute poses");
  with("\"world\"", "\"hand\"", "in the frame \"hand\"");
  with("\"PickPlaceCan\"", "7", "attribute env_args: ");
  with("{\"env_name\"", "[\"env_name\"", "attribute env_args: ");
  with("PickPlaceCan", "Lift", "obs/object has 14 columns, that of robomimic-lift has 10");
  written.refused([](Can& can) { can.samples = 4; }, "data/demo_10 says num_samples \"4\", but there are 3");
  written.refused([](Can& can) { can.total = 1; }, "data says total \"1\", but there are 5");
  written.refused([](Can& can) { can.rows_of_object = 2; },
                  "\"data/demo_10/obs/object\" has shape [2, 14], expected [3, 14]");
  written.refused([](Can& can) { can.done = 0.5; }, "/dones holds 0.5 in row 1, expected 0 or 1");
  written.refused([](Can& can) { can.with_obs = false; }, "meander convert");
  written.refused([](Can& can) { can.text_rewards = true; }, "data/demo_9/rewards: holds texts, not numbers");
  DataOptions options;
  options.filter = "test";
  written.refused([](Can&) {}, "no filter \"test\"; it has empty, train, wrong", options);
  options.filter = "empty";
  written.refused([](Can&) {}, "mask/empty lists no demonstration", options);
  options.filter = "wrong";
  written.refused([](Can&) {}, "mask/wrong lists \"demo_11\"", options);
  options = {};
  options.observation_keys = "x";
  written.refused([](Can&) {}, "no array \"x\"", options);
  written.refused([](Can& can) { can.action = 1.5; }, "(35 of 49 numbers are not: --clip-actions clips them)");
  DataOptions clip;
  clip.clip_actions = true;
  Can far;
  far.action = 1.5;
  const DataFile clipped = written.read(far, clip);
  CHECK(clipped.data.action[0] == 1);
  CHECK(clipped.remarks.back() == "35 of 49 numbers of actions were clipped to [-1, 1]");
  CHECK_THROWS_WITH_AS(read_data_of_task(written.path, "robomimic-lift", clip),
                       doctest::Contains("it holds data of \"robomimic-can\", not of robomimic-lift"), Error);
  REQUIRE(setenv("MEANDER_FILE_MEMORY", "100", 1) == 0);
  written.refused([](Can&) {}, "bytes of memory, 100 may be taken");
  unsetenv("MEANDER_FILE_MEMORY");
}

TEST_CASE("Minari's episodes without an observation more, and one of another size") {
  if (!can_read_hdf5()) return;
  const Folder folder;
  const auto write = [&](int64_t observations, bool ended) {
    const std::string path = folder.file("data.hdf5");
    std::filesystem::remove(path);
    Hdf5Writer file(path);
    const std::vector<float> seen = {1, 2, 3, 4, 5}, actions = {.1f, .2f, .3f}, rewards = {1, 2, 3};
    const std::vector<uint8_t> none = {0, 0, 0}, last = {0, 0, 1};
    file.add("episode_0/observations", {observations, 1}, seen.data());
    file.add("episode_0/actions", {3, 1}, actions.data());
    file.add("episode_0/rewards", {3}, rewards.data());
    file.add("episode_0/terminations", {3}, ended ? last.data() : none.data());
    file.add("episode_0/truncations", {3}, ended ? none.data() : last.data());
    file.finish();
    return path;
  };
  DataFile file = read_data_file(write(4, true));
  CHECK(file.data.observation == std::vector<float>{1, 2, 3, 4});
  CHECK(file.data.mask == std::vector<float>{1, 1, 0, 1});
  CHECK(file.remarks.empty());
  file = read_data_file(write(3, true));
  CHECK(file.data.observation == std::vector<float>{1, 2, 3, 3});
  CHECK(file.data.terminal == std::vector<uint8_t>{0, 0, 0, 1});
  CHECK(file.remarks.size() == 1);
  file = read_data_file(write(3, false));
  CHECK(file.data.observation == std::vector<float>{1, 2, 3});
  CHECK(file.data.terminal == std::vector<uint8_t>{0, 0, 1});
  CHECK(file.remarks[0].starts_with("1 step is dropped"));
  CHECK_THROWS_WITH_AS(read_data_file(write(5, true)), doctest::Contains("has 3 actions and 5 observations"), Error);
}

TEST_CASE("an HDF5 file of ours is read back: rows of any task, demonstrations of robomimic's") {
  if (!can_read_hdf5()) return;
  const Folder folder;
  const DataSet rows = read_data_set(data_folder + "d4rl.npz");
  write_data_set(folder.file("any.hdf5"), rows, "Somewhere-v7");
  const DataFile any = read_data_file(folder.file("any.hdf5"));
  check_equal(any.data, rows);
  CHECK(any.environment == "Somewhere-v7");
  write_data_set(folder.file("any.hdf5"), rows);  // in its place
  CHECK(read_data_file(folder.file("any.hdf5")).environment == "");

  const DataSet lift = read_data_set(data_folder + "tiny_lift.npz");
  write_data_set(folder.file("lift.h5"), lift, "robomimic-lift");
  const DataFile demos = read_data_file(folder.file("lift.h5"));
  check_equal(demos.data, lift);
  CHECK(demos.environment == "robomimic-lift");
  CHECK(demos.remarks.empty());
  CHECK(folder.files() == 2);
  CHECK_THROWS_AS(write_demonstrations(folder.file("x.hdf5"), "Pendulum-v1", rows), Error);
  CHECK_THROWS_AS(write_data_set(folder.file("none/x.hdf5"), rows), Failure);
}

TEST_CASE("info, plot, convert and train take HDF5 files") {
  if (!can_read_hdf5()) return;
  const Folder folder;
  const std::string lift = data_folder + "tiny_lift.hdf5", pendulum = data_folder + "minari";
  Result result = meander_in(folder, {"info", lift, "--filter", "valid"});
  CHECK(result.status == 0);
  for (const char* part :
       {"\"robomimic-lift\"", "robosuite 1.5.1", "train: 2", "min 1  median 1  max 35", "at -1 or 1",
        "1 of 1 demonstrations", "that end with success                 3\n"})
    CHECK_MESSAGE(contains(result.out, part), result.out);
  result = meander_in(folder, {"info", lift, "--filter", "none"});
  CHECK(result.status == 2);
  CHECK(is_one_line(result.error));
  result = meander_in(folder, {"plot", lift, "--out", "lift.svg"});
  CHECK((result.status == 0 || contains(result.error, "gnuplot is missing")));
  if (result.status == 0) CHECK(contains(read_text(folder.file("lift.svg")), "action 6"));
  CHECK(meander_in(folder, {"plot", lift, pendulum}).status == 2);
  REQUIRE(meander_in(folder, {"convert", pendulum, "--out", "pendulum.npz"}).status == 0);
  check_equal(read_data_set(folder.file("pendulum.npz")), read_data_set(data_folder + "minari.npz"));
  CHECK(meander_in(folder, {"convert", pendulum, "--out", "pendulum.npz"}).status == 2);  // it is there

  const Words train = {"train", "--algo", "mvp", "--env", "Pendulum-v1", "--data", pendulum, "--steps", "30", "--set",
                       "horizon=1", "--set", "batch_size=4", "--set", "actor_width=8", "--set", "critic_width=8"};
  const auto run = [&](const std::string& out, Words more) {
    Words words = train;
    words.insert(words.end(), more.begin(), more.end());
    words.insert(words.end(), {"--out", out});
    return meander_in(folder, words);
  };
  result = run("plain", {"--episodes", "1"});
  CHECK_MESSAGE(result.status == 0, result.error);
  CHECK(contains(result.out, "begins with its 7 transitions; offline_steps is 0: no update comes before"));
  CHECK(contains(read_text(folder.file("plain/config.toml")), "data_episodes = 1 "));
  result = run("offline", {"--set", "offline_steps=20"});
  CHECK(contains(result.out, "begins with its 14 transitions; 20 updates come before"));
  result = run("other", {"--env", "InvertedPendulum-v5"});
  CHECK(result.status == 2);
}
