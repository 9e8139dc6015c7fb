#include <meander/algos/mfpo.h>
#include <meander/algos/mvp.h>
#include <meander/algos/qc.h>
#include <meander/algos/sac.h>
#include <meander/algos/settings.h>
#include <meander/algos/som.h>
#include <meander/kernels/error.h>

namespace meander {

std::vector<std::string> algorithm_names() { return {"mfpo", "som", "mvp", "sac", "qc"}; }

std::unique_ptr<AlgorithmSettings> make_algorithm(const std::string& name) {
  if (name == "mfpo") return std::make_unique<MfpoSettings>();
  if (name == "som") return std::make_unique<SomSettings>();
  if (name == "mvp") return std::make_unique<MvpSettings>();
  if (name == "sac") return std::make_unique<SacSettings>();
  if (name == "qc") return std::make_unique<QcSettings>();
  const std::string near = nearest_name(name, algorithm_names());
  throw Error(message("unknown algorithm '", name, "'", near.empty() ? "" : "; did you mean '" + near + "'?",
                      " (see meander list)"));
}

}  // namespace meander
