#pragma once

#include <cstdint>

// The blob of a policy: what app/export.cpp writes and deploy/policy.cpp reads where it lies. Little-endian; an offset
// counts bytes from the blob's beginning, is a multiple of 64, and is 0 where there is nothing. Matrices and rows of
// numbers are padded with zeros to a multiple of 16 columns.
//
// A matrix [in, out] is stored by panels of 16 columns, each as `in` lines of 16 numbers: what a register tile reads.
namespace meander::deploy {

constexpr uint8_t magic[8] = {'M', 'N', 'D', 'R', 'P', 'O', 'L', '\n'};
constexpr uint16_t major_version = 1;   // another one is refused
constexpr uint16_t minor_version = 0;   // grows with what an old reader may ignore
constexpr uint32_t known_features = 0;  // a bit that is none of these is refused
constexpr uint32_t alignment = 64, panel = 16;
constexpr uint32_t most_layers = 8, most_numbers = 8192, most_steps = 64, most_candidates = 4096, most_tests = 4096;

enum class Weights : uint32_t { float32, float16 };
enum class Actor : uint32_t {
  flow,      // from noise x by `steps` steps x <- x - network(x, o, times) / steps
  mean,      // network(o)
  one_step,  // network(noise, o)
};
enum class Bound : uint32_t { clip, tanh };
enum class Choice : uint32_t { none, smaller, mean };   // of two critics' values

struct Layer {
  uint32_t outputs;
  uint32_t weight;         // [inputs, outputs]; of the first layer the rows of the network's own inputs alone
  uint32_t bias;           // [outputs], float32 as all that follows
  uint32_t scale, shift;   // [outputs] of the norm, in hidden layers that have one
  uint32_t unused[3];
};

struct Network {
  uint32_t layers;         // the linear last one included
  uint32_t activation;     // kernels::Activation
  uint32_t norm;           // kernels::Norm
  float norm_eps;
  uint32_t own_inputs;     // of the first layer: the actor's noise or position, the critic's action; else observations
  uint32_t state_weight;   // [S, outputs of the first layer]: an observation's share, once a decision
  uint32_t unused[2];
  Layer layer[most_layers];
};

struct Header {
  uint8_t magic[8];
  uint16_t major, minor;
  uint32_t features;
  uint32_t size;           // of the blob
  uint32_t checksum;       // of all bytes with this one taken as 0
  uint32_t weights;        // Weights, of all matrices
  uint32_t observations, actions, chunk;
  uint32_t actor, steps, bound;
  uint32_t candidates, choice;
  uint32_t atoms, atom_count;               // the values of a distributional critic's outputs
  uint32_t times;                           // [steps, outputs of the first layer]: the times' share
  uint32_t mean, deviation;                 // [S]: the network sees (o - mean) / deviation
  uint32_t action_low, action_high;         // [A], of the task; 0: [-1, 1]
  uint32_t tests, test_count;               // Test and the numbers after it, test_size apart
  uint32_t text, text_size;                 // UTF-8, lines of "key value"
  uint32_t network[3];                      // actor, and with a choice two critics
  uint32_t unused[3];
};
static_assert(sizeof(Header) == 128 && sizeof(Layer) == 32 && sizeof(Network) == 288);

// One example: what acting gives. Behind it the observation [S], the decision [h A] and its value [1] (0 of one
// candidate), float32.
struct Test {
  uint64_t seed, step;
  uint32_t purpose, candidates;
};
constexpr uint32_t test_size(uint32_t observations, uint32_t numbers) {
  return (24 + 4 * (observations + numbers + 1) + 7) / 8 * 8;
}

constexpr uint32_t padded(uint32_t n) { return (n + panel - 1) / panel * panel; }

// Four sums in turns over the words of the blob, each sum = (sum ^ word) * prime (FNV-1a): whatever changes within one
// word changes the result. `size`, a multiple of 4; the checksum's own word counts as 0.
constexpr uint32_t checksum_at = 20;
static inline uint32_t checksum(const void* blob, uint32_t size) {
  constexpr uint32_t prime = 16777619u;
  uint32_t sum[4] = {2166136261u, 2166136262u, 2166136263u, 2166136264u};
  const uint8_t* const bytes = static_cast<const uint8_t*>(blob);
  for (uint32_t i = 0; i < size; i += 4) {
    uint32_t word;
    __builtin_memcpy(&word, bytes + i, 4);
    uint32_t& lane = sum[i / 4 % 4];
    lane = (lane ^ (i == checksum_at ? 0 : word)) * prime;
  }
  uint32_t all = size;
  for (const uint32_t lane : sum) all = (all ^ lane) * prime;
  return all;
}

}  // namespace meander::deploy
