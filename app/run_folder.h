#pragma once

#include <optional>
#include <string>
#include <vector>

#include <meander/app/claim.h>
#include <meander/app/run_config.h>

namespace meander {

// The files of a run folder by name.
namespace run_file {
inline constexpr const char* config = "config.toml";
inline constexpr const char* metrics = "metrics.csv";
inline constexpr const char* log = "log.txt";
inline constexpr const char* last = "last.safetensors";            // everything, to resume
inline constexpr const char* best = "best.safetensors";            // the agent of the best evaluation
inline constexpr const char* last_good = "last_good.safetensors";  // the last finite agent, if an update failed
inline constexpr const char* events = "events.out.tfevents.";      // a time, and .meander
}  // namespace run_file

// Whether an event file of this name may be a run's own: other programs name theirs otherwise.
bool is_events_name(const std::string& name);

// Creates the folder of a new run, runs/ALGO-ENV-sSEED-TIME if `out` is empty. Throws Error if it cannot be created or
// written to, or holds anything but what a start that was cut short leaves.
std::string create_run_folder(const std::string& out, const RunConfig& config);

// The same, claimed. What a start made goes again at the end, unless it is to be kept.
class NewRunFolder {
 public:
  NewRunFolder(const std::string& out, const RunConfig& config);
  ~NewRunFolder();
  NewRunFolder(const NewRunFolder&) = delete;
  NewRunFolder& operator=(const NewRunFolder&) = delete;

  const std::string& path() const { return path_; }
  Claim& claim() { return *claim_; }
  void keep(bool kept) { kept_ = kept; }

 private:
  std::vector<std::string> made_;  // folders, the outer ones first
  std::string path_;
  std::optional<Claim> claim_;
  bool kept_ = false;
};

// Whether a folder can become a run: it is not there, empty, or a start that was cut short left it. Throws Failure if
// that cannot be told.
bool is_unused(const std::string& folder);

}  // namespace meander
