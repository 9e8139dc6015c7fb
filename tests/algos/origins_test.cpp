// Protects which networks a quantity of an update comes from, in every algorithm: one network after the other is moved,
// and what changes must be what is computed from it. Online critics that stand for targets show, and the reverse. And
// each target follows its own critic.
#include <doctest/doctest.h>

#include <set>

#include "small_agents.h"

using namespace meander;
using namespace meander::testing;

namespace {

struct Origin {
  std::string quantity;
  std::set<std::string> networks;
};
using Settings = std::map<std::string, double>;

// Rates so small that no parameter moves on the way: then what a later phase sees is what was there at first.
void check_origins(const std::string& algorithm, const std::vector<Origin>& origins, Settings settings = {}) {
  CAPTURE(algorithm);
  settings["learning_rate"] = 1e-12, settings["policy_interval"] = 1;
  const Made made = make(algorithm, 3, settings);
  const Data data = data_for(*made.agent, 4);
  const Seen base(made.learner);
  update(*made.agent, data.batch);
  for (const Network& n : made.learner.networks()) {
    CAPTURE(std::string(n.name));
    const Made moved = make(algorithm, 3, settings);
    shake(moved.learner, n.name, 5);
    const Seen seen(moved.learner);
    update(*moved.agent, data.batch);
    for (const Origin& o : origins) {
      CAPTURE(o.quantity);
      const double change = difference(seen[o.quantity], base[o.quantity]);
      if (o.networks.count(n.name)) CHECK(change > 1e-4);
      else CHECK(change < 1e-6);   // a few roundings
    }
  }
}

}  // namespace

TEST_CASE("MFPO: the target value is the target critics', proposals are scored by the online ones") {
  check_origins("mfpo", {
      {"next/action", {"actor/"}},
      {"next/log_prob", {"actor/", "divergence/"}},
      {"target/logits1", {"actor/", "target1/"}},
      {"target/logits2", {"actor/", "target2/"}},
      {"target/positions", {"actor/", "divergence/", "temperature/"}},
      {"target/distribution", {"actor/", "divergence/", "temperature/", "target1/", "target2/"}},
      {"critic1/outputs", {"critic1/"}},
      {"critic2/outputs", {"critic2/"}},
      {"proposals/policy", {"actor/"}},
      {"proposals/log_prob", {"actor/", "divergence/"}},
      {"proposals/q1", {"actor/", "critic1/"}},
      {"proposals/q2", {"actor/", "critic2/"}},
      {"proposals/q", {"actor/", "critic1/", "critic2/"}},
      {"weights/policy", {"actor/", "divergence/", "temperature/", "critic1/", "critic2/"}},
      {"weights/gaussian", {"actor/", "temperature/", "critic1/", "critic2/"}},
      {"velocity/mixed", {"actor/", "divergence/", "temperature/", "critic1/", "critic2/"}},
      {"divergence/velocity", {"actor/"}},
      {"divergence/estimate", {"actor/"}},
      {"divergence/mean_field", {"actor/", "divergence/"}},
      {"divergence/target", {"actor/", "divergence/"}},
      {"temperature/entropy", {"actor/", "divergence/"}},
      {"temperature/alpha", {"temperature/"}},
      {"temperature/loss", {"actor/", "divergence/", "temperature/"}},
  });
}

TEST_CASE("SAC: the target value is the target critics', the actor climbs the online ones") {
  check_origins("sac", {
      {"next/action", {"actor/"}},
      {"next/log_prob", {"actor/"}},
      {"target/q1", {"actor/", "target1/"}},
      {"target/q2", {"actor/", "target2/"}},
      {"target/return", {"actor/", "temperature/", "target1/", "target2/"}},
      {"critic1/outputs", {"critic1/"}},
      {"critic2/outputs", {"critic2/"}},
      {"actor/log_prob", {"actor/"}},
      {"actor/q", {"actor/", "critic1/", "critic2/"}},
      {"actor/loss", {"actor/", "temperature/", "critic1/", "critic2/"}},
      {"temperature/entropy", {"actor/"}},
      {"temperature/alpha", {"temperature/"}},
      {"temperature/loss", {"actor/", "temperature/"}},
  }, {{"alpha", 0.3}});
}

// Of one candidate no critic chooses: then the value alone shows whose it is.
TEST_CASE("SOM: the target value is the target critics', choice and score are the online ones'") {
  check_origins("som", {
      {"next/action", {"actor/", "noise/"}},
      {"target/q1", {"actor/", "noise/", "target1/"}},
      {"target/q2", {"actor/", "noise/", "target2/"}},
      {"target/return", {"actor/", "noise/", "target1/", "target2/"}},
      {"critic1/outputs", {"critic1/"}},
      {"critic2/outputs", {"critic2/"}},
      {"proposals/q", {"critic1/", "critic2/"}},
      {"score", {"critic1/", "critic2/"}},
      {"velocity", {"critic1/", "critic2/"}},
      {"actor/loss", {"actor/", "critic1/", "critic2/"}},
      {"noise/deviation", {"noise/"}},
  }, {{"candidates", 1}, {"adaptive_weight", 0}});
  check_origins("som", {{"next/action", {"actor/", "noise/", "critic1/", "critic2/"}}}, {{"candidates", 8}});
}

TEST_CASE("MVP and QC: the target value is the target critics', the choice the online ones'") {
  for (const std::string algorithm : {"mvp", "qc"}) {
    check_origins(algorithm, {
        {"next/action", {"actor/"}},
        {"target/return", {"actor/", "target1/", "target2/"}},
        {"critic1/outputs", {"critic1/"}},
        {"critic2/outputs", {"critic2/"}},
        {"actor/loss", {"actor/"}},
    }, {{"candidates", 1}});
    check_origins(algorithm, {{"next/action", {"actor/", "critic1/", "critic2/"}}}, {{"candidates", 8}});
  }
  check_origins("mvp", {{"actor/action", {"actor/", "critic1/", "critic2/"}}}, {{"candidates", 8}});
}

TEST_CASE("each target starts as its own critic and follows that one by the rate") {
  constexpr double rate = 0.25;
  for (const std::string& name : algorithm_names()) {
    CAPTURE(name);
    const Made made = make(name, 3, {{"target_rate", rate}, {"learning_rate", 0.01}, {"policy_interval", 1}});
    Learner& learner = made.learner;
    CHECK(parameters(learner, "critic1/") != parameters(learner, "critic2/"));
    CHECK(parameters(learner, "target1/") == parameters(learner, "critic1/"));
    CHECK(parameters(learner, "target2/") == parameters(learner, "critic2/"));
    shake(learner, "target1/", 1), shake(learner, "target2/", 2);
    const std::vector<float> before[] = {parameters(learner, "target1/"), parameters(learner, "target2/")};
    update(*made.agent, data_for(*made.agent, 1).batch);
    for (const size_t i : {0u, 1u}) {
      const std::string number = i ? "2/" : "1/";
      const std::vector<float> critic = parameters(learner, "critic" + number);
      const std::vector<float> target = parameters(learner, "target" + number);
      double worst = 0;
      for (size_t j = 0; j < target.size(); ++j)
        worst = std::max(worst, std::abs(target[j] - ((1 - rate) * before[i][j] + rate * critic[j])));
      CHECK(worst < 1e-6);   // a few roundings of numbers around 1
    }
  }
}
