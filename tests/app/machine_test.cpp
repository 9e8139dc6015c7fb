// Protects the program on machines that give it less: little address space, a control group's memory limit, few
// threads, a processor without AVX2.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include <meander/algos/settings.h>

#include "command.h"

// Sanitizers map terabytes: no limit leaves room for that, and qemu's tables of them would fill the memory.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

using namespace meander;

namespace {

void limit(decltype(RLIMIT_AS) what, rlim_t value) {
  rlimit limits{};
  getrlimit(what, &limits);
  limits.rlim_cur = std::min(value, limits.rlim_max);
  setrlimit(what, &limits);
}

Words small_run_of(const std::string& algorithm, const char* threads, const char* steps = "120") {
  Words words = {"train", "--algo", algorithm, "--env", "Pendulum-v1", "--threads", threads, "--steps", steps,
                 "--quiet", "--out", algorithm};
  Words settings = {"start_steps=60", "evaluation_episodes=1", "batch_size=16"};
  for (const char* width : {"width=16", "actor_width=16", "critic_width=16"})
    if ((algorithm == "sac") == (std::string(width) == "width=16")) settings.push_back(width);
  for (const std::string& setting : settings) words.insert(words.end(), {"--set", setting});
  return words;
}

}  // namespace

TEST_CASE("every algorithm trains and is evaluated in 2 GB of address space, by four threads") {
  const Folder folder;
  for (const std::string& algorithm : algorithm_names()) {
    CAPTURE(algorithm);
    for (const Words& words : {small_run_of(algorithm, "4"),
                               Words{"eval", algorithm, "--episodes", "2", "--threads", "4"}}) {
      const Result result = meander_in(folder, words, RLIM_INFINITY, [] { limit(RLIMIT_AS, rlim_t{2} << 30); });
      CHECK(result.error == "");
      CHECK(result.status == 0);
    }
  }
}

TEST_CASE("where no thread can be started the run is the same") {
  const Folder folder;
  REQUIRE(meander_in(folder, small_run_of("sac", "1")).status == 0);
  const std::string before = folder.file("sac/last.safetensors"), alone = folder.file("alone");
  std::filesystem::rename(before, alone);
  std::filesystem::remove_all(folder.file("sac"));
  const Result result = meander_in(folder, small_run_of("sac", "4"), RLIM_INFINITY, [] {
    limit(RLIMIT_STACK, rlim_t{1} << 40);  // and as large a thread's
    limit(RLIMIT_AS, rlim_t{1} << 30);
  });
  CHECK(result.error == "");
  CHECK(result.status == 0);
  check_same_tensors(before, alone);
}

// Beside its own one only the one that keeps the run's claim alive (app/claim.h), which sleeps.
TEST_CASE("a run with one thread starts none to compute") {
  const Folder folder;
  Process process(folder, small_run_of("sac", "1", "1000000"));
  REQUIRE(wait_for_step(process, folder.file("sac/metrics.csv"), 1));
  std::istringstream status(read_text("/proc/" + std::to_string(process.id()) + "/status"));
  std::string threads;
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("Threads:")) threads = line;
  CHECK(threads == "Threads:\t2");
}

// Where this process may make control groups, of version 1 or 2.
TEST_CASE("a run within a control group of 128 MB") {
  namespace fs = std::filesystem;
  const Folder folder;
  const std::string name = "/meander-test-" + std::to_string(getpid());
  std::string group, limit_file;
  for (const auto& [top, file] : {std::pair("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
                                  std::pair("/sys/fs/cgroup", "memory.max")}) {
    std::error_code error;
    group = top + name;
    if (!fs::create_directory(group, error) || error) continue;
    limit_file = group + "/" + file;
    if (std::ofstream(limit_file) << (128 << 20) << std::flush) break;
    fs::remove(group, error);
    limit_file.clear();
  }
  if (limit_file.empty()) {
    MESSAGE("skipped: control groups cannot be made here");
    return;
  }
  const Result result = meander_in(folder, small_run_of("mfpo", "2"), RLIM_INFINITY,
                                   [&] { std::ofstream(group + "/cgroup.procs") << getpid() << std::flush; });
  CHECK(result.error == "");
  CHECK(result.status == 0);
  fs::remove(group);
}

TEST_CASE("a processor without AVX2 is named before anything simulates") {
  if (std::system("qemu-x86_64 -version >/dev/null 2>&1") != 0) {
    MESSAGE("skipped: no qemu-x86_64");
    return;
  }
  const Folder folder;
  const auto on = [&](const std::string& processor, const std::string& words) {
    const std::string command = "cd " + folder.path() + " && qemu-x86_64 -cpu " + processor + " '" MEANDER_COMMAND "' " +
                                words + " >out 2>all; status=$?; grep -v '^qemu-x86_64: warning' all >error; "
                                        "exit $status";
    return WEXITSTATUS(std::system(command.c_str()));
  };
  for (const std::string processor : {"Westmere", "SandyBridge"}) {  // without and with AVX
    for (const std::string words : {"list", "config --algo sac --env Hopper-v4", "train --algo sac --env Hopper-v4",
                                    "train --algo sac --env Pendulum-v1", "collect --env Walker2d-v5", "toy"}) {
      CAPTURE(processor);
      CAPTURE(words);
      CHECK(on(processor, words) == 2);
      const std::string error = read_text(folder.file("error"));
      CHECK(is_one_line(error));
      CHECK(contains(error, "AVX2"));
    }
    CHECK(on(processor, "--version") == 0);
    CHECK(on(processor, "train --help") == 0);
  }
}

#endif

// A run may go on on another device: the same parameters and moments, then equal to rounding, and it says so.
TEST_CASE("a run that began on a processor goes on on a device, and back") {
  Folder folder;
  const auto go_on = [&](const char* device, const char* steps) {
    const Result result = meander_in(folder, {"train", "--resume", "run", "--steps", steps, "--device", device});
    CHECK_MESSAGE(result.status == 0, result.error);
    return result.out + result.error;
  };
  CHECK(meander_in(folder, small_run({"--steps", "30", "--out", "run", "--quiet"})).status == 0);
  CHECK(contains(read_text(folder.file("run/config.toml")), "machine = \"cpu: "));
  const std::string there = go_on("cuda-emulated", "32");
  CHECK(contains(there, "it ran on cpu: "));
  CHECK(contains(there, "now on cuda-emulated: an emulated GPU of 4 multiprocessors"));
  CHECK(contains(there, "not to the bit"));
  CHECK(contains(read_text(folder.file("run/config.toml")), "device = \"cuda-emulated\""));
  CHECK(contains(meander_in(folder, {"info", "run"}).out, "on cuda-emulated: an emulated GPU"));
  CHECK(contains(go_on("cpu", "34"), "it ran on cuda-emulated: "));
  const std::string same = go_on("cpu", "36");
  CHECK(!contains(same, "it ran on"));
}

TEST_CASE("devices by name") {
  Folder folder;
  for (const char* name : {"gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1000", "cuda-emulated:1"}) {
    const Result result = meander_in(folder, small_run({"--steps", "30", "--device", name}));
    CHECK(result.status == 2);
    CHECK(is_one_line(result.error));
    CHECK(contains(result.error, "cuda:1"));
  }
  setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b", 1);
  const Result result = meander_in(folder, small_run({"--steps", "30", "--device", "cuda:2"}));
  unsetenv("CUDA_VISIBLE_DEVICES");
  CHECK(result.status == 2);
  CHECK(contains(result.error, "CUDA_VISIBLE_DEVICES=GPU-a,GPU-b shows no such GPU"));
}
