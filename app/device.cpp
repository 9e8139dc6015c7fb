#include <meander/app/device.h>

#include <cstdlib>
#include <optional>
#include <sstream>
#include <utility>

#include <meander/algos/device_agent.h>
#include <meander/kernels/device.h>
#include <meander/kernels/error.h>

namespace meander {

namespace {

using kernels::Device;

struct Asked {
  Device device;
  std::optional<int> number;   // of cuda:1
};

Asked parse(const std::string& name) {
  for (const auto& [known, device] : {std::pair("cpu", Device::cpu), std::pair("cuda", Device::cuda),
                                      std::pair("cuda-emulated", Device::cuda_emulated)})
    if (name == known) return {device, {}};
  if (name.starts_with("cuda:") && name.size() > 5 && name.size() < 9 &&
      name.find_first_not_of("0123456789", 5) == std::string::npos)
    return {Device::cuda, std::stoi(name.substr(5))};
  throw Error(message("--device ", name, ": unknown device, expected cpu, cuda, cuda:1 or cuda-emulated"));
}

// CUDA then counts this GPU alone, as its first. It reads the variable when it is first used, and is not used before.
void show_cuda_only(int number) {
  static std::optional<int> shown;
  if (shown && *shown != number) throw Error(message("--device cuda:", number, ": this process uses cuda:", *shown));
  if (std::exchange(shown, number)) return;
  std::string one = message(number);
  if (const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES")) {
    std::istringstream list(visible);
    int left = number;
    while (std::getline(list, one, ',') && left-- > 0) {
    }
    if (left >= 0)
      throw Error(message("--device cuda:", number, ": CUDA_VISIBLE_DEVICES=", visible, " shows no such GPU"));
  }
  setenv("CUDA_VISIBLE_DEVICES", one.c_str(), 1);
}

}  // namespace

void expect_device_name(const std::string& name) { parse(name); }

const kernels::DeviceKernels& find_device(const std::string& name) {
  const Asked asked = parse(name);
  if (asked.number) show_cuda_only(*asked.number);
  const char* why;
  if (const kernels::DeviceKernels* found = kernels::device_kernels(asked.device, &why)) return *found;
  throw Error(message("--device ", name, ": ", why));
}

std::unique_ptr<Agent> make_agent(const AlgorithmSettings& algorithm, const std::string& device, int observations,
                                  int actions, uint64_t seed) {
  const auto make = [&] { return algorithm.make_agent(observations, actions, seed); };
  const kernels::DeviceKernels& where = find_device(device);
  if (&where == &kernels::current()) return make();
  return std::make_unique<DeviceAgent>(where, make);
}

}  // namespace meander
