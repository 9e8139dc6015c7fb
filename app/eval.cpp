#include <fmt/format.h>

#include <meander/app/run_recorder.h>
#include <meander/app/trained.h>
#include <meander/app/verbs.h>
#include <meander/app/worlds.h>
#include <meander/kernels/threads.h>

namespace meander {

int eval(const EvalOptions& options) {
  if (options.threads > 0) kernels::set_threads(static_cast<int>(options.threads));
  const TrainedAgent trained = load_trained(options.what, options.environment, 0);

  const Worlds worlds = worlds_for(options.episodes, trained.task, trained.config.task, trained.config.training.seed);
  catch_interrupts();
  const auto evaluation = evaluate(*trained.agent, worlds.all(), options.episodes,
                                   static_cast<uint64_t>(options.seed), 0, [] { return interrupted(); });
  if (!evaluation) return 130;
  fmt::print("{} after step {} on {}, seed {}, episodes: {}\n", trained.path, trained.step,
             trained.task, options.seed, options.episodes);
  fmt::print("mean {:.3f}  std {:.3f}  min {:.3f}  max {:.3f}\n", evaluation->mean(), evaluation->deviation(),
             evaluation->lowest(), evaluation->highest());
  if (worlds.info().ends_with_success)
    fmt::print("success in {:.1f} % of the episodes\n", 100 * evaluation->end_rate());
  return 0;
}

}  // namespace meander
