#include "algos/training.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <thread>
#include <utility>

#include "../folder.h"
#include "allocations.h"
#include "core/error.h"
#include "fakes.h"
#include "kernels/threads.h"

using namespace meander;
using fakes::Learner;
using fakes::Line;

namespace {

struct Recorder : Observer {
  void episode_ended(int64_t step, double episode_return) override { episodes.emplace_back(step, episode_return); }
  void metrics(int64_t step, std::span<const double> means) override { logged.emplace_back(step, means[0]); }
  void evaluated(int64_t step, const Evaluation& e, bool best_so_far) override {
    evaluations.emplace_back(step, e.mean());
    best.push_back(best_so_far);
  }
  void warning(int64_t, const std::string& text) override { warnings.push_back(text); }
  void checkpoint(int64_t step) override {
    checkpoints.push_back(step);
    if (!training) return;
    SafetensorsWriter file;
    training->save(file);
    file.write(path);
  }
  void update_failed(int64_t step) override { failed = step; }
  void step_done(int64_t step) override { last_step = step; }
  bool stop() override { return stop_at > 0 && last_step >= stop_at; }

  std::vector<std::pair<int64_t, double>> episodes, logged, evaluations;
  std::vector<bool> best;
  std::vector<std::string> warnings;
  std::vector<int64_t> checkpoints;
  int64_t failed = 0, last_step = 0, stop_at = 0;
  Training* training = nullptr;
  std::string path;
};

TrainingSettings small() {
  TrainingSettings s;
  s.seed = 5;
  s.steps = 400;
  s.start_steps = 100;
  s.replay_capacity = 150;  // wraps
  s.evaluation_interval = 100;
  s.evaluation_episodes = 2;
  s.log_interval = 30;
  s.checkpoint_interval = 70;
  return s;
}

// Two threads, on any machine: what overlap asks for.
struct TwoThreads {
  TwoThreads() { kernels::set_threads(2); }
  ~TwoThreads() { kernels::set_threads(before); }
  const int before = kernels::threads();
};

// One run from the start.
struct Run {
  explicit Run(const TrainingSettings& settings) : training(settings, learner, {&line}, evaluation_line) {}
  Learner learner;
  Line line, evaluation_line;
  Training training;
  Recorder recorder;
};

// Fails at one step: returns NaN, or throws.
struct Broken : Line {
  Step step(std::span<const double> action) override {
    Step result = Line::step(action);
    if (++steps == at && throws) throw Failure("the simulator is out of order");
    if (steps == at) result.reward = std::nan("");
    return result;
  }
  int steps = 0, at = 17;
  bool throws = false;
};

}  // namespace

