#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include <meander/kernels/error.h>

namespace meander {

// Another process has taken over what this one was writing; nothing more may be written there.
struct ClaimLost : Failure {
  using Failure::Failure;
};

// Says which process writes to a folder or a file: a file PREFIX.N made by link(), which succeeds for one alone also on
// network disks; N counts the attempts to own what is claimed. It holds who the owner is and a counter that the owner
// raises every few seconds. A claim is stale if its process is gone, which can be told on the same machine, or if the
// counter has not changed for `patience` on the observer's own clock. Who takes over makes PREFIX.N+1, and then removes
// PREFIX.N: so an owner that was merely held up finds out before it replaces or extends a file (check).
class Claim {
 public:
  using Time = std::chrono::milliseconds;
  static constexpr Time usual_patience{30'000}, usual_beat{5'000};

  // Claims `what`, or takes it over from a stale owner; in the second case it may wait for `patience`, and says so.
  // Throws Error, naming the other one, if a process owns it that lives, and Failure if nothing can be written there.
  Claim(std::string what, std::string prefix, Time patience = usual_patience, Time beat = usual_beat);
  // Of a folder, with the claims in it; of a file, with the claims beside it.
  static std::string in(const std::string& folder) { return folder + "/claim"; }
  static std::string beside(const std::string& file) { return file + ".claim"; }
  ~Claim();  // gives it up
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;

  // Throws ClaimLost if another process has taken over.
  void check() const;
  int attempt() const { return attempt_; }

  // Whether a file in a claimed folder is a claim, or was to become one.
  static bool is_claim(const std::string& file_name) { return file_name.starts_with("claim."); }

 private:
  std::string file(int attempt) const { return prefix_ + "." + std::to_string(attempt); }
  int newest() const;
  bool stale(int attempt, Time patience) const;
  bool make(int attempt);
  std::string text() const;
  bool is_named(int attempt) const;
  void beat(Time interval);

  std::string what_, prefix_, owner_;
  int attempt_ = 0, fd_ = -1;
  uint64_t beats_ = 0;
  bool released_ = false;
  std::mutex mutex_;
  std::condition_variable release_;
  std::thread thread_;
};

}  // namespace meander
