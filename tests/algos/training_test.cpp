#include <meander/algos/training.h>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <thread>
#include <utility>

#include "../folder.h"
#include "allocations.h"
#include <meander/kernels/error.h>
#include "runs.h"

using namespace meander;
using namespace meander::fakes;

namespace {

// One run from the start.
struct Run {
  explicit Run(const TrainingSettings& settings) : training(settings, learner, {&line}, {&evaluation_line}) {}
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
  Training training(small(), checker, {&line}, {&evaluation_line});
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
  Training training(s, counter, {&line}, {&evaluation_line});
  Recorder recorder;
  training.run(recorder);
  REQUIRE(recorder.logged.size() == 3);
  CHECK(recorder.logged[0] == std::pair<int64_t, double>{120, 11});    // updates 1 to 21
  CHECK(recorder.logged[1] == std::pair<int64_t, double>{150, 36.5});  // 22 to 51
  CHECK(recorder.logged[2] == std::pair<int64_t, double>{155, 54});    // 52 to 56, the end
}

// How often it is evaluated must not change what is learnt.
// What `meander eval` of the agent gives with that step in its names: the learner is as it was, for the run ends there.
TEST_CASE("an evaluation's random numbers are those of its step") {
  struct Noisy : Learner {   // acts by the name it is given, too
    void act(std::span<const float> state, uint64_t name, std::span<float> action) override {
      Learner::act(state, name, action);
      action[0] += 0.5f * static_cast<float>(name >> 32 & 1);
    }
  } agent;
  for (const int64_t steps : {int64_t{200}, int64_t{201}}) {
    TrainingSettings s = small();
    s.steps = steps, s.evaluation_interval = steps;
    Line line, evaluation_line;
    Training training(s, agent, {&line}, {&evaluation_line});
    Recorder recorder;
    training.run(recorder);
    REQUIRE(recorder.evaluations.size() == 1);
    CHECK(recorder.evaluations[0] ==
          std::pair(steps, evaluate(agent, {&evaluation_line}, s.evaluation_episodes, s.seed, steps)->mean()));
  }
}

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

// A version that logs one metric more goes on from it: the same bits, only the means begin anew.
TEST_CASE("a checkpoint with sums of other metrics is gone on from") {
  struct Counter : Learner {
    void update(const Batch& b, uint64_t step, std::span<float> metrics) override {
      Learner::update(b, step, metrics);
      metrics[0] = static_cast<float>(step), metrics[3] = 1;
    }
    std::span<const char* const> metric_names() const override {
      static const char* const names[] = {"loss", "clipped_high", "clipped_low", "one_more"};
      return names;
    }
  } counter;
  Folder folder;
  Run whole(small()), first(small());
  whole.training.run(whole.recorder);
  first.recorder.stop_at = 133;
  first.recorder.training = &first.training;
  first.recorder.path = folder.file("last");
  first.training.run(first.recorder);

  Line line, evaluation_line;
  Training training(small(), counter, {&line}, {&evaluation_line});
  training.load(SafetensorsFile(folder.file("last")));
  Recorder recorder;
  training.run(recorder);
  CHECK(counter.weight == whole.learner.weight);
  REQUIRE(recorder.logged.size() > 1);
  CHECK(recorder.logged[0] == std::pair<int64_t, double>{150, 43});    // updates 35 to 51
  CHECK(recorder.logged[1] == std::pair<int64_t, double>{180, 66.5});  // 52 to 81
}

TEST_CASE("a checkpoint of another task or agent is refused") {
  Folder folder;
  Run run(small());
  SafetensorsWriter file;
  run.training.save(file);
  file.metadata("environment", "Circle");
  file.write(folder.file("last"));
  CHECK_THROWS_WITH_AS(run.training.load(SafetensorsFile(folder.file("last"))),
                       doctest::Contains("expected a checkpoint of Line, got one of \"Circle\""), Error);
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
  Training training(small(), learner, {&broken}, {&evaluation_line});
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
    }
    CHECK(overlapped.recorder.episodes == plain.recorder.episodes);
    CHECK(overlapped.recorder.logged == plain.recorder.logged);
    CHECK(overlapped.recorder.evaluations == plain.recorder.evaluations);
    CHECK(overlapped.recorder.best == plain.recorder.best);
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
    Training training(s, learner, {&slow}, {&evaluation_line});
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
        Training training(s, learner, {&broken}, {&evaluation_line});
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

// Once, when more than 1 % is clipped on average over 1,000 updates, naming the end; the first update is that of step
// 100.
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
  CHECK(narrow.recorder.warned_at == 1'099);
  CHECK(wide.recorder.warnings.empty());
}

TEST_CASE("an agent of other dimensions is refused") {
  struct Wide : Learner {
    int observations() const override { return 3; }
  } wide;
  Line line, evaluation_line;
  CHECK_THROWS_AS(Training(small(), wide, {&line}, {&evaluation_line}), Error);
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
