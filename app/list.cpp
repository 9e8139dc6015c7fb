#include <fmt/format.h>

#include <meander/algos/presets.h>
#include <meander/app/output.h>
#include <meander/app/verbs.h>
#include <meander/kernels/error.h>
#include <meander/envs/environments.h>

namespace meander {

namespace {

// "-1 to 1" where all actions share a range.
std::string range_text(const EnvironmentInfo& info) {
  for (int i = 1; i < info.actions; ++i)
    if (info.action_low[i] != info.action_low[0] || info.action_high[i] != info.action_high[0]) return "several";
  return fmt::format("{:g} to {:g}", info.action_low[0], info.action_high[0]);
}

}  // namespace

int list() {
  print("Algorithms\n");
  for (const std::string& name : algorithm_names()) print("  {:<26} {}\n", name, make_algorithm(name)->title());
  print("\nPresets of settings (--preset)\n");
  for (const Preset& p : presets()) {
    std::string settings;
    for (const auto& [key, text] : p.settings) settings += " " + key + "=" + text;
    print("  {:<16} {:<10} {:<13}{}  ({})\n", p.name, p.algorithm, *p.task ? p.task : "all tasks", settings, p.source);
  }
  print("\n{:<38} {:>12} {:>8} {:>10} {:>11}  {}\n", "Environments", "observations", "actions", "range",
             "time limit", "source");
  for (const std::string& name : environment_names()) {
    const EnvironmentInfo info = environment_info(name);
    print("  {:<36} {:>12} {:>8} {:>10} {:>11}  {}\n", name, info.observations, info.actions, range_text(info),
               info.time_limit, info.source);
  }
  return 0;
}

}  // namespace meander
