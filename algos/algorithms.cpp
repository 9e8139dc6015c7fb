#include <meander/algos/settings.h>
#include <meander/kernels/error.h>

namespace meander {

// In the order of `meander list`. Another one is its own source (settings_of, algos/algorithm.h) and a line here.
#define MEANDER_ALGORITHMS(A) \
  A("mfpo", MfpoSettings)     \
  A("som", SomSettings)       \
  A("mvp", MvpSettings)       \
  A("sac", SacSettings)       \
  A("qc", QcSettings)         \
  A("fql", FqlSettings)       \
  A("flow_map", FlowMapSettings)

#define MEANDER_DECLARE(name, Settings) struct Settings;
MEANDER_ALGORITHMS(MEANDER_DECLARE)

namespace {

using Algorithms = std::vector<std::pair<std::string, AlgorithmMaker>>;

Algorithms& algorithms() {
#define MEANDER_ENTRY(name, Settings) {name, settings_of<Settings>},
  static Algorithms all = {MEANDER_ALGORITHMS(MEANDER_ENTRY)};
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
