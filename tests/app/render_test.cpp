// `meander render` as a user meets it.

#include <doctest/doctest.h>

#include <cstdlib>

#include "../can_draw.h"
#include "command.h"
#include <meander/kernels/error.h>

using namespace meander;
namespace fs = std::filesystem;

namespace {

Words render(Words more) {
  const Words words = {"render", "--width", "32", "--height", "24"};
  more.insert(more.begin(), words.begin(), words.end());
  return more;
}

}  // namespace

TEST_CASE("render shows the episode that eval counts") {
  if (!can_draw()) return;
  Folder folder;
  Words train = {"train", "--algo", "mfpo", "--env", "InvertedPendulum-v4", "--steps", "160", "--quiet", "--out",
                 "run"};
  for (const std::string& word : small_settings()) train.push_back(word);
  CHECK(meander_in(folder, train).status == 0);
  const Result eval = meander_in(folder, {"eval", "run", "--episodes", "1", "--seed", "3"});
  const Result shown = meander_in(folder, render({"run", "--seed", "3", "--out", "pictures"}));
  CHECK(shown.status == 0);
  CHECK(shown.error == "");
  const size_t mean = eval.out.find("mean ") + 5, is = shown.out.find("return ") + 7;
  CHECK(eval.out.substr(mean, eval.out.find(' ', mean) - mean) == shown.out.substr(is, shown.out.find(' ', is) - is));
  CHECK(contains(shown.out, "run/last.safetensors after step 160"));
  CHECK(fs::exists(folder.file("pictures/00001.png")));

  // One of them, which is the same picture.
  CHECK(meander_in(folder, render({"run", "--seed", "3", "--frame", "1", "--out", "one.png"})).status == 0);
  CHECK(read_text(folder.file("one.png")) == read_text(folder.file("pictures/00001.png")));
  const Result late = meander_in(folder, render({"run", "--frame", "2000"}));
  CHECK(late.status == 2);
  CHECK(contains(late.error, "the episode is over after"));
}

TEST_CASE("random actions, a cut, and a machine without ffmpeg") {
  if (!can_draw()) return;
  Folder folder;
  const std::string before = std::getenv("PATH");
  setenv("PATH", folder.path().c_str(), 1);
  const Result result = meander_in(folder, render({"--env", "HalfCheetah-v4", "--steps", "2", "--episode", "7"}));
  setenv("PATH", before.c_str(), 1);
  CHECK(result.status == 0);
  CHECK(result.error ==
        "ffmpeg is missing (apt-get install ffmpeg): PNG files in the folder HalfCheetah-v4-s0-e7 instead\n");
  CHECK(contains(result.out, "episode 7 of HalfCheetah-v4, seed 0, random actions\n"));
  CHECK(contains(result.out, "of the first 2 steps\nwrote HalfCheetah-v4-s0-e7: 3 frames, 20 a second\n"));
  CHECK(fs::exists(folder.file("HalfCheetah-v4-s0-e7/00002.png")));
}

TEST_CASE("Ctrl-C leaves nothing of a film") {
  if (!can_draw()) return;
  Folder folder;
  Process process(folder, {"render", "--env", "HalfCheetah-v4", "--out", "film"});
  const auto begun = [&] {
    for (const auto& entry : fs::directory_iterator(folder.path()))
      if (fs::exists(entry.path() / "00001.png")) return true;
    return false;
  };
  while (!begun() && !process.ended()) {}
  process.signal(SIGINT);
  CHECK(process.wait().status == 130);
  for (const auto& entry : fs::directory_iterator(folder.path()))
    CHECK_MESSAGE(!entry.is_directory(), entry.path());
}

TEST_CASE("render refuses in one line what it cannot show") {
  Folder folder;
  const struct {
    Words words;
    std::string part;
  } cases[] = {
      {{"render"}, "--env NAME"},
      {{"render", "none"}, "none: no such run"},
      {{"render", "--env", "Hoper-v4"}, "Hopper-v4"},
      {{"render", "--env", "Pendulum-v1"}, "Pendulum-v1 is not simulated by MuJoCo"},
      {{"render", "--env", "Hopper-v4", "--camera", "side"}, "0 (track), free"},
      {{"render", "--env", "Hopper-v4", "--width", "0"}, "--width"},
      {{"render", "--env", "Hopper-v4", "--out", "a.png"}, "--frame N"},
      {{"render", "--env", "Hopper-v4", "--out", "a.mp4", "--frame", "1"}, "FILE.png"},
  };
  for (const auto& [words, part] : cases) {
    const Result result = meander_in(folder, words);
    CAPTURE(result.error);
    CHECK(result.status == 2);
    CHECK(contains(result.error, part));
    CHECK(is_one_line(result.error));
  }
}
