#include "emulator.h"
#include "on_device.h"
#include <meander/kernels/error.h>

// Memory and graphs of a device.
namespace meander {

TEST_CASE("what is copied to a device and back is the same") {
  on_each_device([](OnDevice& d) {
    const std::vector<float> x{1, 2, 3};
    const auto a = d.up(x), b = d.room(3);
    d.k.copy(b, a, 3 * sizeof(float));
    CHECK(d.down(b) == x);
    d.k.fill(b, 0, 2 * sizeof(float));
    CHECK(d.down(b) == std::vector<float>{0, 0, 3});
  });
}

// A GPU would stop, or read what lies there: the emulator says which call was given such memory.
TEST_CASE("memory that a device does not reach is refused") {
  const char* why;
  const kernels::DeviceKernels& k = *kernels::emulated::find(&why);
  std::vector<float> host(64);
  float* const there = static_cast<float*>(k.allocate(64 * sizeof(float)));
  float* const shared = static_cast<float*>(k.allocate_host(64 * sizeof(float)));
  const auto refused = [](auto call) { return kernels::emulated::report_of(call); };
  CHECK(refused([&] { k.fill_value(64, 1.0f, there); }) == "");
  CHECK(refused([&] { k.square_root(64, there, shared); }) == "");
  CHECK(refused([&] { k.square_root(64, there, host.data()); }).find("square_root") != std::string::npos);
  CHECK(refused([&] { k.square_root(64, host.data(), there); }).find("256 bytes") != std::string::npos);
  CHECK(refused([&] { k.fill_value(65, 1.0f, there); }).find("fill_value") != std::string::npos);
  CHECK(refused([&] { k.square_root(65, there, shared); }) != "");
  k.begin_capture(true);   // likewise while work is recorded
  CHECK(refused([&] { k.square_root(64, host.data(), there); }) != "");
  k.fill_value(64, 1.0f, there);
  k.destroy_graph(k.end_capture());
  k.deallocate(there);
  CHECK(refused([&] { k.fill_value(64, 1.0f, there); }) != "");
  k.deallocate_host(shared);
  CHECK(refused([&] { k.fill_value(64, 1.0f, shared); }) != "");
}

}  // namespace meander
