// Protects MFPO as a whole: the same bits for the same seed on any number of threads, nothing allocated after the first
// update, every switch, refusal of numbers that are not finite, files, and that it learns a known answer.
#include "algos/mfpo.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "../folder.h"
#include "allocations.h"
#include "core/error.h"
#include "kernels/threads.h"

using namespace meander;

namespace {

constexpr int S = 5, A = 2;

MfpoSettings small() {
  MfpoSettings s;
  s.batch_size = 32;
  s.actor_width = s.critic_width = 24;
  s.actor_layers = s.critic_layers = 2;
  s.policy_proposals = 4;
  s.gaussian_proposals = 6;
  s.atoms = 21;
  s.v_min = -5;
  s.v_max = 5;
  s.alpha = 0.1;
  return s;
}

struct Data {
  std::vector<float> numbers;
  Batch batch;
};

// Random transitions; `reward` of the action if given.
Data make_data(int64_t rows, uint64_t seed, float (*reward)(const float* action) = nullptr) {
  Data d;
  const int64_t width = S + A + 1 + 1 + S;
  d.numbers.resize(static_cast<size_t>(rows * width));
  Stream random(seed, Purpose::test, 0);
  float* p = d.numbers.data();
  const auto take = [&](int64_t cols) {
    const Tensor t = view(p, rows, cols);
    p += rows * cols;
    return t;
  };
  d.batch = {take(S), take(A), take(1), take(1), take(S)};
  for (float& x : d.numbers) x = static_cast<float>(random.normal());
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < A; ++j) d.batch.action.f32()[i * A + j] = static_cast<float>(random.uniform(-1, 1));
    d.batch.mask.f32()[i] = reward ? 0 : float(i % 7 != 0);
    if (reward) d.batch.reward.f32()[i] = reward(d.batch.action.f32() + i * A);
  }
  return d;
}

std::vector<float> all_parameters(Mfpo& agent) {
  std::vector<float> all;
  for (const Network& n : agent.networks())
    for (const Buffer* b : {&n.trained->params, &n.trained->m, &n.trained->v})
      all.insert(all.end(), b->data(), b->data() + b->size());
  return all;
}

std::vector<float> train(Mfpo& agent, int updates, std::vector<float>* metrics = nullptr, uint64_t first = 1) {
  std::vector<float> m(agent.metric_names().size());
  for (int u = 0; u < updates; ++u)
    agent.update(make_data(32, 100 + first + uint64_t(u)).batch, first + uint64_t(u), m);
  if (metrics) *metrics = m;
  return all_parameters(agent);
}

float metric(Mfpo& agent, const std::vector<float>& metrics, const std::string& name) {
  for (size_t i = 0; i < metrics.size(); ++i)
    if (agent.metric_names()[i] == name) return metrics[i];
  FAIL("no metric " << name);
  return 0;
}

}  // namespace

TEST_CASE("the seed decides every bit, threads none") {
  const int before = kernels::threads();
  std::vector<std::vector<float>> results;
  for (int threads : {1, 2, 3}) {
    kernels::set_threads(threads);
    Mfpo agent(S, A, small(), 7);
    results.push_back(train(agent, 4));
  }
  kernels::set_threads(before);
  CHECK(results[0] == results[1]);
  CHECK(results[0] == results[2]);
  Mfpo other(S, A, small(), 8);
  CHECK(train(other, 4) != results[0]);
}

TEST_CASE("after the first update nothing is allocated, and acting allocates nothing") {
  Mfpo agent(S, A, small(), 1);
  const Data data = make_data(32, 1);
  std::vector<float> metrics(agent.metric_names().size()), state(S, 0.3f), action(A);
  agent.update(data.batch, 1, metrics);
  agent.explore(state, 1, action);
  agent.act(state, 1, action);
  const size_t top = Arena::current().top(), high = Arena::current().high_water();
  const auto count = allocations();
  for (uint64_t u = 2; u < 6; ++u) {
    agent.update(data.batch, u, metrics);
    agent.explore(state, u, action);
    agent.act(state, u, action);
  }
  CHECK(allocations() == count);
  CHECK(Arena::current().top() == top);
  CHECK(Arena::current().high_water() == high);
}

