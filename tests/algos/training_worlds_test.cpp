// Protects the training loop beyond one environment and one action at a time: chunks of actions, several environments,
// and updates from a data set before the first step.
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

#include "../folder.h"
#include <meander/algos/training.h>
#include <meander/kernels/error.h>
#include "runs.h"

using namespace meander;
using namespace meander::fakes;

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
  Training training(s, learner, {&line}, {&evaluation_line});
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
  const auto evaluation = evaluate(learner, {&line}, 4, 1, 0);
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
      : training(settings, learner, {&lines[0], &lines[1], &lines[2]}, {&evaluation_line}, data) {}
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
  const auto append = [](auto a, const auto& b) { a.insert(a.end(), b.begin(), b.end()); return a; };
  CHECK(append(first.recorder.episodes, second.recorder.episodes) == whole.recorder.episodes);
  CHECK(append(first.recorder.logged, second.recorder.logged) == whole.recorder.logged);
  CHECK(append(first.recorder.evaluations, second.recorder.evaluations) == whole.recorder.evaluations);
  CHECK(append(first.recorder.best, second.recorder.best) == whole.recorder.best);
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
    // Overlapped, every step is handed to another thread and back, which takes its time on a busy machine: one stop.
    for (const int64_t stop : {157, 33, 100, 106, 250}) {
      check_resume<ThreeWorlds<ThreeAtOnce>>(s, stop);   // most of them in mid-chunk
      if (overlap) break;
      check_resume<ThreeWorlds<Learner>>(s, stop);
    }
  }
  for (const int64_t capacity : {12, 40, 1000}) {
    CAPTURE(capacity);
    TrainingSettings s = small();
    s.replay_capacity = capacity, s.start_steps = 20, s.steps = 300;
    s.overlap = false;
    ThreeWorlds<ThreeAtOnce> plain(s);
    s.overlap = true;
    ThreeWorlds<ThreeAtOnce> overlapped(s);
    plain.training.run(plain.recorder);
    overlapped.training.run(overlapped.recorder);
    CHECK(overlapped.learner.updates == 94);
    CHECK(overlapped.learner.weight == plain.learner.weight);
    CHECK(overlapped.learner.bias == plain.learner.bias);
    CHECK(overlapped.recorder.episodes == plain.recorder.episodes);
    CHECK(overlapped.recorder.logged == plain.recorder.logged);
    CHECK(overlapped.recorder.evaluations == plain.recorder.evaluations);
  }
}

// The same random stream twice would bring the same places of the replay: from one update to the next the same rows or,
// as each world's oldest row goes, the ones after them. By chance a row of 100 is one of the two once in 50 times.
TEST_CASE("each update draws other rows, offline too") {
  struct Comparing : Learner {
    void update(const Batch& b, uint64_t step, std::span<float> metrics) override {
      Learner::update(b, step, metrics);
      for (size_t i = 0; i < last.size(); ++i)
        same += place(b.state, i) == last[i] || place(b.state, i) == last_next[i], ++all;
      last.clear(), last_next.clear();
      for (size_t i = 0; i < 8; ++i) last.push_back(place(b.state, i)), last_next.push_back(place(b.next_state, i));
    }
    using Place = std::pair<float, float>;
    static Place place(Tensor state, size_t i) { return {state.f32()[2 * i], state.f32()[2 * i + 1]}; }
    std::vector<Place> last, last_next;
    int64_t same = 0, all = 0;
  };
  const DataSet data = recorded(20);
  for (const bool overlap : {false, true})
    for (const bool offline : {false, true}) {
      const TwoThreads two;
      CAPTURE(overlap);
      CAPTURE(offline);
      TrainingSettings s = small();
      s.overlap = overlap;
      if (offline) s.offline_steps = s.steps = 100, s.replay_capacity = 400;
      ThreeWorlds<Comparing> run(s, offline ? &data : nullptr);
      run.training.run(run.recorder);
      CHECK(run.learner.all == 8 * (offline ? 99 : 100));
      CHECK(run.learner.same < run.learner.all / 10);
    }
}

// Updates are counted from 1, whether they are offline or not: the same rows wherever a run begins.
TEST_CASE("the first update's batch is named by the number 1") {
  struct First : Learner {
    void update(const Batch& b, uint64_t step, std::span<float> metrics) override {
      if (step == 1) state.assign(b.state.f32(), b.state.f32() + b.state.size());
      Learner::update(b, step, metrics);
    }
    std::vector<float> state;
  };
  const DataSet data = recorded(20);
  TrainingSettings s = small();
  s.offline_steps = s.steps = 5, s.replay_capacity = 400;
  ThreeWorlds<First> run(s, &data);
  run.training.run(run.recorder);
  Replay replay(3, 400, 2, 1);
  replay.append(data);
  std::vector<float> state(16), action(8), reward(8), mask(8), next(16), valid(8);
  const auto column = [](std::vector<float>& x) { return view(x.data(), 8, std::ssize(x) / 8); };
  replay.sample({static_cast<uint64_t>(s.seed), static_cast<uint32_t>(Purpose::batch), 1},
                {column(state), column(action), column(reward), column(mask), column(next), column(valid)});
  CHECK(run.learner.state == state);
}

