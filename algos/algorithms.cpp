#include <meander/algos/settings.h>
#include <meander/kernels/error.h>

namespace meander {

// Each is defined in its own source.
struct MfpoSettings;
struct SomSettings;
struct MvpSettings;
struct SacSettings;
struct QcSettings;

namespace {

using Algorithms = std::vector<std::pair<std::string, AlgorithmMaker>>;

// In the order of `meander list`. Another one is its own source (settings_of, algos/algorithm.h) and a line here.
Algorithms& algorithms() {
  static Algorithms all = {
      {"mfpo", settings_of<MfpoSettings>},
      {"som", settings_of<SomSettings>},
      {"mvp", settings_of<MvpSettings>},
      {"sac", settings_of<SacSettings>},
      {"qc", settings_of<QcSettings>},
  };
  return all;
}

}  // namespace

std::vector<std::string> algorithm_names() {
  std::vector<std::string> names;
  for (const auto& [name, maker] : algorithms()) names.push_back(name);
  return names;
}

std::unique_ptr<AlgorithmSettings> make_algorithm(const std::string& name) {
  for (const auto& [known, maker] : algorithms())
    if (known == name) return maker();
  const std::string near = nearest_name(name, algorithm_names());
  throw Error(message("unknown algorithm '", name, "'", near.empty() ? "" : "; did you mean '" + near + "'?",
                      " (see meander list)"));
}

void register_algorithm(const std::string& name, AlgorithmMaker maker) {
  for (const auto& [known, made] : algorithms())
    if (known == name) throw Error("there is an algorithm '" + name + "' already");
  algorithms().emplace_back(name, std::move(maker));
}

}  // namespace meander
