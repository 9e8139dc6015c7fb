#include "algos/device_agent.h"

#include <map>

#include "algos/settings.h"
#include "batches.h"
#include "kernels/cuda/devices.h"
#include "kernels/cuda/emulator/executor.h"

using namespace meander;
using namespace meander::testing;

namespace {

constexpr int S = 3, A = 2, rows = 8;

// A very small one of each: the emulator's threads take their time.
std::unique_ptr<AlgorithmSettings> small(const std::string& name) {
  auto settings = make_algorithm(name);
  const std::map<std::string, double> numbers = {
      {"batch_size", rows}, {"actor_width", 16}, {"critic_width", 16}, {"width", 16}, {"actor_layers", 1},
      {"critic_layers", 1}, {"layers", 1}, {"policy_proposals", 2}, {"gaussian_proposals", 2}, {"atoms", 11},
      {"v_min", -5}, {"v_max", 5}, {"proposals", 3}, {"candidates", 2}, {"evaluation_candidates", 2}, {"horizon", 2},
      {"noise_interval", 2}, {"sampling_steps", 2}};
  for (const Setting& s : settings->settings()) {
    if (!numbers.count(s.key)) continue;
    if (auto* const* integer = std::get_if<int64_t*>(&s.value)) **integer = static_cast<int64_t>(numbers.at(s.key));
    if (auto* const* real = std::get_if<double*>(&s.value)) **real = numbers.at(s.key);
  }
  return settings;
}

// The emulator and, where there is one, a GPU.
std::vector<const kernels::DeviceKernels*> devices() {
  kernels::emulated::register_emulator();
#if defined(MEANDER_WITH_CUDA)
  kernels::cuda::register_cuda();
#endif
  std::vector<const kernels::DeviceKernels*> all;
  for (const auto device : {kernels::Device::cuda_emulated, kernels::Device::cuda})
    if (const auto* found = kernels::device_kernels(device)) all.push_back(found);
  return all;
}

}  // namespace

// Protects that an algorithm on a device is the same algorithm: five updates (the first done at once, the second
// recorded, the rest repeated from the record) with acting between them, against the CPU. Adam's first steps have the
// size of the learning rate whatever the gradient, so what rounding decides is bounded by them, 5 x 3e-4 and a little.
TEST_CASE("an agent on a device learns and acts as on the CPU") {
  for (const kernels::DeviceKernels* device : devices())
    for (const std::string name : {"mfpo", "som", "mvp", "sac", "qc"}) {
      CAPTURE(device->name);
      CAPTURE(name);
      const auto settings = small(name);
      const auto make = [&] { return settings->make_agent(S, A, 3); };
      const auto here = make();
      DeviceAgent there(*device, make);
      const std::vector<float> state{0.1f, -0.5f, 0.9f};
      for (uint64_t u = 1; u <= 5; ++u) {
        const Data data = random_batch(rows, S, A, 100 + u, here->chunk(), here->return_steps());
        const std::vector<float> mine = update(*here, data.batch, u), theirs = update(there, data.batch, u);
        for (size_t i = 0; i < mine.size(); ++i) {
          CAPTURE(here->metric_names()[i]);
          CAPTURE(u);
          CHECK(theirs[i] == doctest::Approx(mine[i]).epsilon(2e-3));
        }
        std::vector<float> a(static_cast<size_t>(here->chunk() * A)), b = a;
        here->explore(state, u, a), there.explore(state, u, b);
        for (size_t i = 0; i < a.size(); ++i) CHECK(b[i] == doctest::Approx(a[i]).epsilon(1e-2));
        here->act(state, u, a), there.act(state, u, b);
        for (size_t i = 0; i < a.size(); ++i) CHECK(b[i] == doctest::Approx(a[i]).epsilon(1e-2));
      }
    }
}

// Protects the time of an action: from the state to the chosen action it is one launch, also right after an update, which
// leaves behind what acting needs of the parameters.
TEST_CASE("acting on a device is one launch") {
  kernels::emulated::register_emulator();
  const kernels::DeviceKernels& device = *kernels::device_kernels(kernels::Device::cuda_emulated);
  for (const std::string name : {"mfpo", "som", "mvp", "qc"}) {
    CAPTURE(name);
    const auto settings = small(name);
    DeviceAgent agent(device, [&] { return settings->make_agent(S, A, 3); });
    std::vector<float> metrics(agent.metric_names().size()), action(static_cast<size_t>(agent.chunk() * A));
    const std::vector<float> state{0.1f, -0.5f, 0.9f};
    for (uint64_t u = 1; u <= 4; ++u) {
      agent.update(random_batch(rows, S, A, u, agent.chunk(), agent.return_steps()).batch, u, metrics);
      const uint64_t before = kernels::emulated::launches();
      agent.act(state, u, action);
      CHECK(kernels::emulated::launches() == before + 1);
    }
  }
}

// Protects the last good parameters: a loss that is not finite is named, and nothing has learnt from it.
TEST_CASE("a loss that is not finite stops a device's update") {
  const auto settings = small("mfpo");
  const auto make = [&] { return settings->make_agent(S, A, 3); };
  for (const kernels::DeviceKernels* device : devices()) {
    DeviceAgent agent(*device, make);
    std::vector<float> metrics(agent.metric_names().size()), before(A), after(A);
    const std::vector<float> state{0.1f, -0.5f, 0.9f};
    for (uint64_t u = 1; u <= 4; ++u) {
      Data data = random_batch(rows, S, A, u);
      if (u != 2 && u != 4) {   // done at once, and repeated
        agent.update(data.batch, u, metrics);
        continue;
      }
      data.batch.state.f32()[3] = NAN;
      agent.explore(state, 1, before);
      CHECK_THROWS_WITH_AS(agent.update(data.batch, u, metrics), doctest::Contains("critic_loss1"), Failure);
      agent.explore(state, 1, after);
      CHECK(before == after);
    }
  }
}
