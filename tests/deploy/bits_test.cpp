// Protects that an exported policy decides as the engine does: to the bit wherever there is a fused multiply-add, on
// every instruction set of this machine. MEANDER_OBSERVATIONS in the environment: so many for each, instead of a few.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>

#include "policies.h"
#include <meander/app/exported_policy.h>
#include <meander/core/arena.h>
#include <meander/kernels/device.h>

using namespace meander;
using namespace meander::testing;

namespace {

int64_t observations_asked() {
  const char* const text = std::getenv("MEANDER_OBSERVATIONS");
  return text ? std::atoll(text) : MEANDER_FEW_CASES ? 10 : 60;
}

// The best of the engine's candidates for these random numbers, and its value.
struct Decision {
  std::vector<float> action;
  float q = 0;
};
Decision engine(Policy& policy, const std::vector<float>& state, const meander_noise& name, int64_t candidates) {
  const ArenaScope scope;
  const PolicyDescription& about = policy.description();
  const Tensor s = view(state.data(), 1, about.observations);
  Tensor chosen;
  Decision decision;
  if (std::holds_alternative<PolicyDescription::Gaussian>(about.actor)) {
    chosen = policy.sample(s, {});
  } else {
    const Tensor noise = empty(candidates, about.numbers());
    kernels::current().philox_normal({name.seed, name.purpose, name.step}, nullptr, noise.size(), noise.f32());
    const Choice choice = policy.best_candidate(s, noise);
    chosen = choice.chosen;
    if (choice.q) decision.q = choice.q.f32()[choice.best.as<int32_t>()[0]];
  }
  decision.action.assign(chosen.f32(), chosen.f32() + chosen.size());
  return decision;
}

struct Case {
  std::string algorithm;
  std::map<std::string, double> settings;
};
const std::map<std::string, double> as_people_run = {
    {"actor_width", 256}, {"critic_width", 256}, {"width", 256}, {"actor_layers", 3}, {"critic_layers", 3},
    {"layers", 3}, {"candidates", 10}};

}  // namespace

TEST_CASE("every algorithm's policy decides with the engine's bits") {
  for (const std::string& name : algorithm_names()) {
    for (const auto& settings : {std::map<std::string, double>{}, as_people_run}) {
      const bool large = !settings.empty();
      CAPTURE(name);
      CAPTURE(large);
      const Made made = make(name, 3, settings);
      shake_all(made.learner);
      const PolicyDescription& about = made.agent->policy();
      const ActingRecord acting = acting_of(about, large);
      Opened opened(blob_of(about, large));
      REQUIRE(opened.status == MEANDER_OK);
      Policy policy(about);
      Stream random(11, Purpose::test, 0);
      std::vector<float> observation(static_cast<size_t>(about.observations)), seen(observation.size()), action;
      const uint32_t widest = opened.policy.isa;
      float worst = 0;
      for (int64_t i = 0; i < observations_asked(); ++i) {
        for (size_t j = 0; j < observation.size(); ++j) {
          observation[j] = static_cast<float>(random.normal());
          seen[j] = large ? (observation[j] - acting.mean[j]) / acting.deviation[j] : observation[j];
        }
        const meander_noise noise = {random.bits(), random.bits(), MEANDER_EVALUATE};
        const uint32_t candidates = i % 3 == 2 ? 1 : static_cast<uint32_t>(about.act_candidates);
        const Decision expected = engine(policy, seen, noise, candidates);
        for (opened.policy.isa = 0; opened.policy.isa <= widest; ++opened.policy.isa) {
          const std::string isa = meander_isa(&opened.policy);
          const bool exact = isa.find("no fused") == std::string::npos;
          if (!exact && candidates > 1) continue;   // another candidate may come out best
          CAPTURE(isa);
          CAPTURE(i);
          float q = 0;
          REQUIRE(opened.act(observation, noise, candidates, action, candidates > 1 ? &q : nullptr) == MEANDER_OK);
          if (exact) {
            REQUIRE(action == expected.action);
            REQUIRE(q == expected.q);
          } else {
            for (size_t j = 0; j < action.size(); ++j) worst = std::max(worst, std::fabs(action[j] - expected.action[j]));
          }
        }
      }
      // Without fma each of some 256 products of a sum is rounded once more, by 6e-8 of sums near 1.
      CHECK(worst < 1e-5f);
      if (std::getenv("MEANDER_OBSERVATIONS")) MESSAGE(name, std::string(large ? ", 256 wide" : ", small"), ": without fma ", worst);
    }
  }
}

