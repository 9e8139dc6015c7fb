#include <meander/algos/settings.h>
#include <meander/kernels/error.h>

namespace meander {

// All algorithms, in the order of `meander list`. Another one is its own source (settings_of, algos/algorithm.h) and a
// line here.
constexpr std::unique_ptr<AlgorithmSettings> (*algorithms[])() = {
    settings_of<struct MfpoSettings>,
    settings_of<struct SomSettings>,
    settings_of<struct MvpSettings>,
    settings_of<struct SacSettings>,
    settings_of<struct QcSettings>,
};

std::vector<std::string> algorithm_names() {
  std::vector<std::string> names;
  for (const auto make : algorithms) names.push_back(make()->name());
  return names;
}

std::unique_ptr<AlgorithmSettings> make_algorithm(const std::string& name) {
  for (const auto make : algorithms)
    if (auto settings = make(); settings->name() == name) return settings;
  const std::string near = nearest_name(name, algorithm_names());
  throw Error(message("unknown algorithm '", name, "'", near.empty() ? "" : "; did you mean '" + near + "'?",
                      " (see meander list)"));
}

}  // namespace meander
