// Protects the way of a policy out of the house: trained with scaled observations, exported, and run by the C interface
// (and a program in C) it earns the returns that `eval` prints; and what cannot be exported is refused in one line.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>

#include "command.h"
#include <meander/core/random.h>
#include <meander/deploy/meander_policy.h>
#include <meander/envs/environments.h>

using namespace meander;

namespace {

struct Freed {
  void operator()(void* memory) const { std::free(memory); }
};
using Aligned = std::unique_ptr<void, Freed>;

Aligned aligned(size_t bytes) { return Aligned(std::aligned_alloc(64, (bytes + 63) / 64 * 64)); }

struct Blob {
  explicit Blob(const std::string& path) : text(read_text(path)), bytes(aligned(text.size())) {
    std::memcpy(bytes.get(), text.data(), text.size());
    REQUIRE(meander_policy_open(&policy, bytes.get(), text.size(), 1) == MEANDER_OK);
    room_size = meander_workspace_size(&policy, 0);
    room = aligned(room_size);
  }
  std::string text;
  Aligned bytes, room;
  size_t room_size;
  meander_policy policy;
};

std::string last_line_with(const std::string& text, const std::string& word) {
  std::istringstream lines(text);
  std::string found;
  for (std::string line; std::getline(lines, line);)
    if (contains(line, word)) found = line;
  return found;
}

}  // namespace

TEST_CASE("an exported policy earns what eval prints, and a program in C decides the same") {
  const Folder folder;
  REQUIRE(meander_in(folder, {"train", "--algo", "mfpo", "--env", "HalfCheetah-v4", "--steps", "320", "--quiet", "--set",
                              "start_steps=100", "--set", "observation_scaling=standard", "--set",
                              "evaluation_interval=100000", "--set", "batch_size=64", "--out", "run"})
              .status == 0);
  const Result exported = meander_in(folder, {"export", "run", "--out", "x.mpol"});
  CAPTURE(exported.error);
  REQUIRE(exported.status == 0);
  CHECK(contains(exported.out, "the best of 10 candidates"));
  CHECK(contains(exported.out, "scaled inside"));
  CHECK(contains(exported.out, "all 32 examples as recorded"));
  const Result evaluated = meander_in(folder, {"eval", "run", "--episodes", "1", "--seed", "7"});
  REQUIRE(evaluated.status == 0);

  const Blob blob(folder.file("x.mpol"));
  const auto environment = make_environment("HalfCheetah-v4");   // not scaled: the blob does that
  Stream start(7, Purpose::evaluation_reset, 0);
  environment->reset(start);
  std::vector<float> observation(17), action(6), scaled(6), all_actions;
  std::ofstream recorded(folder.file("observations.txt"));
  recorded.precision(9);
  double sum = 0;
  for (uint64_t time = 0;; ++time) {
    const auto seen = environment->observation();
    std::copy(seen.begin(), seen.end(), observation.begin());
    REQUIRE(meander_act(&blob.policy, blob.room.get(), blob.room_size, observation.data(), {0, time, MEANDER_EVALUATE}, 0,
                        action.data(), nullptr) == MEANDER_OK);
    for (const float x : observation) recorded << x << ' ';
    recorded << '\n';
    all_actions.insert(all_actions.end(), action.begin(), action.end());
    REQUIRE(meander_scale_action(&blob.policy, action.data(), scaled.data()) == MEANDER_OK);
    const std::vector<double> command(scaled.begin(), scaled.end());
    const Step step = environment->step(command);
    sum += step.reward;
    if (step.terminated || step.truncated) break;
  }
  recorded.close();
  char mean[64];
  std::snprintf(mean, sizeof mean, "mean %.3f ", sum);
  CAPTURE(evaluated.out);
  CHECK(contains(last_line_with(evaluated.out, "mean"), mean));

  const std::string act = std::string(MEANDER_EXAMPLE_ACT) + " " + folder.file("x.mpol") + " < " +
                          folder.file("observations.txt") + " > " + folder.file("actions.txt") + " 2> " +
                          folder.file("said.txt");
  REQUIRE(std::system(act.c_str()) == 0);
  CHECK(contains(read_text(folder.file("said.txt")), "self-test passed"));
  std::istringstream actions(read_text(folder.file("actions.txt")));
  std::vector<float> by_c;
  for (float x; actions >> x;) by_c.push_back(x);
  CHECK(by_c == all_actions);
}