TEST_CASE("float16 weights are what the blob's own examples were made with, and near float32") {
  for (const std::string& name : algorithm_names()) {
    CAPTURE(name);
    const Made made = make(name, 3, as_people_run);
    const PolicyDescription& about = made.agent->policy();
    float error = 0;
    const auto blob = policy_blob(about, acting_of(about, false),
                                  {.weights = deploy::Weights::float16, .candidates = about.act_candidates}, &error);
    const auto whole = blob_of(about);
    const Opened opened(blob);
    REQUIRE(opened.status == MEANDER_OK);
    CHECK(meander_policy_test(&opened.policy, opened.workspace.get(), opened.workspace.size(), nullptr) == MEANDER_OK);
    CHECK(blob.size() < 0.65 * static_cast<double>(whole.size()));
    // Weights are off by 2^-12 of themselves at most; sums of 256 such, of random signs, by some 1e-3 after 3 layers.
    CHECK(error > 0);
    CHECK(error < 5e-3);
    // The nearest float16: half a unit of its last place away at most, of 2^-14 below that.
    const auto& header = *reinterpret_cast<const deploy::Header*>(opened.blob.get());
    const auto& layer = reinterpret_cast<const deploy::Network*>(opened.blob.get() + header.network[0])->layer[1];
    const auto* const halves = reinterpret_cast<const uint16_t*>(opened.blob.get() + layer.weight);
    const NetworkPart part = actor_part(about);
    float furthest = 0;
    for (int64_t i = 0; i < part.rows(1); ++i)
      for (int64_t j = 0; j < 16; ++j) {
        const float weight = part.weight(1)[i * part.stride(1) + j];
        const auto half = halves[i * 16 + j];
        const float value = std::ldexp(static_cast<float>(half & 0x3ff) + (half & 0x7c00 ? 1024.0f : 0.0f),
                                       std::max(half >> 10 & 31, 1) - 25) * (half & 0x8000 ? -1.0f : 1.0f);
        furthest = std::max(furthest, std::fabs(value - weight) / std::max(std::fabs(weight), 0x1p-14f));
      }
    CHECK(furthest <= 0x1p-11f);
    CHECK(furthest > 0x1p-13f);
    MESSAGE(name, ": float16 moves a candidate by ", error, " at most");
  }
}

TEST_CASE("the examples in a blob see a damaged weight") {
  const Made made = make("mfpo", 3);
  const Opened opened(blob_of(made.agent->policy()));
  float difference = 1;
  REQUIRE(meander_policy_test(&opened.policy, opened.workspace.get(), opened.workspace.size(), &difference) == MEANDER_OK);
  CHECK(difference == 0);
  const auto& header = *reinterpret_cast<const deploy::Header*>(opened.blob.get());
  const auto& actor = *reinterpret_cast<const deploy::Network*>(opened.blob.get() + header.network[0]);
  opened.blob.get()[actor.layer[1].weight + 2] ^= 0x40;
  CHECK(meander_policy_test(&opened.policy, opened.workspace.get(), opened.workspace.size(), &difference) ==
        MEANDER_TEST_FAILED);
  CHECK(difference > 0);
  meander_policy other;
  CHECK(meander_policy_open(&other, opened.blob.get(), opened.blob.size(), 1) == MEANDER_WRONG_CHECKSUM);
  CHECK(meander_policy_open(&other, opened.blob.get(), opened.blob.size(), 0) == MEANDER_OK);
}
