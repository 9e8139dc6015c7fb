#pragma once

#include <memory>
#include <string>

#include <meander/algos/settings.h>
#include <meander/kernels/device.h>

namespace meander {

// Throws Error unless a device may be called so: cpu, cuda, cuda:1 (the second GPU that this process may see; cuda is the
// first), cuda-emulated.
void expect_device_name(const std::string& name);
// Throws Error for another name, and where there is no such device, saying why. A process has one GPU: the first asked for.
const kernels::DeviceKernels& find_device(const std::string& name);

// An agent whose numbers live there.
std::unique_ptr<Agent> make_agent(const AlgorithmSettings& algorithm, const std::string& device, int observations,
                                  int actions, uint64_t seed);

}  // namespace meander
