#include <fmt/format.h>

#include <meander/app/device.h>
#include <meander/app/output.h>
#include <meander/app/verbs.h>
#include <meander/app/verify_environment.h>
#include <meander/app/verify_reference.h>
#include <meander/kernels/device.h>
#include <meander/kernels/error.h>

namespace meander {

namespace {

std::vector<CheckLine> check(const SafetensorsFile& file) {
  if (is_environment_golden(file)) return verify_environment(file);
  if (is_learner_reference(file)) return verify_learner(file);
  if (is_update_reference(file)) return verify_updates(file);
  if (is_operation_reference(file)) return verify_operations(file);
  throw Error(file.path() + ": neither a recorded update, nor recorded operations, nor an environment golden");
}

}  // namespace

// The error of a quantity is relative to the largest value of its tensor, and the largest of the file.
int verify(const std::vector<std::string>& files, const std::string& device) {
  const kernels::DeviceScope scope(find_device(device));
  int unknown = 0, quantities = 0, out = 0;
  print("{:<44}  {:>10}  {:>9}\n", "quantity", "error", "tolerance");
  for (const std::string& path : files) {
    try {
      const std::vector<CheckLine> lines = check(SafetensorsFile(path));
      print("{}\n", path);
      for (const CheckLine& line : lines) {
        print("  {:<42}  {:>10.2e}  {:>9.1e}  {}{}\n", line.quantity, line.error, line.tolerance,
                   line.ok() ? "ok" : "OUT", line.note.empty() ? "" : "  " + line.note);
        ++quantities;
        out += !line.ok();
      }
    } catch (const Error& error) {  // the other files are checked all the same
      complain(error.what());
      ++unknown;
    }
  }
  print("{} quantities in {} files, {} out of tolerance", quantities, files.size() - unknown, out);
  print("{}\n", unknown ? fmt::format("; {} not checked", unknown) : "");
  return unknown ? 2 : out ? 1 : 0;
}

}  // namespace meander
