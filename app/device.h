#pragma once

#include <memory>
#include <string>

#include <meander/algos/settings.h>
#include <meander/kernels/device.h>

namespace meander {

// cpu, cuda, cuda-emulated; throws Error for another name, and where there is no such device, saying why.
const kernels::DeviceKernels& find_device(const std::string& name);

// An agent whose numbers live there.
std::unique_ptr<Agent> make_agent(const AlgorithmSettings& algorithm, const std::string& device, int observations,
                                  int actions, uint64_t seed);

}  // namespace meander
