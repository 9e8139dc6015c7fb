// The implementation of meander_policy_cuda.h, over kernels/cuda/candidates.cu. Compiled with MEANDER_DEVICE, the namespace
// of the kernels: the GPU's, or the emulator's for tests.
#include <meander/deploy/meander_policy_cuda.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include <meander/deploy/format.h>
#include <meander/kernels/cuda/devices.h>
#include <meander/kernels/device.h>
#include <meander/kernels/error.h>

namespace meander::deploy {
namespace {

using kernels::DeviceKernels;
using kernels::MlpShape;

thread_local std::string reason;

const Header& header_of(const meander_policy& policy) { return *static_cast<const Header*>(policy.blob); }
template <class T>
const T* at(const meander_policy& policy, uint32_t offset) {
  return reinterpret_cast<const T*>(static_cast<const uint8_t*>(policy.blob) + offset);
}
const Network& network_of(const meander_policy& policy, int which) {
  return *at<Network>(policy, header_of(policy).network[which]);
}

float from_float16(uint16_t half) {
  const float magnitude = __builtin_bit_cast(float, (half & 0x7fffu) << 13) * 0x1p112f;
  return half & 0x8000u ? -magnitude : magnitude;
}

// A matrix [rows, columns] of the blob, which stores it by panels, row by row to `to`.
void unpack(const meander_policy& policy, uint32_t offset, uint32_t rows, uint32_t columns, float* to) {
  const bool half = header_of(policy).weights == static_cast<uint32_t>(Weights::float16);
  for (uint32_t i = 0; i < rows; ++i)
    for (uint32_t j = 0; j < columns; ++j) {
      const size_t from = (size_t{j / panel} * rows + i) * panel + j % panel;
      *to++ = half ? from_float16(at<uint16_t>(policy, offset)[from]) : at<float>(policy, offset)[from];
    }
}

// A network as the kernel wants it: its shape, and all parameters in one piece.
struct Unpacked {
  MlpShape shape;
  std::vector<float> params;

  // The first layer's rows: the network's own inputs, then the observation's, or the other way round (critics).
  Unpacked(const meander_policy& policy, int which, bool state_first) {
    const Header& header = header_of(policy);
    const Network& network = network_of(policy, which);
    shape.layers = static_cast<int>(network.layers);
    shape.activation = static_cast<kernels::Activation>(network.activation);
    shape.norm = static_cast<kernels::Norm>(network.norm);
    shape.norm_eps = network.norm_eps;
    shape.width[0] = network.own_inputs + header.observations;
    const auto take = [&](size_t n) {
      const size_t begin = params.size();
      params.resize(begin + (n + 3) / 4 * 4);
      return static_cast<int64_t>(begin);
    };
    const auto row = [&](uint32_t offset, uint32_t n) {
      const int64_t begin = take(n);
      std::copy_n(at<float>(policy, offset), n, params.begin() + begin);
      return begin;
    };
    for (int l = 0; l < shape.layers; ++l) {
      const Layer& layer = network.layer[l];
      const uint32_t out = layer.outputs;
      shape.width[l + 1] = out;
      shape.weight[l] = take(static_cast<size_t>(shape.width[l]) * out);
      float* to = params.data() + shape.weight[l];
      if (l == 0) {
        float* const own = to + (state_first ? size_t{header.observations} * out : 0);
        float* const state = to + (state_first ? 0 : size_t{network.own_inputs} * out);
        unpack(policy, layer.weight, network.own_inputs, out, own);
        unpack(policy, network.state_weight, header.observations, out, state);
      } else {
        unpack(policy, layer.weight, static_cast<uint32_t>(shape.width[l]), out, to);
      }
      shape.bias[l] = row(layer.bias, out);
      if (l + 1 == shape.layers || shape.norm == kernels::Norm::none) continue;
      shape.scale[l] = row(layer.scale, out);
      shape.shift[l] = row(layer.shift, out);
    }
  }
};

bool all_finite(const float* x, size_t n) {
  return std::all_of(x, x + n, [](float one) { return std::isfinite(one); });
}

}  // namespace
}  // namespace meander::deploy

using namespace meander::deploy;
using meander::kernels::CandidatesArguments;
using meander::kernels::DeviceKernels;

struct meander_policy_cuda {
  using Memory = std::unique_ptr<float, void (*)(void*)>;

