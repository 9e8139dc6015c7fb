#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include <meander/core/safetensors.h>
#include <meander/core/tensor.h>
#include <meander/kernels/error.h>

namespace meander {

// Numbers that were to be finite are not: the same settings come to the same numbers, so that going on does not help.
struct Diverged : Failure {
  using Failure::Failure;
};

class Replay;
struct PolicyDescription;

// A batch of n successive steps each, float32, of which the first h actions are wanted (h <= n; both 1: transitions).
// Steps follow each other as they were recorded, beyond the end of an episode too: `valid` says where it ended.
struct Batch {
  Tensor state;       // [B, S]
  Tensor action;      // [B, h A], in [-1, 1]
  Tensor reward;      // [B, n]
  Tensor mask;        // [B, 1]: 0 if one of the steps led to a true end, else 1
  Tensor next_state;  // [B, S]: after the last step
  Tensor valid = {};  // [B, n]: 1 for a step of the episode that the first one belongs to, else 0
  // [B, n + 1], uint32: the replay's rows that hold the steps, and the one of the observation after the last. If they
  // are there, state, action, reward and next_state are shapes without data: the agent has the rows (Agent::mirror).
  Tensor rows = {};
  bool offline = false;  // drawn from a data set before the agent acts for the first time
};

// A learner as the training loop sees it. Nothing here draws from a hidden generator: `step` names the random numbers.
class Agent {
 public:
  virtual ~Agent() = default;
  virtual int observations() const = 0;                  // S
  virtual int actions() const = 0;                       // A
  virtual int batch_size() const = 0;                    // B
  // h, the actions decided on at once and executed one after the other (an action chunk), and n, the rewards an update
  // wants of each drawn step on.
  virtual int chunk() const { return 1; }
  virtual int return_steps() const { return chunk(); }

  // How it acts, from which it acts: the same as long as it lives, but for the candidates below.
  virtual const PolicyDescription& policy() const = 0;
  // One exploration chunk [h A] in [-1, 1] for one state [S], both of the host; `step` names the random numbers.
  virtual void explore(std::span<const float> state, uint64_t step, std::span<float> action) = 0;
  // The chunk evaluation uses (best of several candidates, no noise), likewise.
  virtual void act(std::span<const float> state, uint64_t step, std::span<float> action) = 0;
  // What an evaluation watches beside returns; nothing where there is no such thing.
  virtual bool has_flow() const { return false; }
  // How far one step of a flow policy is from 64 Euler steps of its own field, the mean over states [n, S] of the host
  // and all numbers of a chunk: Policy::one_step_gap. The noise is the same at every call.
  virtual double one_step_gap(std::span<const float> /*states*/) { return 0; }
  // Of an algorithm that learns chunks: Q of a chunk [h A] at a state [S], as candidates are ranked, and the target
  // critics' of the chunk that it would choose there; gamma. The return that follows shows by how much Q is wrong.
  virtual std::optional<double> discount() const { return {}; }
  virtual double chunk_value(std::span<const float> /*state*/, std::span<const float> /*chunk*/) { return 0; }
  virtual double state_value(std::span<const float> /*state*/, uint64_t /*step*/) { return 0; }
  // From now on act takes the best of so many candidates, as policy().act_candidates then says. Throws Error if it has
  // nothing to choose them by.
  virtual void act_by_best_of(int64_t) { throw Error("this agent has one action for a state"); }

  // One update; `step` counts updates from 1. Writes one number for each of metric_names(). Throws Diverged, naming the
  // loss, if one or its gradient is not finite. What the loss is of, and all that comes after it in the update, is then
  // as it was; networks that learnt from a finite loss before it keep their step. Every parameter stays finite.
  virtual void update(const Batch& batch, uint64_t step, std::span<float> metrics) = 0;
  virtual std::span<const char* const> metric_names() const = 0;
  // Called once in a run, before the first step of an environment: offline training, if there was any, is over. What an
  // agent freezes then, save and load keep.
  virtual void begin_online() {}
  // Updates of one kind queue the same work whatever the numbers are, so that a device may record one and repeat it;
  // below 0: the step decides what an update does, beside the random numbers of that step.
  virtual int kind_of_update(const Batch&) const { return -1; }
  // From now on all batches are drawn from this replay, which must live as long as they come. True: the agent keeps a
  // copy of its rows where its own numbers live, and batches are to name rows. Throws Failure if there is no memory for
  // a copy; batches then hold the numbers, as they do where it is false.
  virtual bool mirror(Replay&) { return false; }
  // What was computed from the parameters before is outdated: they changed by other means than the functions here.
  virtual void outdate() {}
  // Computes now what acting would otherwise compute first after an update, and keeps it.
  virtual void prepare_to_act() {}

  // Parameters, targets and optimiser state under their names. load throws Error on a missing or wrong tensor.
  virtual void save(SafetensorsWriter& file) const = 0;
  virtual void load(const SafetensorsFile& file) = 0;
};

}  // namespace meander
