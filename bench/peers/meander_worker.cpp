// peer_meander: the cases of bench/cases.h and of bench/environments.h; with --device those that run on that device.
// With --who meander_tf32 or meander_bf16 the cases of which some products round their factors to that, with --who
// meander_alone several environments on one thread, whatever --threads says, to be measured in turns with all threads.
#include <algorithm>

#include "bench/device_cases.h"
#include "bench/mlp_cases.h"
#include "bench/peers/protocol.h"
#include <meander/kernels/device.h>
#include <meander/kernels/error.h>
#include <meander/kernels/isa.h>
#include <meander/kernels/threads.h>
#ifdef MEANDER_BENCH_ENVIRONMENTS
#include "bench/environments.h"
#endif

using namespace meander;
using namespace meander::bench;
using kernels::Precision;

int main(int argc, char** argv) {
  return serve(argc, argv, [](const WorkerOptions& options) {
    kernels::set_threads(options.threads);
    Worker worker{.who = options.who.empty() ? "meander" : options.who,
                  .version = std::string("meander ") + MEANDER_VERSION,
                  .note = std::string("kernels ") + kernels::isa_name(kernels::isa())};
#ifdef MEANDER_BENCH_ENVIRONMENTS
    if (worker.who == "meander_alone") {
      kernels::set_threads(1);
      worker.note = "one thread of them";
      worker.cases = side_by_side_case_names();
      worker.make = [](const std::string& name, const Data&) { return make_side_by_side_case(name); };
      return worker;
    }
#endif
    const Precision precision = worker.who == "meander_bf16"   ? Precision::bfloat16
                                : worker.who == "meander_tf32" ? Precision::tf32
                                                               : Precision::float32;
    if (precision == Precision::float32 && worker.who != "meander")
      throw Error(message("no peer '", worker.who, "' here: meander, _tf32, _bf16 and _alone are"));
    worker.cases = precision == Precision::float32 ? case_names() : rounded_case_names();
    worker.passes = mlp_passes;
    if (options.device != "cpu") {
      const kernels::DeviceKernels& device = find_device(options.device);
      const std::vector<std::string> portable = portable_case_names();
      std::erase_if(worker.cases, [&](const std::string& name) { return std::ranges::count(portable, name) == 0; });
      worker.note = std::string("device ") + device.name;
      worker.make = [&device, precision](const std::string& name, const Data& data) {
        if (!name.starts_with("mlp/")) return make_device_case(device, name, data, precision);
        const kernels::DeviceScope scope(device);
        return recorded(device, make_mlp_case(MlpDescription(name), data));
      };
      return worker;
    }
    worker.make = [precision](const std::string& name, const Data& data) {
      return name.starts_with("mlp/") ? make_mlp_case(MlpDescription(name), data) : make_case(name, data, precision);
    };
#ifdef MEANDER_BENCH_ENVIRONMENTS
    if (precision != Precision::float32) return worker;
    for (const auto& names : {environment_case_names(), side_by_side_case_names()})
      worker.cases.insert(worker.cases.end(), names.begin(), names.end());
    worker.cases.push_back(training_case_name);
    worker.make = [](const std::string& name, const Data& data) {
      return name.starts_with("mlp/")                  ? make_mlp_case(MlpDescription(name), data)
             : name == training_case_name              ? make_training_case()
             : name.starts_with("environment_step/")  ? make_environment_case(name)
             : name.starts_with("environment_steps/") ? make_side_by_side_case(name)
                                                       : make_case(name, data);
    };
#endif
    return worker;
  });
}
