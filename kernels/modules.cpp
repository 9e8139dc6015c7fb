#include <meander/kernels/modules.h>

#include <dlfcn.h>

#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <system_error>

#include <meander/kernels/device.h>

namespace meander::kernels {
namespace {

struct Module {
  FindDevice* find = nullptr;
  std::string why;
};

Module load(const std::string& name) {
  const std::string file = "meander-" + name + ".so";
  if (const std::string path = find_beside_program(file); !path.empty()) {
    void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) return {nullptr, dlerror()};
    const auto find = reinterpret_cast<FindDevice*>(dlsym(library, "meander_find_device"));
    return {find, find ? "" : path + " is no module of Meander"};
  }
  return {nullptr, "its module " + file + " is not beside the program; ./meander builds it" +
                       (name == "cuda" ? " where a CUDA toolkit (nvcc) is installed" : "")};
}

}  // namespace

std::string find_beside_program(const std::string& file) {
  namespace fs = std::filesystem;
  std::error_code none;
  const fs::path here = fs::read_symlink("/proc/self/exe", none).parent_path();
  for (const fs::path& folder : {here, here / "..", here / "../lib/meander"})
    if (fs::exists(folder / file, none)) return (folder / file).string();
  return {};
}

const DeviceKernels* find_in_module(const char* name, const char** why) {
  static std::mutex one_at_a_time;
  static std::map<std::string, Module> modules;
  const std::lock_guard lock(one_at_a_time);
  auto found = modules.find(name);
  if (found == modules.end()) found = modules.emplace(name, load(name)).first;
  const Module& module = found->second;
  if (module.find) return module.find(sizeof(DeviceKernels), MEANDER_VERSION, why);
  *why = module.why.c_str();
  return nullptr;
}

}  // namespace meander::kernels
