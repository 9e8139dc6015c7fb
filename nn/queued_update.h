#pragma once

#include <cstdint>
#include <vector>

#include <meander/kernels/error.h>

namespace meander {

// What an update needs whose work is queued on a device and perhaps replayed: it can neither look at numbers on the way
// nor hold the step in its code. While one is current on a thread, random numbers and Adam read the step from the
// device's memory, a loss that is not finite raises a flag there, and from then on nothing learns.
struct QueuedUpdate {
  uint64_t step;                        // of this update, and
  const uint64_t* step_on_device;       // where the device finds it
  uint32_t* failed;                     // on the device: 0, or which of the losses was not finite, counted from 1
  bool recorded;                        // to be repeated for other steps
  std::vector<const char*> losses;      // in the order they are checked

  static QueuedUpdate*& current() {     // null: the CPU's updates look and throw at once
    thread_local QueuedUpdate* one = nullptr;
    return one;
  }
  static uint32_t* failed_flag() { return current() ? current()->failed : nullptr; }
  // Where the device finds `step`, if it is the update's own. Throws Failure if another one is to be recorded.
  static const uint64_t* place_of(uint64_t step) {
    if (!current()) return nullptr;
    if (current()->step == step) return current()->step_on_device;
    if (current()->recorded) throw Failure("a recorded update uses a step that is not its own");
    return nullptr;
  }
  // How often this thread has repeated a recorded update.
  static uint64_t& repeated() {
    thread_local uint64_t times = 0;
    return times;
  }
};

// Says of something computed from parameters, and kept, whether it is still what they give. What an update makes, its
// repetitions make again; anything else is outdated by one of these.
class Kept {
 public:
  bool current() const { return stamp_ == always || stamp_ == QueuedUpdate::repeated(); }
  void made() { stamp_ = QueuedUpdate::current() ? always : QueuedUpdate::repeated(); }
  void outdate() { stamp_ = never; }

 private:
  static constexpr uint64_t never = ~uint64_t{0}, always = never - 1;
  uint64_t stamp_ = never;
};

}  // namespace meander
