#pragma once

#include "bench/cases.h"
#include <meander/kernels/device.h>

namespace meander::bench {

// "cuda" or "cuda-emulated". Throws Error if it is not there.
const kernels::DeviceKernels& find_device(const std::string& name);

// A graph of several calls, so that starting them costs next to nothing: a run launches it. `one` is called once before.
Case recorded(const kernels::DeviceKernels&, const Case& one);

// One of portable_case_names() on another device than the CPU. An update or an action is a call that returns when its
// result is here, as a training loop has it: the batch comes from memory of the host and the metrics go back there, or
// the state and the action. All others are recorded.
Case make_device_case(const kernels::DeviceKernels&, const std::string& name, const Data&,
                      kernels::Precision = kernels::Precision::float32);

}  // namespace meander::bench
