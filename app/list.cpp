#include <fmt/format.h>

#include "app/verbs.h"
#include "core/error.h"
#include "envs/environments.h"

namespace meander {

namespace {

// "-1 to 1" where all actions share a range.
std::string range_text(const EnvironmentInfo& info) {
  for (int i = 1; i < info.actions; ++i)
    if (info.action_low[i] != info.action_low[0] || info.action_high[i] != info.action_high[0]) return "several";
  return fmt::format("{:g} to {:g}", info.action_low[0], info.action_high[0]);
}

const char* source(const std::string& name) {
  if (name.starts_with("dmc-")) return "dm_control 1.0.28";
  return "Gymnasium 1.2.3";
}

}  // namespace

int list() {
  fmt::print("Algorithms\n");
  for (const std::string& name : algorithm_names()) fmt::print("  {:<26} {}\n", name, make_algorithm(name)->title());
  fmt::print("\n{:<28} {:>12} {:>8} {:>12} {:>12}   {}\n", "Environments", "observations", "actions", "range",
             "time limit", "as in");
  for (const std::string& name : environment_names()) {
    const EnvironmentInfo info = environment_info(name);
    fmt::print("  {:<26} {:>12} {:>8} {:>12} {:>12}   {}\n", name, info.observations, info.actions, range_text(info),
               info.time_limit, source(name));
  }
  return 0;
}

}  // namespace meander