TEST_CASE("each random step is an action of its own") {
  struct Pushed : Line {
    Step step(std::span<const double> action) override {
      actions.push_back(action[0]);
      return Line::step(action);
    }
    std::vector<double> actions;
  } lines[3];
  Learner learner;
  Line evaluation_line;
  TrainingSettings s = small();
  s.start_steps = s.steps + 10;
  Training training(s, learner, {&lines[0], &lines[1], &lines[2]}, {&evaluation_line});
  Recorder recorder;
  training.run(recorder);
  std::set<double> all;
  for (const Pushed& line : lines) all.insert(line.actions.begin(), line.actions.end());
  CHECK(learner.explored.empty());
  CHECK(std::ssize(all) == training.step());
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
  const DataSet data = recorded(20);
  TrainingSettings s = small();
  s.offline_steps = 40, s.start_steps = 10, s.steps = 100, s.evaluation_interval = 30;
  s.overlap = false;   // the learner looks at the environment
  Remembering line;
  learner.line = &line;
  Line evaluation_line;
  Training training(s, learner, {&line}, {&evaluation_line}, &data);
  Recorder recorder;
  training.run(recorder);
  CHECK(training.step() == 100);
  CHECK(line.times.size() == 60);
  REQUIRE(learner.updates == 40 + 51);
  for (size_t u = 0; u < 91; ++u) {
    CHECK(learner.offline[u] == (u < 40));
    if (u < 40) CHECK(learner.environment_steps[u] == 0);
    else CHECK(learner.environment_steps[u] == u - 40 + 10);
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
  s.overlap = false;
  for (const int64_t stop : {17, 40, 41, 90}) check_resume<ThreeWorlds<ThreeAtOnce>>(s, stop, &data);
  Line line, evaluation_line;
  ThreeAtOnce learner;
  CHECK_THROWS_WITH_AS(Training(s, learner, {&line}, {&evaluation_line}),
                       doctest::Contains("offline_steps needs a data set"), Error);
  s.replay_capacity = 50;
  CHECK_THROWS_WITH_AS(Training(s, learner, {&line}, {&evaluation_line}, &data), doctest::Contains("replay_capacity"),
                       Error);
  DataSet other = data;
  other.observations = 1, other.actions = 2;
  CHECK_THROWS_AS(Training(small(), learner, {&line}, {&evaluation_line}, &other), Error);
}

// ---- from offline to online -----------------------------------------------------------------------------------------
namespace {

// Freezes its weight when it goes online, and then learns from both.
struct Freezing : Learner {
  void begin_online() override {
    frozen = weight;
    begun_after.push_back(updates);
    CHECK(explored.empty());
  }
  void update(const Batch& batch, uint64_t step, std::span<float> metrics) override {
    Learner::update(batch, step, metrics);
    CHECK(std::isnan(frozen) == batch.offline);
    if (!batch.offline) weight += 0.1f * frozen;
  }
  void save(SafetensorsWriter& file) const override {
    Learner::save(file);
    file.add("frozen", {1}, &frozen);
  }
  void load(const SafetensorsFile& file) override {
    Learner::load(file);
    frozen = file.values<float>("frozen", 1)[0];
  }
  float frozen = NAN;
  std::vector<int64_t> begun_after;   // updates
};

}  // namespace

// Protects what an agent freezes between offline and online: it is told once, after the last offline update and
// before it acts, also if there is nothing offline; and a run that stops just before, at or after that goes on as if it
// had not.
TEST_CASE("the agent is told once when it goes online") {
  const DataSet data = recorded(20);
  TrainingSettings s = small();
  s.start_steps = 10, s.steps = 150, s.replay_capacity = 400, s.overlap = false;
  ThreeWorlds<Freezing> without(s);
  without.training.run(without.recorder);
  CHECK(without.learner.begun_after == std::vector<int64_t>{0});

  s.offline_steps = 40, s.evaluation_interval = 20;
  ThreeWorlds<Freezing> whole(s, &data);
  whole.training.run(whole.recorder);
  CHECK(whole.learner.begun_after == std::vector<int64_t>{40});
  for (const int64_t stop : {39, 40, 41, 90}) check_resume<ThreeWorlds<Freezing>>(s, stop, &data);
}

TEST_CASE("MVP goes on with the same bits around the switch from offline to online") {
  const Folder folder;
  const DataSet data = recorded(20);
  TrainingSettings s = small();
  s.offline_steps = 12, s.start_steps = 4, s.steps = 30, s.evaluation_interval = 1000, s.replay_capacity = 400;
  s.overlap = false;
  const auto mvp = make_algorithm("mvp");
  const std::map<std::string, int64_t> numbers = {
      {"batch_size", 8}, {"horizon", 2}, {"candidates", 2}, {"actor_width", 16}, {"critic_width", 16},
      {"actor_layers", 1}, {"critic_layers", 1}};
  for (const Setting& setting : mvp->settings())
    if (const auto found = numbers.find(setting.key); found != numbers.end())
      *std::get<int64_t*>(setting.value) = found->second;
  const auto run = [&](std::vector<int64_t> stops) {   // -> the last checkpoint
    stops.push_back(0);                                // to the end
    for (size_t i = 0; i < stops.size(); ++i) {
      const auto agent = mvp->make_agent(2, 1, 3);
      Line line, evaluation_line;
      Training training(s, *agent, {&line}, {&evaluation_line}, &data);
      Recorder recorder;
      recorder.stop_at = stops[i], recorder.training = &training, recorder.path = folder.file("mvp");
      if (i > 0) training.load(SafetensorsFile(recorder.path));
      training.run(recorder);
    }
    std::ifstream file(folder.file("mvp"), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string whole = run({});
  for (const int64_t stop : {11, 12, 13}) CHECK(run({stop}) == whole);
  CHECK(run({11, 12, 13}) == whole);
}
