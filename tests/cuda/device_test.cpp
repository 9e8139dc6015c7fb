#include "on_device.h"

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

}  // namespace meander
