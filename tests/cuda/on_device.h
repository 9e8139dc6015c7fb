#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include <meander/kernels/cuda/devices.h>
#include <meander/kernels/device.h>

// What the tests of device kernels share. Each case runs on the emulator and, where there is one, on a GPU:
//     TEST_CASE("...") { on_each_device([](OnDevice& d) { ... d.k.sum_row(n, m, d.up(x), y.data); ... }); }
namespace meander {

using kernels::Device;

struct OnDevice {
  const kernels::DeviceKernels& k;

  template <class T>
  struct Array {
    T* data;
    size_t size;
    operator T*() const { return data; }
  };

  // Numbers of the host in memory of the device, which is given back with this object.
  template <class T>
  Array<T> up(const std::vector<T>& x) {
    const Array<T> a = room<T>(x.size());
    k.copy(a.data, x.data(), x.size() * sizeof(T));
    return a;
  }
  // Memory that holds no number: every float is a NaN.
  template <class T = float>
  Array<T> room(size_t n) {
    T* p = static_cast<T*>(k.allocate((n ? n : 1) * sizeof(T)));
    k.fill(p, 0xff, (n ? n : 1) * sizeof(T));
    taken.push_back(p);
    return {p, n};
  }
  template <class T>
  std::vector<T> down(Array<T> a) {
    std::vector<T> x(a.size);
    k.copy(x.data(), a.data, a.size * sizeof(T));
    k.synchronise();
    return x;
  }
  ~OnDevice() {
    for (void* p : taken) k.deallocate(p);
  }
  std::vector<void*> taken;
};

template <class F>
void on_each_device(F f) {
  kernels::register_device(kernels::Device::cuda_emulated, kernels::emulated::find);
  for (const Device which : {Device::cuda_emulated, Device::cuda}) {
    const kernels::DeviceKernels* k = kernels::device_kernels(which);
    if (!k) continue;
    CAPTURE(k->name);
    OnDevice d{*k, {}};
    f(d);
  }
}

// The largest |x - expected|, in units of max(floor, |expected|); infinity where one is NaN and the other is not.
inline double largest_error(const std::vector<float>& x, const std::vector<float>& expected, double floor = 1) {
  REQUIRE(x.size() == expected.size());
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double a = x[i], b = expected[i];
    if (std::isnan(a) && std::isnan(b)) continue;
    if (a == b) continue;
    const double e = std::abs(a - b) / std::max(floor, std::abs(b));
    worst = std::isfinite(e) ? std::max(worst, e) : INFINITY;
  }
  return worst;
}

}  // namespace meander
