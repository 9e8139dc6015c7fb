// peer_meander: the cases of bench/cases.h and the environments' steps.
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
    if (!options.who.empty() && options.who != "meander")
      throw Error(message("no peer '", options.who, "' here: meander"));
    kernels::set_threads(options.threads);
    Worker worker{.who = "meander",
                  .version = std::string("meander ") + MEANDER_VERSION,
                  .note = std::string("kernels ") + kernels::isa_name(kernels::isa()),
                  .cases = case_names(),
                  .make = make_case};
#ifdef MEANDER_BENCH_ENVIRONMENTS
    const std::vector<std::string> environments = environment_case_names();
    worker.cases.insert(worker.cases.end(), environments.begin(), environments.end());
    worker.make = [](const std::string& name, const Data& data) {
      return name.starts_with("environment_step/") ? make_environment_case(name) : make_case(name, data);
    };
#endif
    return worker;
  });
}
