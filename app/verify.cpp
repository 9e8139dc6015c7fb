#include <fmt/format.h>

#include "app/verbs.h"
#include "app/verify_environment.h"
#include "app/verify_reference.h"
#include "core/error.h"

namespace meander {

namespace {

std::vector<CheckLine> check(const SafetensorsFile& file) {
  if (is_environment_golden(file)) return verify_environment(file);
  if (is_update_reference(file)) return verify_updates(file);
  if (is_operation_reference(file)) return verify_operations(file);
  throw Error(file.path() + ": neither a recorded update, nor recorded operations, nor an environment golden");
}

}  // namespace

int verify(const std::vector<std::string>& files) {
  bool unknown = false;
  int quantities = 0, out = 0;
  for (const std::string& path : files) {
    try {
      const std::vector<CheckLine> lines = check(SafetensorsFile(path));
      fmt::print("{}\n", path);
      for (const CheckLine& line : lines) {
        fmt::print("  {:<44} {:>9.2e} of {:>8.1e}  {}{}\n", line.quantity, line.error, line.tolerance,
                   line.ok() ? "ok" : "OUT", line.note.empty() ? "" : "  " + line.note);
        ++quantities;
        out += !line.ok();
      }
    } catch (const Error& error) {  // the other files are checked all the same
      std::fflush(stdout);
      fmt::print(stderr, "meander: {}\n", error.what());
      unknown = true;
    }
  }
  fmt::print("{} quantities in {} file{}: {}\n", quantities, files.size(), files.size() == 1 ? "" : "s",
             out ? fmt::format("{} out of tolerance", out) : std::string(unknown ? "all that could be read within" : "all within"));
  return unknown ? 2 : out ? 1 : 0;
}

}  // namespace meander
