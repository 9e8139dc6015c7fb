// peer_machine: what the machine can do at best. The answers' flop and bytes are those of a call.
#include "bench/machine.h"
#include "bench/peers/protocol.h"
#include <meander/kernels/threads.h>

using namespace meander;
using namespace meander::bench;

int main(int argc, char** argv) {
  return serve(argc, argv, [](const WorkerOptions& options) {
    kernels::set_threads(options.threads);
    const std::string core = sgemm_core();
    return Worker{.who = "machine",
                  .version = fma_instructions(),
                  .note = core.empty() ? "" : "sgemm: OpenBLAS for " + core,
                  .cases = machine_case_names(),
                  .make = [](const std::string& name, const Data&) { return make_machine_case(name); }};
  });
}
