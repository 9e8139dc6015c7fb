#include <fmt/format.h>

#include <meander/app/output.h>
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
  const auto evaluated = [&] {
    return evaluate(*trained.agent, worlds.all(), options.episodes, static_cast<uint64_t>(options.seed), 0,
                    [] { return interrupted(); });
  };
  if (!options.candidates.empty()) {
    print("{} after step {} on {}, seed {}, episodes: {}\n", trained.path, trained.step, trained.task, options.seed,
               options.episodes);
    const bool success = worlds.info().ends_with_success;
    const bool values = trained.agent->discount().has_value();
    print("{:>10}  {:>12}  {:>12}  {:>12}  {:>12}{}{}\n", "candidates", "mean", "std", "min", "max",
               success ? "    success %" : "", values ? "  overestimation" : "");
    for (const int64_t candidates : options.candidates) {
      trained.agent->act_by_best_of(candidates);
      const auto evaluation = evaluated();
      if (!evaluation) return 130;
      print("{:>10}  {:>12.3f}  {:>12.3f}  {:>12.3f}  {:>12.3f}", candidates, evaluation->mean(),
                 evaluation->deviation(), evaluation->lowest(), evaluation->highest());
      print("{}{}\n", success ? fmt::format("  {:>11.1f}", 100 * evaluation->end_rate()) : "",
                 values ? fmt::format("  {:>14.3f}", *evaluation->overestimation) : "");
    }
    return 0;
  }
  const auto evaluation = evaluated();
  if (!evaluation) return 130;
  print("{} after step {} on {}, seed {}, episodes: {}\n", trained.path, trained.step,
             trained.task, options.seed, options.episodes);
  print("mean {:.3f}  std {:.3f}  min {:.3f}  max {:.3f}\n", evaluation->mean(), evaluation->deviation(),
             evaluation->lowest(), evaluation->highest());
  if (worlds.info().ends_with_success)
    print("success in {:.1f} % of the episodes\n", 100 * evaluation->end_rate());
  if (evaluation->one_step_gap) print("one-step gap {:.4f}\n", *evaluation->one_step_gap);
  if (evaluation->overestimation) print("overestimation {:.3f}\n", *evaluation->overestimation);
  return 0;
}

}  // namespace meander
