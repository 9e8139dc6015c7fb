// Protects the random numbers of every algorithm: no stream is drawn twice, whatever it is for and at whatever step,
// and the two ends of a flow's times are not one draw. A device table that passes calls on to the CPU notes the draws.
#include <doctest/doctest.h>

#include <set>
#include <tuple>

#include <meander/kernels/device.h>
#include "small_agents.h"

using namespace meander;
using namespace meander::testing;

namespace {

using kernels::RandomKey;

std::vector<RandomKey> drawn;

const kernels::DeviceKernels& watched() {
  static const kernels::DeviceKernels table = [] {
    kernels::DeviceKernels k = *kernels::device_kernels(kernels::Device::cpu);
    k.philox_uniform = [](const RandomKey& key, const uint64_t* step, int64_t n, float* out) {
      drawn.push_back(key), kernels::philox_uniform(key, step, n, out);
    };
    k.philox_normal = [](const RandomKey& key, const uint64_t* step, int64_t n, float* out) {
      drawn.push_back(key), kernels::philox_normal(key, step, n, out);
    };
    k.philox_draws = [](std::span<const kernels::DrawArguments> all, const uint64_t* step) {
      for (const kernels::DrawArguments& d : all) drawn.push_back(d.key);
      kernels::philox_draws(all, step);
    };
    return k;
  }();
  return table;
}

}  // namespace

TEST_CASE("no two draws of updates, exploration or evaluation are one random stream") {
  // Draws of an update of all networks; SAC evaluates by its mean.
  const struct {
    std::string algorithm;
    size_t update, explore, act;
  } cases[] = {{"mfpo", 10, 1, 1}, {"som", 6, 2, 1}, {"mvp", 5, 1, 1}, {"sac", 2, 1, 0}, {"qc", 3, 1, 1},
               {"fql", 4, 1, 1}, {"flow_map", 3, 1, 1}};
  CHECK(std::size(cases) == algorithm_names().size());
  const kernels::DeviceScope scope(watched());
  for (const auto& c : cases) {
    CAPTURE(c.algorithm);
    const Made made = make(c.algorithm, 7, {{"policy_interval", 2}});
    Agent& agent = *made.agent;
    const Data data = data_for(agent, 1);
    const std::vector<float> state(S, 0.3f);
    std::vector<float> chunk(static_cast<size_t>(agent.chunk() * A));
    std::set<std::tuple<uint32_t, uint64_t>> streams;
    const auto draws = [&](auto&& doing) {
      drawn.clear();
      doing();
      for (const RandomKey& key : drawn) {
        CAPTURE(key.purpose);
        CAPTURE(key.step);
        CHECK(key.seed == 7);
        CHECK_MESSAGE(streams.emplace(key.purpose, key.step).second, "drawn twice");
      }
      return drawn.size();
    };
    for (uint64_t step = 1; step <= 6; ++step) {
      const size_t of_update = draws([&] { update(agent, data.batch, step); });
      CHECK(of_update == (c.algorithm == "som" && step % 2 == 1 ? 2 : c.update));   // the critics alone
      CHECK(draws([&] { agent.explore(state, step, chunk); }) == c.explore);
      CHECK(draws([&] { agent.act(state, step, chunk); }) == c.act);
    }
  }
}

TEST_CASE("a policy's update for a given Q draws the numbers of its step") {
  const kernels::DeviceScope scope(watched());
  for (const char* name : {"mfpo", "som", "sac"}) {
    CAPTURE(name);
    const Made made = make(name, 7);
    ArenaScope arena;
    const Data data = data_for(*made.agent, 1);
    const ActionValue q = [](Value, Value action) { return sum_row(action); };
    drawn.clear();
    dynamic_cast<PolicyLearner&>(made.learner).improve_policy(q, data.batch.state, 5);
    CHECK(!drawn.empty());
    for (const RandomKey& key : drawn) CHECK(key.step == 5);
  }
}

// Ties of two draws have a chance of 2^-23 each.
TEST_CASE("the two ends of a mean flow's interval differ in the rows that are to learn it") {
  const struct {
    std::string algorithm, t, r;
    int64_t equal;   // rows with r = t, the first ones
  } cases[] = {{"mfpo", "flow/t", "flow/r", 3 * rows / 4},
               {"mfpo", "divergence/t", "divergence/r", 3 * rows / 4},
               {"som", "actor/t", "actor/r", rows / 4},
               {"mvp", "actor/t", "actor/r", rows / 2}};
  for (const auto& c : cases) {
    CAPTURE(c.algorithm);
    CAPTURE(c.t);
    const Made made = make(c.algorithm, 7, {{"policy_interval", 1}});
    const Seen seen(made.learner);
    update(*made.agent, data_for(*made.agent, 1).batch);
    const Tensor t = seen[c.t], r = seen[c.r];
    REQUIRE(t.rows == rows);
    double mean = 0;
    for (int64_t i = 0; i < rows; ++i) {
      const double from = r.as<double>()[i], to = t.as<double>()[i];
      CHECK(0 <= from);
      CHECK(to <= 1);
      CHECK((i < c.equal ? from == to : from < to));
      mean += (to - from) / double(rows - c.equal);
    }
    // Of two logit-normals t - r is .23 on average, of t and a uniform below it .25.
    CHECK(mean > 0.1);
  }
}