TEST_CASE("switches do what they say") {
  std::vector<float> metrics;
  const auto run = [&](auto change) {
    MfpoSettings s = small();
    change(s);
    auto agent = std::make_unique<Mfpo>(S, A, s, 3);
    train(*agent, 3, &metrics);
    for (float x : metrics) CHECK(std::isfinite(x));
    return agent;
  };
  const auto unchanged = run([](MfpoSettings&) {});
  CHECK(metric(*unchanged, metrics, "lambda") > 0);
  CHECK(metric(*unchanged, metrics, "lambda") < 1);
  CHECK(metric(*unchanged, metrics, "ess1") <= 4.001f);
  CHECK(metric(*unchanged, metrics, "ess2") <= 6.001f);
  CHECK(unchanged->alpha() != doctest::Approx(0.1).epsilon(1e-6));

  const auto policy = run([](MfpoSettings& s) { s.proposals = "policy"; });
  CHECK(metric(*policy, metrics, "lambda") == 1);
  CHECK(metric(*policy, metrics, "ess2") == 0);
  const auto gaussian = run([](MfpoSettings& s) { s.proposals = "gaussian"; });
  CHECK(metric(*gaussian, metrics, "lambda") == 0);
  const auto fixed = run([](MfpoSettings& s) { s.tune_alpha = false; });
  CHECK(fixed->alpha() == doctest::Approx(0.1));
  const auto floor = run([](MfpoSettings& s) { s.alpha_floor = 0.5; });
  CHECK(floor->alpha() == 0.5);
  const auto no_divergence = run([](MfpoSettings& s) { s.divergence_network = false; });
  CHECK(metric(*no_divergence, metrics, "divergence_loss") == 0);
  const auto one_step = run([](MfpoSettings& s) { s.sampling_steps = 1; });
  const auto five_steps = run([](MfpoSettings& s) { s.sampling_steps = 5; });
  CHECK(all_parameters(*one_step) != all_parameters(*five_steps));
  const auto mean_of_critics = run([](MfpoSettings& s) { s.clipped_double_q = false; });
  CHECK(all_parameters(*mean_of_critics) != all_parameters(*unchanged));
  run([](MfpoSettings& s) { s.share_equal_times = 1; });
  run([](MfpoSettings& s) { s.share_equal_times = 0; });
  run([](MfpoSettings& s) { s.probes = 1; });

  // bfloat16 rounds two factors by 2^-9 each; three updates with it stay that near.
  train(*std::make_unique<Mfpo>(S, A, small(), 3), 3, &metrics);
  const float q_mean = metric(*unchanged, metrics, "q_mean"), entropy = metric(*unchanged, metrics, "entropy");
  const auto scoring = run([](MfpoSettings& s) { s.bfloat16 = "scoring"; });
  CHECK(metric(*scoring, metrics, "q_mean") == doctest::Approx(q_mean).epsilon(0.02));
  const auto proposals = run([](MfpoSettings& s) { s.bfloat16 = "proposals"; });
  CHECK(metric(*proposals, metrics, "entropy") == doctest::Approx(entropy).epsilon(0.02));
  CHECK(all_parameters(*scoring) != all_parameters(*unchanged));
  CHECK(all_parameters(*proposals) != all_parameters(*scoring));
}

