#include <meander/app/collect_play.h>

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <system_error>
#include <thread>

#include <meander/app/data_files.h>
#include <meander/app/npz_file.h>
#include <meander/app/output.h>
#include <meander/app/output_place.h>
#include <meander/app/progress.h>
#include <meander/app/run_recorder.h>
#include <meander/app/status_line.h>
#include <meander/kernels/error.h>
#include <meander/envs/cube_play.h>
#include <meander/kernels/threads.h>

namespace meander {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// One after another the rows of episodes, as the file holds them.
struct Rows {
  std::vector<float> observations, actions, qpos, qvel;
  std::vector<uint8_t> terminals;

  void write(const std::string& path) const {
    const int64_t rows = std::ssize(terminals);
    NpzWriter file;
    const auto add = [&](const char* name, const std::vector<float>& numbers) {
      file.add(name, {rows, std::ssize(numbers) / rows}, numbers.data());
    };
    add("observations", observations);
    add("actions", actions);
    file.add_bool("terminals", {rows}, terminals.data());
    add("qpos", qpos);
    add("qvel", qvel);
    file.write(path);
  }
  void append(const std::string& path) {
    const NpzFile file(path);
    const auto add = [&](const char* name, auto& to) {
      const FloatArray array = file.read(name);
      to.insert(to.end(), array.values.begin(), array.values.end());
    };
    add("observations", observations);
    add("actions", actions);
    add("terminals", terminals);
    add("qpos", qpos);
    add("qvel", qvel);
  }
};

Rows play_episode(OgbenchCube& cubes, uint64_t seed, int64_t number) {
  Stream reset(seed, Purpose::collect_reset, static_cast<uint64_t>(number));
  cubes.scatter(reset);
  CubePlay policy(cubes, Stream(seed, Purpose::collect_explore, static_cast<uint64_t>(number)));
  Rows rows;
  const auto add = [](std::vector<float>& to, std::span<const double> numbers) {
    to.insert(to.end(), numbers.begin(), numbers.end());
  };
  for (int step = 0; step < CubePlay::episode_steps && !interrupted(); ++step) {
    const auto action = policy.act();
    add(rows.observations, cubes.observation());
    add(rows.actions, action);
    add(rows.qpos, cubes.positions());
    add(rows.qvel, cubes.velocities());
    rows.terminals.push_back(step + 1 == CubePlay::episode_steps);
    cubes.step(action);
  }
  return rows;
}

// Says how far it is: a line that changes on a terminal, else one now and then.
class PlayProgress {
 public:
  PlayProgress(int64_t done, int64_t wanted) : done_(done), already_(done), wanted_(wanted) {}
  void set(int64_t done) {
    done_ = done;
    const double waited = std::chrono::duration<double>(Clock::now() - shown_).count();
    if (waited < (line_.changes() ? 0.25 : 10.0) || done_ == already_) return;
    shown_ = Clock::now();
    const double speed =
        static_cast<double>(done_ - already_) / std::chrono::duration<double>(shown_ - began_).count();
    line_.show({fmt::format("episode {} of {}", count_text(done_), count_text(wanted_)),
                fmt::format("{:.0f} steps/s", speed * CubePlay::episode_steps),
                duration_text(static_cast<double>(wanted_ - done_) / speed) + " left"});
  }

 private:
  int64_t done_, already_, wanted_;
  StatusLine line_;
  const Clock::time_point began_ = Clock::now();
  Clock::time_point shown_ = began_;
};

}  // namespace

int collect_play(const CollectOptions& options) {
  const std::string& name = options.environment;
  if (!options.agents.empty())
    throw Error(name + " is the scripted policy's data set: leave out the run folders, or name a task to collect in");
  if (options.episodes == 0)
    throw Error(message(name, " is collected in episodes of ", CubePlay::episode_steps, " steps: give --episodes N"));
  const std::string path = options.out.empty() ? fmt::format("{}-s{}.npz", name, options.seed) : options.out;
  const OutputPlace place(path, OutputPlace::kept);
  expect_writable(path);
  const Claim claim(path, Claim::beside(path));
  if (!path.ends_with(".npz")) throw Error(path + ": play data have OGBench's layout: the name ends with .npz");
  const fs::path folder = path + ".episodes";
  const std::string task = fmt::format("cube-{}-v0", name.substr(5, name.find('-', 5) - 5));
  const auto seed = static_cast<uint64_t>(options.seed);
  const auto file_of = [&](int64_t number) {
    return (folder / fmt::format("{}-s{}-{:06}.npz", task, options.seed, number)).string();
  };

  const int64_t workers = std::min<int64_t>(kernels::threads(), options.episodes);
  std::vector<std::unique_ptr<OgbenchCube>> cubes;  // made here, so that what is missing is said before anything is written
  for (int64_t i = 0; i < workers; ++i) cubes.push_back(std::make_unique<OgbenchCube>(task));
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw Failure(message("cannot make the folder ", folder.string(), ": ", error.message()));
  int64_t done = 0;
  for (int64_t i = 0; i < options.episodes; ++i) done += fs::exists(file_of(i));
  if (done > 0) print("{} of {} episodes are in {} already\n", done, options.episodes, folder.string());

  catch_interrupts();
  std::atomic<int64_t> next = 0;
  std::mutex mutex;  // of the following
  std::condition_variable changed;
  int64_t running = workers;
  std::exception_ptr failure;
  const auto work = [&](OgbenchCube& mine) {
    try {
      for (int64_t number; (number = next++) < options.episodes && !interrupted();) {
        if (fs::exists(file_of(number))) continue;
        const Rows rows = play_episode(mine, seed, number);
        if (interrupted()) break;
        rows.write(file_of(number));
        const std::lock_guard lock(mutex);
        ++done;
        changed.notify_one();
      }
    } catch (...) {
      next = options.episodes;
      const std::lock_guard lock(mutex);
      failure = std::current_exception();
    }
    const std::lock_guard lock(mutex);
    --running;
    changed.notify_one();
  };
  {
    std::vector<std::jthread> threads;
    try {
      for (const auto& mine : cubes) threads.emplace_back([&] { work(*mine); });
    } catch (const std::system_error&) {  // the system refuses more: these have to do
    }
    PlayProgress progress(done, options.episodes);
    if (threads.empty()) work(*cubes.front());
    std::unique_lock lock(mutex);
    running -= workers - std::max<int64_t>(std::ssize(threads), 1);
    while (running > 0) {
      changed.wait(lock);
      progress.set(done);
    }
  }
  if (failure) std::rethrow_exception(failure);
  if (interrupted()) {
    print("stopped; {} of {} episodes are in {}: the same command goes on\n", done, options.episodes,
               folder.string());
    return 130;
  }

  Rows all;
  for (int64_t i = 0; i < options.episodes; ++i) all.append(file_of(i));
  place.put([&](const std::string& name) { all.write(name); });
  for (int64_t i = 0; i < options.episodes; ++i) fs::remove(file_of(i), error);
  fs::remove(folder, error);  // stays where it holds episodes of another seed
  print("{} episodes of {}, seed {}: {} rows, written to {}\n", options.episodes, name, options.seed,
             count_text(std::ssize(all.terminals)), path);
  return 0;
}

}  // namespace meander
