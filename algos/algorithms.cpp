#include <meander/algos/mfpo.h>
#include <meander/algos/mvp.h>
#include <meander/algos/qc.h>
#include <meander/algos/sac.h>
#include <meander/algos/settings.h>
#include <meander/algos/som.h>
#include <meander/kernels/error.h>

namespace meander {

namespace {

using Algorithms = std::vector<std::pair<std::string, AlgorithmMaker>>;

template <class Settings>
std::unique_ptr<AlgorithmSettings> make() {
  return std::make_unique<Settings>();
}

Algorithms& algorithms() {
  static Algorithms all = {
      {"mfpo", make<MfpoSettings>},
      {"som", make<SomSettings>},
      {"mvp", make<MvpSettings>},
      {"sac", make<SacSettings>},
      {"qc", make<QcSettings>},
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
