// A run's configuration file: what is taken is written and read again as the same.

#include "target.h"
#include <meander/app/run_config.h>

using namespace meander;

namespace {

// Whether f takes its input. Its messages name keys as they are: the command escapes all that it prints.
template <class F>
bool takes(F&& f) {
  try {
    f();
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ConfigText file{std::string(reinterpret_cast<const char*>(data), size), "file"};
  std::string written;
  if (takes([&] {
        RunConfig config = resolve("", "", &file, {});
        written = to_toml(config);
      })) {
    const ConfigText again{written, "written"};
    std::string twice;
    fuzz::expect(takes([&] {
                   RunConfig config = resolve("", "", &again, {});
                   twice = to_toml(config);
                 }),
                 "a configuration that was written is refused");
    fuzz::expect(twice == written, "a configuration changes when it is written");
  }
  takes([&] { parse_assignment(file.text); });
  return 0;
}