TEST_CASE("half the weights, one candidate, an array of C: what export writes besides") {
  const Folder folder;
  REQUIRE(meander_in(folder, small_run({"--steps", "240", "--quiet", "--out", "run"})).status == 0);
  const auto size_of = [&](const Words& more) {
    Words words = {"export", "run", "--out", "x.mpol"};
    words.insert(words.end(), more.begin(), more.end());
    const Result result = meander_in(folder, words);
    CAPTURE(result.error);
    REQUIRE(result.status == 0);
    return Blob(folder.file("x.mpol")).text.size();
  };
  const size_t whole = size_of({});
  CHECK(size_of({"--candidates", "1"}) < whole);
  CHECK(size_of({"--weights", "float16"}) < whole);
  const Blob blob(folder.file("x.mpol"));
  CHECK(meander_policy_test(&blob.policy, blob.room.get(), blob.room_size, nullptr) == MEANDER_OK);
  const char* text;
  size_t length;
  REQUIRE(meander_policy_text(&blob.policy, &text, &length) == MEANDER_OK);
  CHECK(contains(std::string(text, length), "task Pendulum-v1\n"));
  CHECK(contains(std::string(text, length), "actor_width 8\n"));
  // The array holds the same bytes.
  size_of({"--c-array", "pendulum-1.h"});
  const std::string again = read_text(folder.file("x.mpol")), array = read_text(folder.file("pendulum-1.h"));
  CHECK(contains(array, message("static const uint32_t pendulum_1_blob[", again.size() / 4, "] ")));
  std::string words;
  std::istringstream numbers(array.substr(array.find('{') + 1));
  for (std::string word; std::getline(numbers, word, ',') && word.find("0x") != std::string::npos;) {
    const auto value = static_cast<uint32_t>(std::stoul(word.substr(word.find("0x")), nullptr, 16));
    words.append(reinterpret_cast<const char*>(&value), 4);
  }
  CHECK(words == again);
}

TEST_CASE("what cannot be exported is refused in one line, and nothing is left") {
  const Folder folder;
  REQUIRE(meander_in(folder, small_run({"--steps", "240", "--quiet", "--out", "run"})).status == 0);
  const auto refused = [&](const Words& words, const std::string& why) {
    const Result result = meander_in(folder, words);
    CAPTURE(result.error);
    CHECK(result.status != 0);
    CHECK(is_one_line(result.error));
    CHECK(contains(result.error, why));
    CHECK(!std::filesystem::exists(folder.file("x.mpol")));
  };
  refused({"export", "run"}, "--out");
  refused({"export", "nowhere", "--out", "x.mpol"}, "no such run folder");
  refused({"export", "run", "--out", "missing/x.mpol"}, "missing");
  refused({"export", "run", "--out", "x.mpol", "--c-array", "missing/x.h"}, "missing");
  refused({"export", "run", "--out", "x.mpol", "--weights", "float8"}, "float32 or float16");
  refused({"export", "run", "--out", "x.mpol", "--candidates", "5000"}, "4096");
  // A checkpoint from before these were stored says what is missing.
  const std::string path = folder.file("run/last.safetensors");
  {
    const SafetensorsFile file(path);
    SafetensorsWriter writer;
    for (const auto& [key, value] : file.metadata())
      if (key != "acting") writer.metadata(key, value);
    for (const auto& [name, tensor] : file.tensors()) writer.add(name, tensor.dtype, tensor.shape, tensor.data);
    writer.write(folder.file("old.safetensors"));
  }
  refused({"export", "old.safetensors", "--out", "x.mpol"}, "the action range, the observation scaling");
  for (const auto& [what, why] : {std::pair{R"({"action_low":[-2]})", "action_high"}, {"[", "JSON"},
                                  {R"({"action_low":[-2,1],"action_high":[2]})", "expected 1 number"}}) {
    const SafetensorsFile file(path);
    SafetensorsWriter writer;
    for (const auto& [key, value] : file.metadata()) writer.metadata(key, key == "acting" ? what : value);
    for (const auto& [name, tensor] : file.tensors()) writer.add(name, tensor.dtype, tensor.shape, tensor.data);
    writer.write(folder.file("bad.safetensors"));
    refused({"export", "bad.safetensors", "--out", "x.mpol"}, why);
  }
}
