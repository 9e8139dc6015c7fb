// Exported policies on a device, deploy/meander_policy_cuda.h, against the same blob on the processor.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <utility>

#include "../deploy/policies.h"
#include <meander/deploy/meander_policy_cuda.h>
#include <meander/kernels/cuda/emulator/executor.h>

using namespace meander;
using namespace meander::testing;

namespace {

struct OnGpu {
  explicit OnGpu(const meander_policy& policy, uint32_t most = 0)
      : status(meander_policy_cuda_open(&gpu, &policy, most)) {}
  OnGpu(const OnGpu&) = delete;
  ~OnGpu() { meander_policy_cuda_close(gpu); }
  meander_policy_cuda* gpu = nullptr;   // before the status, whose initialisation sets it
  meander_status status;
};

}  // namespace

// 1e-5: what meander_policy_cuda.h promises, and what a product that sums eight parts of k differs by. With several
// candidates the values tell whether the same was chosen: another one is right only where the two are worth the same.
TEST_CASE("exported policies decide on a device as on the processor") {
  for (const std::string& name : algorithm_names()) {
    CAPTURE(name);
    const Made made = make(name, 3, {});
    shake_all(made.learner);
    const PolicyDescription& about = made.agent->policy();
    for (const auto weights : {deploy::Weights::float32, deploy::Weights::float16}) {
      Opened cpu(blob_of(about, true, weights));
      REQUIRE(cpu.status == MEANDER_OK);
      OnGpu on(cpu.policy);
      REQUIRE_MESSAGE(on.status == MEANDER_OK, meander_policy_cuda_reason());
      float difference = 1;
      CHECK(meander_policy_cuda_test(on.gpu, &difference) == MEANDER_OK);
      CHECK(difference < 1e-5f);
      Stream random(4, Purpose::test, 0);
      std::vector<float> observation(static_cast<size_t>(about.observations)), expected, action;
      for (int i = 0; i < 6; ++i) {
        for (float& x : observation) x = static_cast<float>(random.normal());
        const meander_noise noise{random.bits(), random.bits(), MEANDER_EVALUATE};
        const uint32_t candidates = i % 2 ? 0 : 1;
        const bool scored = cpu.policy.has_critics && (i % 3 == 0);
        float q = 0, expected_q = 0;
        REQUIRE(cpu.act(observation, noise, candidates, expected, scored ? &expected_q : nullptr) == MEANDER_OK);
        action.assign(expected.size(), 7);
        REQUIRE(meander_policy_cuda_act(on.gpu, observation.data(), noise, candidates, action.data(),
                                        scored ? &q : nullptr) == MEANDER_OK);
        for (size_t j = 0; j < action.size(); ++j) CHECK(std::fabs(action[j] - expected[j]) < 1e-5f);
        CHECK(std::fabs(q - expected_q) < 1e-5f * (1 + std::fabs(expected_q)));
      }
    }
  }
}

TEST_CASE("an exported policy on a device: bad input") {
  const Made made = make("mfpo", 3, {});
  Opened cpu(blob_of(made.agent->policy()));
  OnGpu on(cpu.policy, 2);
  REQUIRE(on.status == MEANDER_OK);
  std::vector<float> observation(cpu.policy.observations), action(cpu.policy.actions, 7.0f);
  const meander_noise noise{1, 2, MEANDER_EVALUATE};
  const auto act = [&](uint32_t candidates) {
    return meander_policy_cuda_act(on.gpu, observation.data(), noise, candidates, action.data(), nullptr);
  };
  CHECK(act(2) == MEANDER_OK);
  CHECK(act(3) == MEANDER_BAD_ARGUMENT);
  for (float x : action) CHECK(x == 0);
  const std::vector<float> safe(cpu.policy.actions, 0.25f);
  observation[0] = std::numeric_limits<float>::quiet_NaN();
  CHECK(act(1) == MEANDER_BAD_OBSERVATION);
  CHECK(meander_policy_cuda_act(nullptr, observation.data(), noise, 1, action.data(), nullptr) == MEANDER_BAD_ARGUMENT);
  CHECK(meander_policy_cuda_test(nullptr, nullptr) == MEANDER_BAD_ARGUMENT);
  meander_policy_cuda* none = nullptr;
  CHECK(meander_policy_cuda_open(&none, nullptr, 1) == MEANDER_BAD_ARGUMENT);
  CHECK(meander_policy_cuda_open(nullptr, &cpu.policy, 1) == MEANDER_BAD_ARGUMENT);
  CHECK(meander_policy_cuda_open(&none, &cpu.policy, 100000) == MEANDER_BAD_ARGUMENT);
  meander_policy_cuda_close(nullptr);

  cpu.policy.fallback = safe.data();
  OnGpu with_fallback(cpu.policy);
  CHECK(meander_policy_cuda_act(with_fallback.gpu, observation.data(), noise, 1, action.data(), nullptr) ==
        MEANDER_BAD_OBSERVATION);
  CHECK(action == safe);

  // A GPU without room says so when it is asked, not at the first decision.
  const auto before = std::exchange(kernels::emulated::emulated_room, {1, 227 * 1024});
  CHECK(meander_policy_cuda_open(&none, &cpu.policy, 1) == MEANDER_NO_DEVICE);
  CHECK(std::string(meander_policy_cuda_reason()).find("no room") != std::string::npos);
  kernels::emulated::emulated_room = before;
}

TEST_CASE("acting with an exported policy on a device allocates nothing there") {
  const Made made = make("mvp", 3, {});
  const Opened cpu(blob_of(made.agent->policy()));
  OnGpu on(cpu.policy);
  REQUIRE(on.status == MEANDER_OK);
  std::vector<float> observation(cpu.policy.observations), action(cpu.policy.actions * cpu.policy.chunk);
  kernels::emulated::start_capture();   // in which memory and waiting are refused, and a launch is recorded
  CHECK(meander_policy_cuda_act(on.gpu, observation.data(), {1, 2, 3}, 1, action.data(), nullptr) == MEANDER_DEVICE_ERROR);
  CHECK(std::string(meander_policy_cuda_reason()).find("synchronise") != std::string::npos);   // the wait, nothing before
  CHECK_THROWS(kernels::emulated::destroy(kernels::emulated::finish_capture()));
}
