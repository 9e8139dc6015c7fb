// Protects at which state MFPO's target critics are asked: the next one, with the next action.
#include <meander/algos/mfpo.h>

#include <map>

#include "batches.h"

using namespace meander;
using namespace meander::testing;

TEST_CASE("MFPO: the target's logits are the target critics' at the next state and action") {
  ArenaScope scope;
  MfpoSettings s;
  s.batch_size = 8, s.policy_proposals = s.gaussian_proposals = 2, s.atoms = 11;
  s.actor_width = s.critic_width = 16, s.actor_layers = s.critic_layers = 2;
  s.learning_rate = 1e-12;   // no parameter moves, so that the targets are there afterwards
  Mfpo agent(5, 2, s, 3);
  std::map<std::string, std::vector<float>> seen;
  agent.observe([&](const Quantity& q) { seen[q.name].assign(q.value.f32(), q.value.f32() + q.value.size()); });
  const Data data = random_batch(8, 5, 2, 1);
  update(agent, data.batch);
  const Tensor action = view(seen.at("next/action").data(), 8, 2);
  const TwinCritic same_shape(5, 2, {16, 2}, {s.atoms, s.v_min, s.v_max}, TwinCritic::Chosen::smaller, 3);
  for (const char* which : {"1", "2"}) {
    const Tensor logits = view(seen.at(std::string("target/logits") + which).data(), 8, s.atoms);
    const Value inputs = concat_columns(twofold(data.batch.next_state), twofold(action));
    // Networks of two hidden layers in float32 keep about six digits.
    CHECK(difference(logits, mlp_composite(same_shape.trunk(),
                                           in_double(agent, std::string("target") + which + "/"), inputs)) < 1e-5);
  }
}
