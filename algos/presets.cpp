#include <meander/algos/presets.h>

#include <algorithm>

#include <meander/kernels/error.h>

namespace meander {

const std::vector<Preset>& presets() {
  static const char* const som = "arXiv 2605.23365: the printed constants";
  static const char* const qc = "arXiv 2507.07969, table 4";
  static const char* const fql = "arXiv 2502.02538, tables 6 and 7";
  static const std::vector<Preset> all = {
      {"som-paper", "som", "",
       {{"beta_max", "20"}, {"weight", "25"}, {"velocity", "unit_score"}, {"policy_interval", "2"},
        {"target_interval", "2"}},
       som},
      {"bfn", "qc", "", {{"horizon", "1"}, {"candidates", "4"}}, qc},
      {"bfn-n", "qc", "", {{"horizon", "1"}, {"return_steps", "5"}, {"candidates", "4"}}, qc},
      {"fql-paper", "fql", "cube-single", {{"distillation", "300"}}, fql},
      {"fql-paper", "fql", "cube-double", {{"distillation", "300"}}, fql},
      {"fql-paper", "fql", "cube-triple", {{"distillation", "300"}}, qc},
      {"fql-n", "fql", "cube-", {{"return_steps", "5"}, {"distillation", "100"}}, qc},
      {"fql-chunks", "fql", "cube-double", {{"horizon", "5"}, {"distillation", "300"}}, qc},
      {"fql-chunks", "fql", "cube-triple", {{"horizon", "5"}, {"distillation", "100"}}, qc},
      {"flow-map-beam", "flow_map", "", {{"beam_rounds", "1"}, {"beam_step", "0.3"}},
       "arXiv 2605.12416, algorithm 2 and the authors' code"},
      {"small", "mvp", "robomimic-",
       {{"actor_width", "256"}, {"critic_width", "256"}, {"actor_layers", "2"}, {"critic_layers", "2"},
        {"candidates", "8"}, {"batch_size", "128"}, {"target", "replay"}, {"offline_steps", "15000"},
        {"start_steps", "1"}, {"steps", "15000"}, {"evaluation_interval", "3000"}, {"evaluation_episodes", "20"}},
       "ours: minutes on one core"},
  };
  return all;
}

std::vector<std::string> preset_names(const std::string& algorithm) {
  std::vector<std::string> names;
  for (const Preset& p : presets())
    if (p.algorithm == algorithm && std::ranges::find(names, p.name) == names.end()) names.push_back(p.name);
  return names;
}

void apply_preset(AlgorithmSettings& settings, TrainingSettings& loop, const std::string& preset,
                  const std::string& task) {
  const std::vector<Setting> of_loop = loop.settings();
  const std::vector<std::string> known = preset_names(settings.name());
  if (std::ranges::find(known, preset) == known.end()) {
    std::string names;
    for (const std::string& name : known) names += (names.empty() ? "; it has " : ", ") + name;
    throw Error(message(settings.name(), " has no preset of this name", names, did_you_mean(preset, known)));
  }
  bool applied = false;
  for (const Preset& p : presets()) {
    if (p.name != preset || p.algorithm != settings.name() || !task.starts_with(p.task)) continue;
    for (const auto& [key, text] : p.settings) {
      const Setting* const setting = find_setting(of_loop, key);
      if (!setting) set(settings, key, text);
      else if (!store_text(*setting, text)) throw Error(message("the preset ", preset, " has ", key, " = ", text));
    }
    applied = true;
  }
  if (!applied) throw Error(message("the preset ", preset, " says nothing of ", task));
}

}  // namespace meander
