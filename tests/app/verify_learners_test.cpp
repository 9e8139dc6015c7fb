// Protects that SOM, MVP, QC, FQL and SAC are those of the specifications: an independent implementation in float64
// recorded whole updates (tests/data/README.md). And the verification itself: a changed recording fails where it was
// changed.
#include <meander/app/verify_reference.h>

#include <doctest/doctest.h>

#include <algorithm>

#include "../folder.h"
#include "recordings.h"
#include <meander/kernels/error.h>

using namespace meander;
using namespace meander::testing;

namespace {

std::string recording(const std::string& name) { return MEANDER_TEST_DATA "/" + name + ".safetensors"; }

std::vector<std::string> failing_when_changed(const std::string& name, const std::string& tensor) {
  const Folder folder;
  return failing(verify_learner(SafetensorsFile(changed(folder, recording(name), tensor, 1e-3))));
}

}  // namespace

TEST_CASE("recorded updates are met, every quantity on the way") {
  for (const char* name : {"som_default", "som_state_exact_tanh", "som_none_policy_start", "som_all_exact_logit",
                           "mvp_split_best", "mvp_separate_best", "mvp_split_replay_plain", "mvp_separate_lambda0",
                           "mvp_horizon1", "qc_chunk", "qc_bfn_5step", "fql_horizon1", "fql_chunk",
                           "fql_normalised", "fql_5step", "flow_map_offline", "flow_map_online",
                           "flow_map_radius", "flow_map_phases", "sac_tuned", "sac_fixed"}) {
    CAPTURE(name);
    const SafetensorsFile file(recording(name));
    CHECK(is_learner_reference(file));
    CHECK(!is_update_reference(file));
    const std::vector<CheckLine> lines = verify_learner(file);
    CHECK(lines.size() > 50);
    CHECK(failing(lines).empty());
  }
}

TEST_CASE("a changed recording of a learner fails where it is") {
  CHECK(failing_when_changed("som_default", "u2/out/score") == std::vector<std::string>{"u2/score"});
  CHECK(failing_when_changed("mvp_split_best", "u1/out/du_dt") == std::vector<std::string>{"u1/du_dt"});
  CHECK(failing_when_changed("qc_chunk", "u2/grad/critic2/params/dense_1/kernel") ==
        std::vector<std::string>{"u2/grad/critic2"});
  CHECK(failing_when_changed("fql_chunk", "u1/out/flow_action") == std::vector<std::string>{"u1/flow_action"});
  CHECK(failing_when_changed("sac_tuned", "explore/log_prob") == std::vector<std::string>{"explore/log_prob"});
  // Another draw changes what is made of it, and what comes after.
  const auto draw = failing_when_changed("som_default", "u1/noise/score_noise");
  REQUIRE(!draw.empty());
  CHECK(std::ranges::count(draw, "u1/proposals") == 1);
  CHECK(std::ranges::count(draw, "u1/critic_target") == 0);
}

TEST_CASE("a recording of a learner with a part missing is refused by name") {
  const Folder folder;
  const auto refusal = [&](const std::string& name, const std::string& tensor) -> std::string {
    try {
      verify_learner(SafetensorsFile(changed(folder, recording(name), tensor, 0, true)));
      return "";
    } catch (const Error& error) {
      return error.what();
    }
  };
  for (const char* tensor : {"u1/noise/interval_a", "u2/noise/next_exploration_noise", "u1/batch/mask",
                             "init/target2/params/dense_0/bias"}) {
    CAPTURE(tensor);
    CHECK(refusal("som_default", tensor).find(tensor) != std::string::npos);
  }
}
