// peer_meander: the cases of bench/cases.h and of bench/environments.h; with --who meander_bf16 the cases of which some
// products round their factors to bfloat16, with --who meander_alone several environments on one thread, whatever
// --threads says, to be measured in turns with all threads.
#include "bench/peers/protocol.h"
#include "core/error.h"
#include "kernels/isa.h"
#include "kernels/threads.h"
#ifdef MEANDER_BENCH_ENVIRONMENTS
#include "bench/environments.h"
#endif

using namespace meander;
using namespace meander::bench;

int main(int argc, char** argv) {
  return serve(argc, argv, [](const WorkerOptions& options) {
    kernels::set_threads(options.threads);
    Worker worker{.who = options.who.empty() ? "meander" : options.who,
                  .version = std::string("meander ") + MEANDER_VERSION,
                  .note = std::string("kernels ") + kernels::isa_name(kernels::isa())};
    if (worker.who == "meander_bf16") {
      worker.cases = bfloat16_case_names();
      worker.make = [](const std::string& name, const Data& data) {
        return make_case(name, data, kernels::Precision::bfloat16);
      };
      return worker;
    }
#ifdef MEANDER_BENCH_ENVIRONMENTS
    if (worker.who == "meander_alone") {
      kernels::set_threads(1);
      worker.note = "one thread of them";
      worker.cases = side_by_side_case_names();
      worker.make = [](const std::string& name, const Data&) { return make_side_by_side_case(name); };
      return worker;
    }
#endif
    if (worker.who != "meander")
      throw Error(message("no peer '", worker.who, "' here: meander, meander_bf16 and meander_alone are"));
    worker.cases = case_names();
    worker.make = [](const std::string& name, const Data& data) { return make_case(name, data); };
#ifdef MEANDER_BENCH_ENVIRONMENTS
    for (const auto& names : {environment_case_names(), side_by_side_case_names()})
      worker.cases.insert(worker.cases.end(), names.begin(), names.end());
    worker.cases.push_back(training_case_name);
    worker.make = [](const std::string& name, const Data& data) {
      return name == training_case_name                ? make_training_case()
             : name.starts_with("environment_step/")  ? make_environment_case(name)
             : name.starts_with("environment_steps/") ? make_side_by_side_case(name)
                                                       : make_case(name, data);
    };
#endif
    return worker;
  });
}
