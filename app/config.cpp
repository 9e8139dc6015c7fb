#include <fmt/format.h>

#include <meander/app/output.h>
#include <meander/app/verbs.h>

namespace meander {

int config(const std::string& algorithm, const std::string& environment, const std::vector<Assignment>& assignments) {
  RunConfig config = resolve(algorithm, environment, nullptr, assignments);
  print_lines(to_toml(config));
  return 0;
}

}  // namespace meander
