#pragma once

namespace meander::kernels::emulated {

// While one lives the device works: its memory is open, and other threads of the host wait for their turn.
class DeviceAtWork {
 public:
  DeviceAtWork();
  ~DeviceAtWork();
  DeviceAtWork(const DeviceAtWork&) = delete;
  DeviceAtWork& operator=(const DeviceAtWork&) = delete;
};

}  // namespace meander::kernels::emulated
