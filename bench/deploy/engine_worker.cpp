// peer_deploy_engine: a checkpoint of MFPO by the whole library, on one thread.
#include <meander/algos/mfpo.h>
#include <meander/core/safetensors.h>
#include <meander/kernels/threads.h>
#include <meander/nn/policy.h>

#include <memory>

#include "bench/deploy/worker.h"

using namespace meander;
using namespace meander::bench;

int main(int argc, char** argv) {
  return serve(argc, argv, [](const Inputs& inputs, const std::string& path, const std::string&) {
    kernels::set_threads(1);
    MfpoSettings settings;
    settings.clipped_double_q = false;  // as HalfCheetah's
    auto agent = std::make_shared<Mfpo>(inputs.observations, inputs.numbers, settings, 1);
    agent->load(SafetensorsFile(path));
    auto policy = std::make_shared<Policy>(agent->policy());
    policy->act_by_best_of(inputs.candidates);
    policy->prepare();
    Subject subject{.about = {{"version", MEANDER_VERSION}},
                    .observation = std::vector<float>(static_cast<size_t>(inputs.observations)),
                    .action = std::vector<float>(static_cast<size_t>(inputs.numbers))};
    subject.act = [agent, policy, state = std::span<const float>(subject.observation),
                   action = std::span<float>(subject.action)](uint64_t row) {
      policy->act(state, input_seed, row, action);
    };
    return subject;
  });
}