  meander_policy policy;
  const DeviceKernels& device;
  uint32_t most;
  bool broken = false;
  meander::kernels::MlpShape actor, critic;
  Memory actor_params, critic_params[2], times, atoms, workspace;
  Memory shared;          // with the host: the observation, the decision, the candidates' values
  CandidatesArguments arguments{};

  meander_policy_cuda(const meander_policy& opened, const DeviceKernels& on, uint32_t up_to)
      : policy(opened), device(on), most(up_to),
        actor_params(nullptr, on.deallocate), critic_params{{nullptr, on.deallocate}, {nullptr, on.deallocate}},
        times(nullptr, on.deallocate), atoms(nullptr, on.deallocate), workspace(nullptr, on.deallocate),
        shared(nullptr, on.deallocate_host) {
    const Header& header = header_of(policy);
    const auto kind = static_cast<Actor>(header.actor);
    const Unpacked own(policy, 0, false);
    actor = own.shape;
    actor_params = up(own.params);
    CandidatesArguments& c = arguments;
    c.observations = header.observations;
    c.actions = numbers();
    c.flow = &actor;
    c.flow_params = actor_params.get();
    c.steps = header.steps;
    c.direct = kind != Actor::flow;
    c.drawn = kind != Actor::mean;
    c.squash = static_cast<Bound>(header.bound) == Bound::tanh;
    if (kind == Actor::flow) {  // rows of the blob are padded
      const auto width = static_cast<uint32_t>(actor.width[1]);
      std::vector<float> rows;
      for (uint32_t t = 0; t < header.steps; ++t) {
        const float* const row = at<float>(policy, header.times) + size_t{t} * padded(width);
        rows.insert(rows.end(), row, row + width);
      }
      times = up(rows);
      c.times = times.get();
    }
    if (policy.has_critics) {
      for (int i = 0; i < 2; ++i) {
        const Unpacked one(policy, 1 + i, true);
        critic = one.shape;
        critic_params[i] = up(one.params);
        c.critic_params[i] = critic_params[i].get();
      }
      if (header.atoms) {
        const float* const values = at<float>(policy, header.atoms);
        atoms = up(std::vector<float>(values, values + header.atom_count));
        c.atoms = atoms.get();
      }
      c.smaller = static_cast<Choice>(header.choice) == Choice::smaller;
    }
    shared.reset(static_cast<float*>(
        device.allocate_host((size_t{header.observations} + numbers() + most) * sizeof(float))));
    c.state = shared.get();
    c.action = shared.get() + header.observations;
    int64_t floats = 0;
    for (uint32_t k = 1; k <= most; ++k)
      for (const bool scored : {false, true}) {
        if (scored ? !policy.has_critics : k > 1) continue;
        prepare(k, scored);
        const int64_t here = device.candidates_workspace(c);
        if (here == 0) throw meander::Error("the GPU has no room for these networks in one launch");
        floats = std::max(floats, here);
      }
    workspace.reset(static_cast<float*>(device.allocate(static_cast<size_t>(floats) * sizeof(float))));
    device.synchronise();
  }
  meander_policy_cuda(const meander_policy_cuda&) = delete;

  uint32_t numbers() const { return policy.chunk * policy.actions; }

  void prepare(uint32_t candidates, bool scored) {
    arguments.candidates = candidates;
    arguments.critic = scored ? &critic : nullptr;
    arguments.q = scored ? shared.get() + policy.observations + numbers() : nullptr;
  }

  meander_status act(const float* observation, meander_noise noise, uint32_t candidates, float* action, float* q) {
    if (candidates == 0) candidates = policy.candidates;
    if (!observation || candidates > most || (q && !policy.has_critics)) return MEANDER_BAD_ARGUMENT;
    if (!all_finite(observation, policy.observations)) return MEANDER_BAD_OBSERVATION;
    const Header& header = header_of(policy);
    const float *const mean = at<float>(policy, header.mean), *const deviation = at<float>(policy, header.deviation);
    for (uint32_t i = 0; i < policy.observations; ++i)
      shared.get()[i] = header.mean ? (observation[i] - mean[i]) / deviation[i] : observation[i];
    arguments.noise = {noise.seed, noise.purpose, noise.step};
    prepare(candidates, candidates > 1 || q);
    device.best_candidate(arguments, workspace.get());
    device.synchronise();
    const float value = arguments.q ? *std::max_element(arguments.q, arguments.q + candidates) : 0.0f;
    if (!all_finite(arguments.action, numbers()) || !std::isfinite(value)) return MEANDER_BAD_RESULT;
    std::copy_n(arguments.action, numbers(), action);
    if (q) *q = value;
    return MEANDER_OK;
  }

