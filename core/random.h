#pragma once

#include <cstdint>

#include <meander/kernels/philox.h>

namespace meander {

// What a random stream is for. The numbers are part of the file format of a run: append, never renumber.
enum class Purpose : uint32_t {
  initialise_actor = 1, initialise_divergence, initialise_critic1, initialise_critic2,
  initialise_behaviour,
  random_action = 16, explore, evaluate, environment_reset, evaluation_reset, batch,
  collect_reset = 22, collect_explore = 23, scaling_reset = 24, scaling_action = 25,
  next_action = 32, interval_a, interval_b, proposal_noise, interpolation_noise, truncated_uniform,
  divergence_interval_a, divergence_interval_b, divergence_noise, divergence_probe,
  policy_noise, score_noise, exploration_noise, next_exploration_noise, candidate_noise, gap_noise,
  diagonal_noise, diagonal_time, self_noise, beam_noise, gap_state,
  toy_centres = 64, toy_samples, toy_states,
  test = 1000,
  bootstrap = 2000
};

// Scalar draws, one after another, from one Philox stream: for resets and initialisation.
class Stream {
 public:
  Stream(uint64_t seed, Purpose purpose, uint64_t step) : key_{seed, static_cast<uint32_t>(purpose), step} {}
  uint32_t bits();
  double uniform();                       // 53 bits, in [0, 1)
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  double normal();                        // Box-Muller in double

 private:
  kernels::RandomKey key_;
  uint32_t words_[4];
  uint32_t block_ = 0;
  int used_ = 4;
  double kept_ = 0;
  bool has_kept_ = false;
};

}  // namespace meander