// Protects what acting keeps between updates: an update and a load make it stale.
TEST_CASE("acting uses the current parameters") {
  for (bool bfloat16 : {false, true}) {
    MfpoSettings s = small();
    s.bfloat16_acting = bfloat16;
    Mfpo agent(S, A, s, 3);
    std::vector<float> state(S, 0.3f);
    const auto actions = [&](Mfpo& of) {
      std::vector<float> a(2 * A);
      of.explore(state, 5, std::span(a).first(A));
      of.act(state, 5, std::span(a).last(A));
      return a;
    };
    const auto at_first = actions(agent);
    CHECK(actions(agent) == at_first);
    train(agent, 3);
    const auto later = actions(agent);
    CHECK(later != at_first);
    SafetensorsWriter writer;
    const Folder folder;
    agent.save(writer);
    writer.write(folder.file("agent.safetensors"));
    Mfpo other(S, A, s, 3);
    CHECK(actions(other) == at_first);
    other.load(SafetensorsFile(folder.file("agent.safetensors")));
    CHECK(actions(other) == later);
    if (!bfloat16) continue;
    MfpoSettings exact = small();
    Mfpo reference(S, A, exact, 3);
    std::vector<float> a(A);
    reference.explore(state, 5, a);
    for (int j = 0; j < A; ++j) CHECK(at_first[j] == doctest::Approx(a[j]).epsilon(0.03));
    CHECK(!std::equal(a.begin(), a.end(), at_first.begin()));
  }
}

TEST_CASE("rewards beyond the support are counted at the right end") {
  Mfpo agent(S, A, small(), 3);
  std::vector<float> metrics(agent.metric_names().size());
  Data data = make_data(32, 1, [](const float*) { return -7.0f; });
  agent.update(data.batch, 1, metrics);
  CHECK(metric(agent, metrics, "clipped_low") == doctest::Approx(1));
  CHECK(metric(agent, metrics, "clipped_high") == 0);
}

TEST_CASE("a number that is not finite stops the update and leaves finite parameters") {
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Mfpo agent(S, A, small(), 3);
    train(agent, 2);
    const std::vector<float> before = all_parameters(agent);
    std::vector<float> metrics(agent.metric_names().size());
    Data data = make_data(32, 9);
    data.batch.state.f32()[17] = bad;
    CHECK_THROWS_AS(agent.update(data.batch, 3, metrics), Failure);
    CHECK(all_parameters(agent) == before);
  }
}

TEST_CASE("files: training goes on with the same bits, another size is refused") {
  const Folder folder;
  const std::string path = folder.file("agent.safetensors");
  Mfpo agent(S, A, small(), 3);
  train(agent, 3);
  SafetensorsWriter writer;
  agent.save(writer);
  writer.write(path);
  const std::vector<float> whole = train(agent, 2, nullptr, 4);
  const SafetensorsFile file(path);
  Mfpo again(S, A, small(), 3);
  again.load(file);
  CHECK(train(again, 2, nullptr, 4) == whole);
  MfpoSettings wider = small();
  wider.actor_width = 25;
  Mfpo other(S, A, wider, 3);
  CHECK_THROWS_AS(other.load(file), Error);
}

// One-step episodes with reward 1 - 2 |a - a*|^2: the policy must find a* = (0.5, -0.25), and the critic its value.
TEST_CASE("a known best action is found") {
  MfpoSettings s = small();
  s.learning_rate = 3e-3;
  s.target_rate = 0.05;
  s.batch_size = 64;
  Mfpo agent(S, A, s, 1);
  std::vector<float> metrics(agent.metric_names().size());
  for (uint64_t u = 1; u <= 400; ++u)
    agent.update(make_data(64, u, [](const float* a) {
                   const float x = a[0] - 0.5f, y = a[1] + 0.25f;
                   return 1 - 2 * (x * x + y * y);
                 }).batch, u, metrics);
  double far = 0;
  std::vector<float> state(S), action(A);
  Stream random(5, Purpose::test, 1);
  for (uint64_t i = 0; i < 20; ++i) {
    for (float& x : state) x = static_cast<float>(random.normal());
    agent.act(state, i, action);
    far += std::hypot(action[0] - 0.5, action[1] + 0.25) / 20;
  }
  // Uniform actions are .85 away on average; a policy that has learnt nothing of Q stays near there.
  CHECK(far < 0.2);
}
