// A run's configuration file: what is taken is written and read again as the same.

#include "target.h"
#include <meander/app/run_config.h>

using namespace meander;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ConfigText file{std::string(reinterpret_cast<const char*>(data), size), "file"};
  std::string written;
  if (fuzz::takes([&] {
        RunConfig config = resolve("", "", &file, {});
        written = to_toml(config);
      })) {
    const ConfigText again{written, "written"};
    std::string twice;
    fuzz::expect(fuzz::takes([&] {
                   RunConfig config = resolve("", "", &again, {});
                   twice = to_toml(config);
                 }),
                 "a configuration that was written is refused");
    fuzz::expect(twice == written, "a configuration changes when it is written");
  }
  fuzz::takes([&] { parse_assignment(file.text); });
  return 0;
}
