#include <meander/app/device.h>

#include <meander/algos/device_agent.h>
#include <meander/kernels/device.h>
#include <meander/kernels/error.h>

namespace meander {

const kernels::DeviceKernels& find_device(const std::string& name) {
  using kernels::Device;
  for (const auto& [known, device] : {std::pair("cpu", Device::cpu), std::pair("cuda", Device::cuda),
                                      std::pair("cuda-emulated", Device::cuda_emulated)}) {
    if (name != known) continue;
    const char* why;
    if (const kernels::DeviceKernels* found = kernels::device_kernels(device, &why)) return *found;
    throw Error(message("--device ", name, ": ", why));
  }
  throw Error(message("--device ", name, ": unknown device, expected cpu, cuda or cuda-emulated"));
}

std::unique_ptr<Agent> make_agent(const AlgorithmSettings& algorithm, const std::string& device, int observations,
                                  int actions, uint64_t seed) {
  const auto make = [&] { return algorithm.make_agent(observations, actions, seed); };
  const kernels::DeviceKernels& where = find_device(device);
  if (&where == &kernels::current()) return make();
  return std::make_unique<DeviceAgent>(where, make);
}

}  // namespace meander