// Steps count from 1: with start_steps 10,000, steps 1 to 9,999 are random and 12,000 steps give 2,001 updates.
TEST_CASE("random steps, then one update a step") {
  TrainingSettings s = small();
  s.steps = 12'000, s.start_steps = 10'000, s.evaluation_interval = 5'000;
  Run run(s);
  run.training.run(run.recorder);
  CHECK(run.training.step() == 12'000);
  CHECK(run.learner.updates == 2'001);
  CHECK(run.learner.explored.size() == 2'001);
  CHECK(run.learner.explored.front() == 10'000);
  CHECK(run.learner.explored.back() == 12'000);
}

// At the interval and at the last step; so many episodes; the time limit and the true end both finish an episode.
TEST_CASE("evaluations, checkpoints and episodes come when they are due") {
  TrainingSettings s = small();
  s.steps = 250;
  Run run(s);
  run.training.run(run.recorder);
  REQUIRE(run.recorder.evaluations.size() == 3);
  CHECK(run.recorder.evaluations[0].first == 100);
  CHECK(run.recorder.evaluations[1].first == 200);
  CHECK(run.recorder.evaluations[2].first == 250);
  CHECK(run.recorder.best[0]);
  CHECK(run.recorder.checkpoints == std::vector<int64_t>{70, 140, 210, 250});
  std::map<int64_t, int> lengths;
  int64_t last = 0;
  for (const auto& [step, episode_return] : run.recorder.episodes) ++lengths[step - std::exchange(last, step)];
  CHECK(lengths.size() == 2);
  CHECK(lengths[20] > 2);  // time limit
  CHECK(lengths[7] > 2);   // true end
  CHECK(run.learner.acted >= 3 * 2 * 7);
}

// What the learner gets: mask 0 on a true end alone, and at a time limit the next state is that episode's last one.
TEST_CASE("time limits keep their value, true ends do not") {
  struct Checker : Learner {
    void update(const Batch& b, uint64_t step, std::span<float> metrics) override {
      Learner::update(b, step, metrics);
      for (int64_t i = 0; i < b.state.rows; ++i) {
        const float time = b.state.f32()[2 * i + 1], next = b.next_state.f32()[2 * i + 1];
        right = right && next == time + 1 && std::fabs(b.action.f32()[i]) <= 1;
        if (b.mask.f32()[i] == 0) {
          right = right && next == 7;
          ++ends;
        } else if (next == 20) {
          ++limits;
        }
      }
    }
    bool right = true;
    int ends = 0, limits = 0;
  } checker;
  Line line, evaluation_line;
  Training training(small(), checker, {&line}, evaluation_line);
  Recorder recorder;
  training.run(recorder);
  CHECK(checker.right);
  CHECK(checker.ends > 10);
  CHECK(checker.limits > 10);
}

// What is reported is the mean over the updates since the last report.
TEST_CASE("update metrics are averaged") {
  struct Counter : Learner {
    void update(const Batch& b, uint64_t step, std::span<float> metrics) override {
      Learner::update(b, step, metrics);
      metrics[0] = static_cast<float>(step);
    }
  } counter;
  Line line, evaluation_line;
  TrainingSettings s = small();
  s.steps = 155;
  Training training(s, counter, {&line}, evaluation_line);
  Recorder recorder;
  training.run(recorder);
  REQUIRE(recorder.logged.size() == 3);
  CHECK(recorder.logged[0] == std::pair<int64_t, double>{120, 11});    // updates 1 to 21
  CHECK(recorder.logged[1] == std::pair<int64_t, double>{150, 36.5});  // 22 to 51
  CHECK(recorder.logged[2] == std::pair<int64_t, double>{155, 54});    // 52 to 56, the end
}

// How often it is evaluated must not change what is learnt.
TEST_CASE("evaluations do not disturb training") {
  TrainingSettings s = small();
  Run often(s), seldom([&] { s.evaluation_interval = 399, s.evaluation_episodes = 3; return s; }());
  often.training.run(often.recorder);
  seldom.training.run(seldom.recorder);
  CHECK(often.learner.weight == seldom.learner.weight);
  CHECK(often.recorder.episodes == seldom.recorder.episodes);
  CHECK(often.learner.acted != seldom.learner.acted);
}

TEST_CASE("the seed decides, and repeats") {
  TrainingSettings s = small();
  Run one(s), same(s);
  s.seed = 6;
  Run other(s);
  for (Run* run : {&one, &same, &other}) run->training.run(run->recorder);
  CHECK(one.learner.weight == same.learner.weight);
  CHECK(one.recorder.evaluations == same.recorder.evaluations);
  CHECK(one.learner.weight != other.learner.weight);
}

// Stopped at any step (in the random phase, within an episode, at an evaluation) and resumed: the same bits.
TEST_CASE("resume goes on with the same bits") {
  Folder folder;
  Run whole(small());
  whole.training.run(whole.recorder);
  for (int64_t stop : {1, 33, 99, 100, 155, 200, 399}) {
    CAPTURE(stop);
    Run first(small());
    first.recorder.stop_at = stop;
    first.recorder.training = &first.training;
    first.recorder.path = folder.file("last");
    first.training.run(first.recorder);
    REQUIRE(first.training.step() == stop);

    Run second(small());
    second.training.load(SafetensorsFile(folder.file("last")));
    CHECK(second.training.step() == stop);
    second.training.run(second.recorder);
    CHECK(second.learner.weight == whole.learner.weight);
    CHECK(second.learner.bias == whole.learner.bias);
    CHECK(second.training.best_return() == whole.training.best_return());
    const auto append = [](auto a, const auto& b) { a.insert(a.end(), b.begin(), b.end()); return a; };
    CHECK(append(first.recorder.episodes, second.recorder.episodes) == whole.recorder.episodes);
    CHECK(append(first.recorder.logged, second.recorder.logged) == whole.recorder.logged);
    CHECK(append(first.recorder.evaluations, second.recorder.evaluations) == whole.recorder.evaluations);
    CHECK(append(first.recorder.best, second.recorder.best) == whole.recorder.best);
  }
}

// Ctrl-C during an evaluation ends it at once; the resumed run does it again.
TEST_CASE("an evaluation that was interrupted is repeated") {
  struct Impatient : Recorder {
    bool stop() override { return asked++ >= 105; }  // at the 6th step of the first evaluation
    int asked = 0;
  };
  Folder folder;
  Run whole(small()), first(small()), second(small());
  whole.training.run(whole.recorder);
  Impatient impatient;
  impatient.training = &first.training;
  impatient.path = folder.file("last");
  first.training.run(impatient);
  REQUIRE(first.training.step() == 100);
  CHECK(impatient.evaluations.empty());
  second.training.load(SafetensorsFile(folder.file("last")));
  second.training.run(second.recorder);
  CHECK(second.recorder.evaluations == whole.recorder.evaluations);
  CHECK(second.learner.weight == whole.learner.weight);
}

TEST_CASE("a checkpoint of another task or agent is refused") {
  Folder folder;
  Run run(small());
  SafetensorsWriter file;
  run.training.save(file);
  file.metadata("environment", "Circle");
  file.write(folder.file("last"));
  CHECK_THROWS_WITH_AS(run.training.load(SafetensorsFile(folder.file("last"))),
                       doctest::Contains("expected a checkpoint of Line, got one of Circle"), Error);
}

// The step and the loss are named, the caller can save the last good parameters, and those are what the agent holds.
TEST_CASE("a loss that is not finite stops the run") {
  Run run(small());
  run.learner.fails_at = 12;
  CHECK_THROWS_WITH_AS(run.training.run(run.recorder), "step 111: the actor's loss is not finite", Failure);
  CHECK(run.recorder.failed == 111);
  CHECK(run.learner.updates == 11);
}

TEST_CASE("a simulator that returns NaN stops the run") {
  Broken broken;
  Learner learner;
  Line evaluation_line;
  Training training(small(), learner, {&broken}, evaluation_line);
  Recorder recorder;
  CHECK_THROWS_WITH_AS(training.run(recorder), doctest::Contains("step 17"), Failure);
}

// Everything that is learnt and reported, with a replay that wraps at every size, and through a stop on the way.
TEST_CASE("overlap changes no bit") {
  const TwoThreads two;
  Folder folder;
  for (int64_t capacity : {2, 13, 40, 150, 1000}) {
    CAPTURE(capacity);
    TrainingSettings s = small();
    s.replay_capacity = capacity, s.start_steps = 3;
    s.overlap = false;
    Run plain(s);
    plain.training.run(plain.recorder);
    s.overlap = true;
    Run overlapped(s), first(s), second(s);
    overlapped.training.run(overlapped.recorder);
    CHECK(overlapped.learner.updates == 398);
    first.recorder.stop_at = 211;
    first.recorder.training = &first.training;
    first.recorder.path = folder.file("last");
    first.training.run(first.recorder);
    second.training.load(SafetensorsFile(folder.file("last")));
    second.training.run(second.recorder);
    for (const Run* run : {&overlapped, &second}) {
      CHECK(run->learner.weight == plain.learner.weight);
      CHECK(run->learner.bias == plain.learner.bias);
      CHECK(run->training.best_return() == plain.training.best_return());
    }
    CHECK(overlapped.recorder.episodes == plain.recorder.episodes);
    CHECK(overlapped.recorder.logged == plain.recorder.logged);
    CHECK(overlapped.recorder.evaluations == plain.recorder.evaluations);
  }
}

// The update runs while the environment is still stepping, but for batches that need what the step brings.
TEST_CASE("overlap overlaps") {
  struct Begun : Learner {
    void update(const Batch& batch, uint64_t step, std::span<float> metrics) override {
      begun = static_cast<int>(step);
      Learner::update(batch, step, metrics);
    }
    std::atomic<int> begun = 0;
  };
  struct Slow : Line {
    explicit Slow(const Begun& learner) : learner(learner) {}
    Step step(std::span<const double> action) override {
      ++steps;
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
      while (learner.begun < steps && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
      ++(learner.begun == steps ? during : before);
      return Line::step(action);
    }
    const Begun& learner;
    int steps = 0, during = 0, before = 0;
  };
  const TwoThreads two;
  TrainingSettings s = small();
  s.start_steps = 1, s.steps = 40, s.evaluation_interval = 1000;
  for (bool overlap : {true, false}) {
    s.overlap = overlap;
    Begun learner;
    Slow slow(learner);
    Line evaluation_line;
    Training training(s, learner, {&slow}, evaluation_line);
    Recorder recorder;
    training.run(recorder);
    CHECK(learner.updates == 40);
    if (overlap) CHECK(slow.during > 5);  // the batch of 8 holds the newest of up to 40 often
    else CHECK(slow.during == 0);
    CHECK(slow.before > 5);
  }
}

// The same report with overlap and without: the simulator's failure comes first, no parameters are said to be the last
// good ones, and the update that ran already shows nowhere but in the agent.
TEST_CASE("failures with and without overlap") {
  const TwoThreads two;
  for (bool overlap : {false, true})
    for (bool throws : {false, true})
      for (bool both : {false, true}) {
        CAPTURE(overlap);
        CAPTURE(throws);
        CAPTURE(both);
        TrainingSettings s = small();
        s.overlap = overlap;
        Broken broken;
        broken.at = 130, broken.throws = throws;
        Learner learner;
        learner.fails_at = both ? 31 : 0;  // the update of step 130
        Line evaluation_line;
        Training training(s, learner, {&broken}, evaluation_line);
        Recorder recorder;
        CHECK_THROWS_WITH_AS(training.run(recorder),
                             doctest::Contains(throws ? "out of order" : "step 130: Line returned a reward"), Failure);
        CHECK(recorder.failed == 0);
        CHECK(recorder.last_step == 129);
        CHECK(learner.updates == (overlap && !both ? 31 : 30));
      }
  Run run([] { TrainingSettings s = small(); s.overlap = false; return s; }());
  run.learner.fails_at = 12;
  CHECK_THROWS_WITH_AS(run.training.run(run.recorder), "step 111: the actor's loss is not finite", Failure);
  CHECK(run.recorder.failed == 111);
}

// ---- chunks ---------------------------------------------------------------------------------------------------------
namespace {

// Decides on three actions at once, each of which tells which decision it is of and which of its actions.
struct ThreeAtOnce : Learner {
  int chunk() const override { return 3; }
  void explore(std::span<const float> state, uint64_t step, std::span<float> chunk) override {
    Learner::explore(state, step, chunk.first(1));
    chunk[1] = 0.5f * chunk[0], chunk[2] = 0.25f * chunk[0];
    decided_at.push_back(static_cast<int>(state[1]));
    decided.insert(decided.end(), chunk.begin(), chunk.end());
  }
  void act(std::span<const float> state, uint64_t step, std::span<float> chunk) override {
    Learner::act(state, step, chunk.first(1));
    chunk[1] = chunk[2] = 0;
  }
  std::vector<int> decided_at;   // steps of the episode
  std::vector<float> decided;
};

// Remembers what it was told to do, and when in its episode.
struct Remembering : Line {
  using Line::Line;
  Step step(std::span<const double> action) override {
    times.push_back(static_cast<int>(observation()[1]));
    actions.push_back(action[0]);
    return Line::step(action);
  }
  std::vector<int> times;
  std::vector<double> actions;
};

}  // namespace

// A chunk is executed to its end without looking, but not beyond the end of an episode: of 20 steps the seventh
// decision is cut off after two actions, of 7 the third after one.
TEST_CASE("chunks are executed open loop and end with the episode") {
  TrainingSettings s = small();
  s.start_steps = 3, s.replay_capacity = 1000;   // a batch wants three successive steps
  ThreeAtOnce learner;
  Remembering line;
  Line evaluation_line;
  Training training(s, learner, {&line}, evaluation_line);
  Recorder recorder;
  training.run(recorder);
  REQUIRE(line.times.size() == 400);
  size_t decisions = 0, left = 0;
  bool right = true;
  int cut[3] = {};   // by the actions that were left
  for (size_t i = 2; i < 400; ++i) {   // the first two are random
    if (line.times[i] == 0) ++cut[left], left = 0;
    if (left == 0) {
      right = right && learner.decided_at.at(decisions) == line.times[i];
      ++decisions, left = 3;
    }
    right = right && line.actions[i] == 2.0 * double(learner.decided.at(3 * decisions - left));
    --left;
  }
  CHECK(right);
  CHECK(decisions == learner.decided_at.size());
  CHECK(cut[1] > 2);   // episodes of 20
  CHECK(cut[2] > 2);   // of 7
}

TEST_CASE("evaluation empties its queue between episodes") {
  struct Counted : ThreeAtOnce {
    void act(std::span<const float> state, uint64_t step, std::span<float> chunk) override {
      times.push_back(static_cast<int>(state[1]));
      ThreeAtOnce::act(state, step, chunk);
    }
    std::vector<int> times;
  } learner;
  Line line(10, 7);
  const auto evaluation = evaluate(learner, line, 4, 1, 0);
  REQUIRE(evaluation);
  int episodes = 0;
  for (size_t i = 0; i < learner.times.size(); ++i) {
    episodes += learner.times[i] == 0;
    CHECK((learner.times[i] == 0 || learner.times[i] == learner.times[i - 1] + 3));
  }
  CHECK(episodes == 4);
}

// ---- several environments, a data set -------------------------------------------------------------------------------
namespace {

// Three environments and a learner, chunked or not.
template <class L>
struct ThreeWorlds {
  explicit ThreeWorlds(const TrainingSettings& settings, const DataSet* data = nullptr)
      : training(settings, learner, {&lines[0], &lines[1], &lines[2]}, evaluation_line, data) {}
  L learner;
  Line lines[3], evaluation_line;
  Training training;
  Recorder recorder;
};

// Stops at `stop` and goes on: everything as in the run that did not.
template <class World>
void check_resume(const TrainingSettings& settings, int64_t stop, const DataSet* data = nullptr) {
  CAPTURE(stop);
  const Folder folder;
  World whole(settings, data), first(settings, data), second(settings, data);
  whole.training.run(whole.recorder);
  first.recorder.stop_at = stop;
  first.recorder.training = &first.training;
  first.recorder.path = folder.file("last");
  first.training.run(first.recorder);
  REQUIRE(first.training.step() < settings.steps);
  second.training.load(SafetensorsFile(folder.file("last")));
  second.training.run(second.recorder);
  CHECK(second.learner.weight == whole.learner.weight);
  CHECK(second.learner.bias == whole.learner.bias);
  CHECK(second.training.best_return() == whole.training.best_return());
  const auto append = [](auto a, const auto& b) { a.insert(a.end(), b.begin(), b.end()); return a; };
  CHECK(append(first.recorder.episodes, second.recorder.episodes) == whole.recorder.episodes);
  CHECK(append(first.recorder.logged, second.recorder.logged) == whole.recorder.logged);
  CHECK(append(first.recorder.evaluations, second.recorder.evaluations) == whole.recorder.evaluations);
}

// Episodes of four transitions of a task like Line.
DataSet recorded(int episodes) {
  DataSet data;
  data.observations = 2, data.actions = 1;
  for (int row = 0; row < 5 * episodes; ++row) {
    data.observation.insert(data.observation.end(), {0.01f * static_cast<float>(row), static_cast<float>(row % 5)});
    data.action.push_back(0.02f * static_cast<float>(row % 40));
    data.reward.push_back(-1);
    data.mask.push_back(1);
    data.terminal.push_back(row % 5 == 4);
  }
  data.check("recorded");
  return data;
}

}  // namespace

// Steps count transitions: a round of three makes three, and one update. What is due at a step comes at the end of the
// round that reaches it.
TEST_CASE("three environments make three steps and one update a round") {
  ThreeWorlds<Learner> run(small());
  run.training.run(run.recorder);
  CHECK(run.training.step() == 402);
  CHECK(run.learner.updates == 101);   // from the round that reaches step 100: 102, 105, ..., 402
  CHECK(run.training.updates() == 101);
  std::vector<uint64_t> steps;
  for (uint64_t i = 100; i <= 402; ++i) steps.push_back(i);
  CHECK(run.learner.explored == steps);
  const auto at = [](const auto& events) {
    std::vector<int64_t> steps;
    for (const auto& [step, value] : events) steps.push_back(step);
    return steps;
  };
  CHECK(at(run.recorder.evaluations) == std::vector<int64_t>{102, 201, 300, 402});
  CHECK(run.recorder.checkpoints == std::vector<int64_t>{72, 141, 210, 282, 351, 402});
  CHECK(at(run.recorder.logged) ==
        std::vector<int64_t>{120, 150, 180, 210, 240, 270, 300, 330, 360, 390, 402});
  CHECK(run.recorder.episodes.size() > 15);
}

TEST_CASE("three environments: the episodes are their own") {
  struct Checker : Learner {
    void update(const Batch& b, uint64_t step, std::span<float> metrics) override {
      Learner::update(b, step, metrics);
      for (int64_t i = 0; i < b.state.rows; ++i) {
        right = right && b.next_state.f32()[2 * i + 1] == b.state.f32()[2 * i + 1] + 1;
        // Line's step, from that state with that action.
        const double expected = 0.9 * double(b.state.f32()[2 * i]) + 0.1 * 2 * double(b.action.f32()[i]);
        right = right && std::abs(b.next_state.f32()[2 * i] - expected) < 1e-6;
      }
    }
    bool right = true;
  };
  ThreeWorlds<Checker> run(small());
  run.training.run(run.recorder);
  CHECK(run.learner.right);
  CHECK(run.learner.updates == 101);
}

TEST_CASE("three environments, chunks: resume and overlap change no bit") {
  const TwoThreads two;
  for (const bool overlap : {false, true}) {
    CAPTURE(overlap);
    TrainingSettings s = small();
    s.overlap = overlap;
    for (const int64_t stop : {33, 100, 157, 250}) check_resume<ThreeWorlds<Learner>>(s, stop);
    for (const int64_t stop : {100, 106, 157, 250}) check_resume<ThreeWorlds<ThreeAtOnce>>(s, stop);   // in mid-chunk
  }
  for (const int64_t capacity : {12, 40, 150, 1000}) {
    CAPTURE(capacity);
    TrainingSettings s = small();
    s.replay_capacity = capacity, s.start_steps = 20;
    s.overlap = false;
    ThreeWorlds<ThreeAtOnce> plain(s);
    s.overlap = true;
    ThreeWorlds<ThreeAtOnce> overlapped(s);
    plain.training.run(plain.recorder);
    overlapped.training.run(overlapped.recorder);
    CHECK(overlapped.learner.updates > 100);
    CHECK(overlapped.learner.weight == plain.learner.weight);
    CHECK(overlapped.learner.bias == plain.learner.bias);
    CHECK(overlapped.recorder.episodes == plain.recorder.episodes);
    CHECK(overlapped.recorder.logged == plain.recorder.logged);
    CHECK(overlapped.recorder.evaluations == plain.recorder.evaluations);
  }
}

// Forty updates from the data alone; then the agent acts at once, and learns again from step `start_steps` of the
// environments on.
TEST_CASE("offline steps come before the first step of the environment") {
  struct Watching : ThreeAtOnce {
    void update(const Batch& b, uint64_t step, std::span<float> metrics) override {
      Learner::update(b, step, metrics);
      offline.push_back(b.offline);
      environment_steps.push_back(line->times.size());
      for (int64_t i = 0; i < b.state.rows; ++i) recorded_ones += b.reward.f32()[3 * i] == -1;
    }
    const Remembering* line = nullptr;
    std::vector<bool> offline;
    std::vector<size_t> environment_steps;
    int64_t recorded_ones = 0;
  } learner;
  const TwoThreads two;
  const DataSet data = recorded(20);
  TrainingSettings s = small();
  s.offline_steps = 40, s.start_steps = 10, s.steps = 100, s.evaluation_interval = 30;
  Remembering line;
  learner.line = &line;
  Line evaluation_line;
  Training training(s, learner, {&line}, evaluation_line, &data);
  Recorder recorder;
  training.run(recorder);
  CHECK(training.step() == 100);
  CHECK(line.times.size() == 60);
  REQUIRE(learner.updates == 40 + 51);
  for (size_t u = 0; u < 91; ++u) {
    CHECK(learner.offline[u] == (u < 40));
    if (u < 40) CHECK(learner.environment_steps[u] == 0);
    else CHECK(learner.environment_steps[u] <= u - 40 + 10);   // one fewer than that or, overlapped, that
  }
  CHECK(learner.recorded_ones > 40 * 8);   // the data stay in the replay
  CHECK(learner.decided_at.size() >= 20);  // no action was random
  CHECK(learner.decided_at.front() == 0);
  CHECK(recorder.evaluations.front().first == 30);
}

TEST_CASE("offline steps: resume, and what is refused") {
  const DataSet data = recorded(20);
  TrainingSettings s = small();
  s.offline_steps = 40, s.start_steps = 10, s.steps = 150, s.evaluation_interval = 30, s.replay_capacity = 400;
  for (const int64_t stop : {17, 40, 41, 90}) check_resume<ThreeWorlds<ThreeAtOnce>>(s, stop, &data);
  Line line, evaluation_line;
  ThreeAtOnce learner;
  CHECK_THROWS_WITH_AS(Training(s, learner, {&line}, evaluation_line),
                       doctest::Contains("offline_steps needs a data set"), Error);
  s.replay_capacity = 50;
  CHECK_THROWS_WITH_AS(Training(s, learner, {&line}, evaluation_line, &data), doctest::Contains("replay_capacity"),
                       Error);
  DataSet other = data;
  other.observations = 1, other.actions = 2;
  CHECK_THROWS_AS(Training(small(), learner, {&line}, evaluation_line, &other), Error);
}

// ---- the rest -------------------------------------------------------------------------------------------------------
// Once, when more than 1 % is clipped on average over 1,000 updates, naming the end.
TEST_CASE("a support that is too narrow is reported once") {
  TrainingSettings s = small();
  s.steps = 4'000;
  Run narrow(s), wide(s);
  narrow.learner.clipped = 0.02f;
  wide.learner.clipped = 0.009f;
  narrow.training.run(narrow.recorder);
  wide.training.run(wide.recorder);
  REQUIRE(narrow.recorder.warnings.size() == 1);
  CHECK(narrow.recorder.warnings[0].find("v_max") != std::string::npos);
  CHECK(wide.recorder.warnings.empty());
}

TEST_CASE("an agent of other dimensions is refused") {
  struct Wide : Learner {
    int observations() const override { return 3; }
  } wide;
  Line line, evaluation_line;
  CHECK_THROWS_AS(Training(small(), wide, {&line}, evaluation_line), Error);
}

// A run of 1e6 steps must not fragment or grow: after the first update no step calls operator new.
TEST_CASE("no allocation after the first update") {
  struct Quiet : Observer {
    void step_done(int64_t step) override {
      if (step == 110) before = allocations();
      if (step == 390) after = allocations();
    }
    int64_t before = 0, after = -1;
  } quiet;
  const TwoThreads two;
  TrainingSettings s = small();
  s.evaluation_interval = 1000, s.checkpoint_interval = 1000;
  Run run(s);
  run.learner.explored.reserve(1000);
  run.training.run(quiet);
  CHECK(quiet.after - quiet.before == 0);
}

TEST_CASE("an evaluation's figures") {
  const Evaluation e{{1, 2, 6}};
  CHECK(e.mean() == 3);
  CHECK(e.deviation() == doctest::Approx(std::sqrt(14.0 / 3)));
  CHECK(e.lowest() == 1);
  CHECK(e.highest() == 6);
}
