// Protects the memory of the host that a device reads by itself: as much is asked for as is used, no more and no less.
#include <cstddef>
#include <map>

#include <meander/algos/device_agent.h>
#include <meander/algos/settings.h>
#include "../algos/batches.h"
#include "devices.h"

using namespace meander;
using namespace meander::testing;

namespace {

// A device that notes what it is asked for, and whether it reads beyond it.
class Watched {
 public:
  static const kernels::DeviceKernels& of(const kernels::DeviceKernels& device) {
    static kernels::DeviceKernels watched;
    watched = device, real() = &device;
    asked().clear(), beyond() = 0;
    watched.allocate_host = [](size_t bytes) {
      void* const at = real()->allocate_host(bytes);
      asked()[static_cast<std::byte*>(at)] = bytes;
      return at;
    };
    watched.copy = [](void* to, const void* from, size_t bytes) {
      const auto* const begin = static_cast<const std::byte*>(from);
      for (const auto& [at, size] : asked())
        if (begin >= at && begin < at + size && begin + bytes > at + size) ++beyond();
      if (beyond() == 0) real()->copy(to, from, bytes);
    };
    return watched;
  }
  static std::map<const std::byte*, size_t>& asked() {
    static std::map<const std::byte*, size_t> all;
    return all;
  }
  static int& beyond() {
    static int count;
    return count;
  }

 private:
  static const kernels::DeviceKernels*& real() {
    static const kernels::DeviceKernels* device;
    return device;
  }
};

}  // namespace

TEST_CASE("acting in one launch asks for a state and a chunk") {
  for (const kernels::DeviceKernels* device : devices()) {
    const kernels::DeviceKernels& watched = Watched::of(*device);
    const kernels::DeviceScope scope(watched);
    const auto settings = make_algorithm("mvp");
    for (const auto& [key, text] : SettingTexts{{"actor_width", "16"}, {"critic_width", "16"}, {"actor_layers", "1"},
                                                {"critic_layers", "1"}, {"horizon", "2"}, {"candidates", "2"}})
      set(*settings, key, text);
    const auto agent = settings->make_agent(3, 2, 1);
    const float state[] = {0.1f, -0.5f, 0.9f};
    float chunk[4];
    agent->act(state, 1, chunk);
    REQUIRE(Watched::asked().size() == 1);
    CHECK(Watched::asked().begin()->second == (3 + 4) * sizeof(float));
  }
}

// Two environments' rows, more than can be sent at once: 1,024 and three each. Rows of 6 numbers lie 8 apart.
TEST_CASE("a mirrored replay sends its rows through as much memory as it asked for") {
  for (const kernels::DeviceKernels* device : devices()) {
    const kernels::DeviceKernels& watched = Watched::of(*device);
    const kernels::DeviceScope scope(watched);
    Replay large(2, 2'000, 3, 2), tiny(1, 20, 3, 2);
    const float observation[] = {1, 2, 3}, action[] = {0.5f, -0.5f};
    for (int e : {0, 1}) {
      large.begin_episode(e, observation);
      for (int i = 0; i < 900; ++i) large.append(e, action, 1, false, false, observation);
    }
    ReplayMirror mirror(watched, large);
    CHECK(Watched::asked().begin()->second == (1'024 + 6) * 8 * sizeof(float));
    mirror.refresh();
    watched.synchronise();
    CHECK(Watched::beyond() == 0);
    Watched::asked().clear();
    const ReplayMirror small(watched, tiny);
    CHECK(Watched::asked().begin()->second == static_cast<size_t>(tiny.rows()) * 8 * sizeof(float));
  }
}
