#include "bench/device_cases.h"

#include <meander/kernels/device.h>
#include <meander/kernels/error.h>

namespace meander::bench {

using kernels::DeviceKernels;
using kernels::DeviceScope;

const DeviceKernels& find_device(const std::string& name) {
  if (name != "cuda" && name != "cuda-emulated")
    throw Error(message("no device '", name, "': there are cuda and cuda-emulated"));
  const char* why = nullptr;
  const auto which = name == "cuda" ? kernels::Device::cuda : kernels::Device::cuda_emulated;
  const DeviceKernels* const device = kernels::device_kernels(which, &why);
  if (!device) throw Error(message("no device to measure: ", why));
  return *device;
}

// The case keeps its memory until the last copy of the graph's launch is gone.
Case recorded(const DeviceKernels& device, const Case& one) {
  // As many as the other libraries' graphs hold (peers/torch_worker.py); the emulator has no starts to hide.
  const int calls = device.name == std::string("cuda") ? 20 : 1;
  one.run();  // makes what is made once
  device.synchronise();
  device.begin_capture(false);
  for (int i = 0; i < calls; ++i) one.run();
  const std::shared_ptr<void> graph(device.end_capture(),
                                    [&device, keep = one.run](void* p) { device.destroy_graph(p); });
  return {.flop = one.flop,
          .bytes = one.bytes,
          .calls = calls,
          .run = [&device, graph] { device.launch_graph(graph.get()); },
          .wait = [&device] { device.synchronise(); },
          .check = one.check,
          .results = one.results};
}

Case make_device_case(const DeviceKernels& device, const std::string& name, const Data& data,
                      kernels::Precision precision) {
  const DeviceScope scope(device);
  const Case one = make_case(name, data, precision);
  return name.starts_with("mfpo_update/") || name.starts_with("act/") ? one : recorded(device, one);
}

}  // namespace meander::bench
