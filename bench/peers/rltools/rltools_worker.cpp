// RLtools as a peer: its SAC on Pendulum with the settings of its own benchmark (batch 100, three layers of 64, 10,000
// steps, products by OpenBLAS). One call is one training run, seeds 0, 1, 2, ... Compiled by ../peers.py against the
// user's checkout.
#include <rl_tools/operations/cpu_mux.h>
#include <rl_tools/nn/optimizers/adam/instance/operations_generic.h>
#include <rl_tools/nn/operations_cpu_mux.h>
#include <rl_tools/nn/layers/sample_and_squash/operations_generic.h>
#include <rl_tools/rl/environments/pendulum/operations_cpu.h>
#include <rl_tools/nn_models/mlp/operations_generic.h>
#include <rl_tools/nn_models/sequential/operations_generic.h>
#include <rl_tools/nn_models/random_uniform/operations_generic.h>
#include <rl_tools/nn/optimizers/adam/operations_generic.h>
#include <rl_tools/rl/algorithms/sac/loop/core/config.h>
#include <rl_tools/rl/algorithms/sac/loop/core/operations_generic.h>

#include <chrono>
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <memory>
#include <string>

// The library declares what it needs of OpenBLAS itself, which the header would contradict.
extern "C" void openblas_set_num_threads(int);
extern "C" char* openblas_get_corename();

namespace {

namespace rlt = rl_tools;
using Device = rlt::devices::DEVICE_FACTORY<>;
using Index = Device::index_t;
using Generator = Device::SPEC::RANDOM::ENGINE<>;
using Numbers =
    rlt::numeric_types::Policy<float, rlt::numeric_types::UseCase<rlt::numeric_types::categories::Accumulator, float>>;
namespace pendulum = rlt::rl::environments::pendulum;
using Environment =
    rlt::rl::environments::Pendulum<pendulum::Specification<float, Index, pendulum::DefaultParameters<float>>>;
namespace sac = rlt::rl::algorithms::sac;

// The library finds its settings by these names.
struct Settings : sac::loop::core::DefaultParameters<Numbers, Index, Environment> {
  struct SAC_PARAMETERS : sac::DefaultParameters<Numbers, Index, Environment::ACTION_DIM> {
    static constexpr Index ACTOR_BATCH_SIZE = 100, CRITIC_BATCH_SIZE = 100;
  };
  static constexpr Index STEP_LIMIT = 10000;
  static constexpr Index ACTOR_NUM_LAYERS = 3, ACTOR_HIDDEN_DIM = 64;
  static constexpr Index CRITIC_NUM_LAYERS = 3, CRITIC_HIDDEN_DIM = 64;
};
using Config = sac::loop::core::Config<Numbers, Index, Generator, Environment, Settings>;
using Training = Config::State<Config>;

// Microseconds of one training run.
double train(Index seed) {
  const auto start = std::chrono::steady_clock::now();
  Device device;
  const auto training = std::make_unique<Training>();
  rlt::malloc(device, *training);
  rlt::init(device, *training, seed);
  while (!rlt::step(device, *training)) {
  }
  rlt::free(device, *training);
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main() {
  const std::string answer_to = "\"sac_pendulum/10000\"", count = "\"samples\":";
  openblas_set_num_threads(1);
  const bool chosen = std::getenv("OPENBLAS_CORETYPE") != nullptr;
  std::cout << std::setprecision(12) << "{\"who\": \"" << (chosen ? "rltools_skylakex" : "rltools")
            << "\", \"version\": \"RLtools of the checkout\", \"note\": \"OpenBLAS core " << openblas_get_corename()
            << "\", \"cases\": [" << answer_to << "]}" << std::endl;
  Index seed = 0;
  for (std::string line; std::getline(std::cin, line);) {
    if (line.find(answer_to) == std::string::npos || line.find(count) == std::string::npos) {
      std::cout << "{\"error\": \"one case only: sac_pendulum/10000\"}" << std::endl;
      continue;
    }
    const int samples = std::atoi(line.c_str() + line.find(count) + count.size());
    std::cout << "{\"us\": [";
    for (int i = 0; i < samples; ++i) std::cout << (i ? ", " : "") << train(seed++);
    std::cout << "]}" << std::endl;
  }
}