 private:
  Memory up(const std::vector<float>& x) const {
    Memory there(static_cast<float*>(device.allocate(std::max<size_t>(x.size(), 1) * sizeof(float))), device.deallocate);
    device.copy(there.get(), x.data(), x.size() * sizeof(float));
    device.synchronise();   // x goes
    return there;
  }
};

meander_status meander_policy_cuda_open(meander_policy_cuda** gpu, const meander_policy* policy, uint32_t most) {
  reason.clear();
  if (!gpu) return MEANDER_BAD_ARGUMENT;
  *gpu = nullptr;
  if (!policy || !policy->blob) return MEANDER_BAD_ARGUMENT;
  if (most == 0) most = policy->candidates;
  if (most > (policy->has_critics ? most_candidates : 1)) return MEANDER_BAD_ARGUMENT;
  try {
    const char* why = "";
    const DeviceKernels* const device = meander::kernels::MEANDER_DEVICE::find(&why);
    if (!device) {
      reason = why;
      return MEANDER_NO_DEVICE;
    }
    *gpu = new meander_policy_cuda(*policy, *device, most);
    return MEANDER_OK;
  } catch (const meander::Error& error) {
    reason = error.what();
    return MEANDER_NO_DEVICE;
  } catch (const std::exception& error) {
    reason = error.what();
    return MEANDER_DEVICE_ERROR;
  }
}

void meander_policy_cuda_close(meander_policy_cuda* gpu) { delete gpu; }

meander_status meander_policy_cuda_act(meander_policy_cuda* gpu, const float* observation, meander_noise noise,
                                       uint32_t candidates, float* action, float* q) {
  reason.clear();
  if (!gpu || !action) return MEANDER_BAD_ARGUMENT;
  meander_status status = MEANDER_DEVICE_ERROR;
  try {
    if (!gpu->broken) status = gpu->act(observation, noise, candidates, action, q);
    else reason = "the device failed before";
  } catch (const std::exception& error) {
    reason = error.what();
    gpu->broken = true;
  }
  if (status == MEANDER_OK) return status;
  const meander_policy& policy = gpu->policy;
  for (uint32_t i = 0; i < gpu->numbers(); ++i) action[i] = policy.fallback ? policy.fallback[i % policy.actions] : 0.0f;
  if (q) *q = 0;
  return status;
}

meander_status meander_policy_cuda_test(meander_policy_cuda* gpu, float* difference) {
  if (difference) *difference = 0;
  if (!gpu) return MEANDER_BAD_ARGUMENT;
  const meander_policy& policy = gpu->policy;
  const Header& header = header_of(policy);
  const uint32_t numbers = gpu->numbers(), size = test_size(header.observations, numbers);
  std::vector<float> action(numbers);
  float largest = 0;
  bool passed = true;
  for (uint32_t i = 0; i < header.test_count; ++i) {
    const Test& test = *at<Test>(policy, header.tests + i * size);
    if (test.candidates > gpu->most) continue;
    const float* const observation = reinterpret_cast<const float*>(&test + 1);
    const float *const expected = observation + header.observations, expected_q = expected[numbers];
    const bool scored = test.candidates > 1;
    float q = 0, off = 0;
    const meander_status status = meander_policy_cuda_act(gpu, observation, {test.seed, test.step, test.purpose},
                                                          test.candidates, action.data(), scored ? &q : nullptr);
    if (status != MEANDER_OK) return status;
    for (uint32_t j = 0; j < numbers; ++j) off = std::max(off, std::fabs(action[j] - expected[j]));
    const bool tie = scored && std::fabs(q - expected_q) <= 1e-5f * (1 + std::fabs(expected_q));
    if (off > 1e-5f && !tie) passed = false;
    if (off <= 1e-5f || !tie) largest = std::max(largest, off);
  }
  if (difference) *difference = largest;
  return passed ? MEANDER_OK : MEANDER_TEST_FAILED;
}

const char* meander_policy_cuda_reason(void) { return reason.c_str(); }
