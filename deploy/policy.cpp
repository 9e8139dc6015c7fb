// The implementation of meander_policy.h. It stands alone but for that header once the build has put into it what it
// includes of the trainer's kernels (meander_policy.cpp); nothing of the C or C++ library is called. One decision goes:
// meander_act, here -> decide (act.h) -> multiply (kernels/cpu/tile.h), layer_norm, activate.
//
// Options: MEANDER_POLICY_PORTABLE, no intrinsics, one number at a time; MEANDER_POLICY_FLOAT32_ONLY, blobs of float16
// weights are refused and their code is left out.
#ifndef MEANDER_POLICY_PART
#include "meander_policy.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the blob of a policy is read where it lies: little-endian processors only"
#endif
#if defined(__FAST_MATH__)
#error "with -ffast-math results are not the trainer's"
#endif

// A product and a sum are rounded one after the other unless the source says fma, as in the trainer. GCC 12 keeps the
// sums of a tile in memory unless it leaves out two passes.
#if defined(__clang__)
#pragma clang fp contract(off)
#pragma clang diagnostic ignored "-Wunused-const-variable"
#define MEANDER_UNROLL(times) MEANDER_PRAGMA(unroll times)
#else
#pragma GCC optimize("fp-contract=off", "no-tree-pre", "no-gcse", "no-math-errno")
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wpsabi"                // vectors never cross into another source
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 warns of its own AVX-512 header
#pragma GCC diagnostic ignored "-Wuninitialized"
#define MEANDER_UNROLL(times) MEANDER_PRAGMA(GCC unroll times)
#endif
#pragma GCC diagnostic ignored "-Wunused-function"
#define MEANDER_PRAGMA(words) _Pragma(#words)
#define MEANDER_ONCE __attribute__((noinline))  // called from several places: a copy in each would double the code

#if defined(MEANDER_POLICY_PORTABLE)
#elif defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#else
#define MEANDER_POLICY_PORTABLE
#endif

#include <meander/deploy/format.h>
#include <meander/kernels/activation.h>
#include <meander/kernels/mlp_shape.h>
#include <meander/kernels/formulas/formula.h>

namespace meander::deploy {
namespace {

using kernels::Activation;
using kernels::Norm;
using Size = ptrdiff_t;

// A blob whose structure has been checked.
class Blob {
 public:
  explicit Blob(const void* blob) : bytes_(static_cast<const uint8_t*>(blob)) {}
  const Header& header() const { return *reinterpret_cast<const Header*>(bytes_); }
  template <class T>
  const T* at(uint32_t offset) const { return reinterpret_cast<const T*>(bytes_ + offset); }
  const Network& network(int i) const { return *at<Network>(header().network[i]); }
  Size numbers() const { return static_cast<Size>(header().chunk * header().actions); }

 private:
  const uint8_t* bytes_;
};

// A workspace: the parts in the order in which they lie there.
struct Room {
  float* state;                // [padded S]: the observation as the networks see it
  float *share, *start;        // [padded first layer]: of the observation, and with the times' of a step
  float* candidates;           // [K, candidate_stride]
  float* q[2];                 // [K]
  float* rows[2];              // [K, stride]: a layer's inputs and outputs, in turns
  Size candidate_stride, stride;
};

// How one instruction set decides: the best candidate's row; with a `value` critics run, and it is theirs.
struct Code {
  const char* isa;
  bool exact;                  // it has a fused multiply-add
  const float* (*decide)(const Blob&, const Room&, const meander_noise&, Size candidates, float* value);
  void (*normals)(const meander_noise&, Size n, float* out);
};

#if defined(MEANDER_POLICY_PORTABLE)
// Rounded correctly, without the C library: an instruction where one is known, else bit by bit.
static inline float square_root(float x) {
  float y;
#if defined(__x86_64__)
  __asm__("sqrtss %1, %0" : "=x"(y) : "x"(x));
#elif defined(__aarch64__)
  __asm__("fsqrt %s0, %s1" : "=w"(y) : "w"(x));
#elif defined(__arm__) && defined(__ARM_FP) && (__ARM_FP & 4)
  __asm__("vsqrt.f32 %0, %1" : "=t"(y) : "t"(x));
#elif defined(__riscv_flen)
  __asm__("fsqrt.s %0, %1" : "=f"(y) : "f"(x));
#else
  if (!(x >= 1.17549435e-38f && x <= 3.40282347e38f)) return x;  // normal numbers are all that comes here
  const uint32_t bits = __builtin_bit_cast(uint32_t, x);
  const int exponent = static_cast<int>(bits >> 23) - 127, odd = exponent & 1;
  // The root of a number in [2^48, 2^50) has 25 bits, of which the last one rounds.
  const uint64_t square = static_cast<uint64_t>((bits & 0x7fffff) | 0x800000) << (25 + odd);
  uint64_t root = 0;
  for (uint64_t bit = 1u << 24; bit; bit >>= 1)
    if ((root + bit) * (root + bit) <= square) root += bit;
  const uint32_t rounded = static_cast<uint32_t>((root + 1) >> 1);  // up to 2^24, which carries into the exponent
  y = __builtin_bit_cast(float, (static_cast<uint32_t>((exponent - odd) / 2 + 127) << 23) + (rounded - 0x800000));
#endif
  return y;
}
#endif

}  // namespace
}  // namespace meander::deploy

// ---- what each instruction set has of its own: this file once more for each -----------------------------------------
#define MEANDER_POLICY_PART
#if defined(MEANDER_POLICY_PORTABLE)
#define MEANDER_ISA_NAMESPACE portable
#define MEANDER_VECTOR_BYTES 4
#define MEANDER_UNROLL_LANES
#if defined(__FP_FAST_FMAF)
#define MEANDER_ISA_NAME "portable"
#define MEANDER_ISA_EXACT true
#else
#define MEANDER_ISA_NAME "portable (no fused multiply-add: not the trainer's bits)"
#define MEANDER_ISA_EXACT false
#endif
#include __FILE__
#elif defined(__aarch64__)
#define MEANDER_ISA_NAMESPACE neon
#define MEANDER_ISA_NAME "neon"
#define MEANDER_ISA_EXACT true
#define MEANDER_VECTOR_BYTES 16
#define MEANDER_UNROLL_LANES MEANDER_UNROLL(4)
#include __FILE__
#else
#define MEANDER_UNROLL_LANES  // a machine without AVX2 is asked for little code, not for speed
#if !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("Os")
#endif
#define MEANDER_ISA_NAMESPACE sse2
#define MEANDER_ISA_NAME "sse2 (no fused multiply-add: not the trainer's bits)"
#define MEANDER_ISA_EXACT false
#define MEANDER_VECTOR_BYTES 16
#include __FILE__
#undef MEANDER_ISA_NAMESPACE
#undef MEANDER_ISA_NAME
#undef MEANDER_ISA_EXACT
#undef MEANDER_VECTOR_BYTES
#undef MEANDER_UNROLL_LANES
#if !defined(__clang__)
#pragma GCC pop_options
#endif
#define MEANDER_UNROLL_LANES MEANDER_UNROLL(4)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif
#define MEANDER_ISA_NAMESPACE avx2
#define MEANDER_ISA_NAME "avx2"
#define MEANDER_ISA_EXACT true
#define MEANDER_VECTOR_BYTES 32
#include __FILE__
#undef MEANDER_ISA_NAMESPACE
#undef MEANDER_ISA_NAME
#undef MEANDER_VECTOR_BYTES
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,f16c"))), \
                             apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,fma,prefer-vector-width=512")
#endif
#define MEANDER_ISA_NAMESPACE avx512
#define MEANDER_ISA_NAME "avx512"
#define MEANDER_VECTOR_BYTES 64
#include __FILE__
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

namespace meander::deploy {
namespace {

// From the narrowest to the widest; on one machine all up to the one it is capable of may be used.
#if defined(MEANDER_POLICY_PORTABLE)
constexpr const Code* codes[] = {&portable::code};
uint32_t widest_code() { return 0; }
#elif defined(__aarch64__)
constexpr const Code* codes[] = {&neon::code};
uint32_t widest_code() { return 0; }
#else
constexpr const Code* codes[] = {&sse2::code, &avx2::code, &avx512::code};
uint32_t widest_code() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
  const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  return wide ? 2 : 1;
}
#endif
constexpr uint32_t code_count = sizeof codes / sizeof *codes;

#include <meander/deploy/check.h>

// ---- memory ---------------------------------------------------------------------------------------------------------
Size larger(Size a, Size b) { return a < b ? b : a; }

// The parts of a workspace from `memory` on; returns its floats.
Size divide(const Blob& blob, Size candidates, float* memory, Room& room) {
  const Header& header = blob.header();
  const int networks = header.choice ? 3 : 1;
  Size first = 0, widest = padded(static_cast<uint32_t>(blob.numbers()));
  for (int i = 0; i < networks; ++i) {
    const Network& network = blob.network(i);
    first = larger(first, padded(network.layer[0].outputs));
    for (uint32_t l = 0; l < network.layers; ++l) widest = larger(widest, padded(network.layer[l].outputs));
  }
  Size used = 0;
  const auto take = [&](Size floats) {
    float* const part = memory ? memory + used : nullptr;
    used += (floats + 15) / 16 * 16;
    return part;
  };
  room.candidate_stride = padded(static_cast<uint32_t>(blob.numbers()));
  room.stride = widest % 256 ? widest : widest + 16;  // rows a page apart would wait for each other's stores
  room.state = take(padded(header.observations));
  room.share = take(first);
  room.start = take(first);
  room.candidates = take(candidates * room.candidate_stride);
  for (float*& q : room.q) q = take(candidates);
  for (float*& rows : room.rows) rows = take(candidates * room.stride);
  return used;
}

bool overlap(const void* a, size_t a_size, const void* b, size_t b_size) {
  const uintptr_t first = reinterpret_cast<uintptr_t>(a), second = reinterpret_cast<uintptr_t>(b);
  return first < second ? second - first < a_size : first - second < b_size;
}

bool is_finite(float x) { return (__builtin_bit_cast(uint32_t, x) & 0x7f800000u) != 0x7f800000u; }

void copy(Size n, const float* from, float* to) {
  for (Size i = 0; i < n; ++i) to[i] = from[i];
}

const Code& code_of(const meander_policy& policy) { return *codes[policy.isa]; }
bool is_open(const meander_policy* policy) { return policy && policy->blob && policy->isa < code_count; }

// Divides the workspace for so many candidates, or says what is wrong with it.
meander_status make_room(const meander_policy& policy, void* workspace, size_t size, uint32_t candidates, Room& room) {
  const Blob blob(policy.blob);
  if (!workspace || candidates == 0 || candidates > (policy.has_critics ? most_candidates : 1))
    return MEANDER_BAD_ARGUMENT;
  if (reinterpret_cast<uintptr_t>(workspace) % alignment) return MEANDER_NOT_ALIGNED;
  if (size < meander_workspace_size(&policy, candidates)) return MEANDER_SMALL_WORKSPACE;
  if (overlap(policy.blob, blob.header().size, workspace, size)) return MEANDER_OVERLAP;
  divide(blob, candidates, static_cast<float*>(workspace), room);
  return MEANDER_OK;
}

// The decision for an observation, where it lies in the room. A value is wanted: critics run, also for one candidate.
const float* decide(const meander_policy& policy, const Room& room, const float* observation,
                    const meander_noise& noise, uint32_t candidates, float* value) {
  const Blob blob(policy.blob);
  const Header& header = blob.header();
  const float *const mean = blob.at<float>(header.mean), *const deviation = blob.at<float>(header.deviation);
  for (uint32_t i = 0; i < header.observations; ++i)
    room.state[i] = header.mean ? (observation[i] - mean[i]) / deviation[i] : observation[i];
  return code_of(policy).decide(blob, room, noise, static_cast<Size>(candidates), value);
}

bool all_finite(Size n, const float* x) {
  for (Size i = 0; i < n; ++i)
    if (!is_finite(x[i])) return false;
  return true;
}

meander_status act(const meander_policy& policy, void* workspace, size_t size, const float* observation,
                   const meander_noise& noise, uint32_t candidates, float* action, float* q) {
  const Blob blob(policy.blob);
  if (candidates == 0) candidates = policy.candidates;
  if (!observation || (q && !policy.has_critics)) return MEANDER_BAD_ARGUMENT;
  Room room;
  if (const meander_status status = make_room(policy, workspace, size, candidates, room)) return status;
  const size_t seen = policy.observations * sizeof(float);
  const size_t written = static_cast<size_t>(blob.numbers()) * sizeof(float);
  if (overlap(workspace, size, observation, seen) || overlap(workspace, size, action, written) ||
      overlap(observation, seen, action, written) || overlap(policy.blob, blob.header().size, action, written))
    return MEANDER_OVERLAP;
  if (!all_finite(static_cast<Size>(policy.observations), observation)) return MEANDER_BAD_OBSERVATION;
  float value = 0;
  const float* const chosen =
      decide(policy, room, observation, noise, candidates, candidates > 1 || q ? &value : nullptr);
  if (!all_finite(blob.numbers(), chosen) || !is_finite(value)) return MEANDER_BAD_RESULT;
  copy(blob.numbers(), chosen, action);
  if (q) *q = value;
  return MEANDER_OK;
}

}  // namespace
}  // namespace meander::deploy

// ---- meander_policy.h -----------------------------------------------------------------------------------------------
using namespace meander::deploy;

meander_status meander_policy_open(meander_policy* policy, const void* bytes, size_t size, int check) {
  if (!policy) return MEANDER_BAD_ARGUMENT;
  *policy = meander_policy{};
  if (!bytes) return MEANDER_BAD_ARGUMENT;
  if (reinterpret_cast<uintptr_t>(bytes) % alignment) return MEANDER_NOT_ALIGNED;
  if (size < sizeof(Header)) return MEANDER_TRUNCATED;
  const Blob blob(bytes);
  const Header& header = blob.header();
  if (!has_magic(header)) return MEANDER_NOT_A_POLICY;
  if (header.major != major_version || header.features & ~known_features) return MEANDER_OTHER_VERSION;
#ifdef MEANDER_POLICY_FLOAT32_ONLY
  if (header.weights == static_cast<uint32_t>(Weights::float16)) return MEANDER_OTHER_VERSION;
#endif
  if (header.size > size) return MEANDER_TRUNCATED;
  if (header.size < sizeof(Header) || header.size % alignment) return MEANDER_MALFORMED;
  if (check && checksum(bytes, header.size) != header.checksum) return MEANDER_WRONG_CHECKSUM;
  if (!is_well_formed(blob)) return MEANDER_MALFORMED;
  policy->observations = header.observations;
  policy->actions = header.actions;
  policy->chunk = header.chunk;
  policy->candidates = header.candidates;
  policy->has_critics = header.choice != static_cast<uint32_t>(Choice::none);
  policy->tests = header.test_count;
  policy->isa = widest_code();
  policy->blob = bytes;
  return MEANDER_OK;
}

size_t meander_workspace_size(const meander_policy* policy, uint32_t candidates) {
  if (!is_open(policy)) return 0;
  if (candidates == 0) candidates = policy->candidates;
  if (candidates > (policy->has_critics ? most_candidates : 1)) return 0;
  Room room;
  return static_cast<size_t>(divide(Blob(policy->blob), candidates, nullptr, room)) * sizeof(float);
}

meander_status meander_act(const meander_policy* policy, void* workspace, size_t workspace_size,
                           const float* observation, meander_noise noise, uint32_t candidates, float* action,
                           float* q) {
  if (!is_open(policy) || !action) return MEANDER_BAD_ARGUMENT;
  const meander_status status =
      act(*policy, workspace, workspace_size, observation, noise, candidates, action, q);
  if (status == MEANDER_OK) return status;
  for (uint32_t i = 0; i < policy->chunk * policy->actions; ++i)
    action[i] = policy->fallback ? policy->fallback[i % policy->actions] : 0.0f;
  if (q) *q = 0;
  return status;
}

meander_status meander_scale_action(const meander_policy* policy, const float* action, float* scaled) {
  if (!is_open(policy) || !action || !scaled) return MEANDER_BAD_ARGUMENT;
  const Blob blob(policy->blob);
  const Header& header = blob.header();
  for (uint32_t i = 0; i < header.actions; ++i) {
    const float low = header.action_low ? blob.at<float>(header.action_low)[i] : -1.0f;
    const float high = header.action_low ? blob.at<float>(header.action_high)[i] : 1.0f;
    const float inside = action[i] < -1.0f ? -1.0f : action[i] > 1.0f ? 1.0f : action[i];
    scaled[i] = 0.5f * (low + high) + 0.5f * (high - low) * inside;
  }
  return MEANDER_OK;
}

meander_status meander_next_action(const meander_policy* policy, meander_chunk* chunk, void* workspace,
                                   size_t workspace_size, const float* observation, meander_noise noise,
                                   uint32_t candidates, float* action) {
  if (!is_open(policy) || !chunk || !chunk->actions || !action) return MEANDER_BAD_ARGUMENT;
  meander_status status = MEANDER_OK;
  if (chunk->left == 0 || chunk->left > policy->chunk) {
    status = meander_act(policy, workspace, workspace_size, observation, noise, candidates, chunk->actions, nullptr);
    chunk->left = policy->chunk;
  }
  copy(policy->actions, chunk->actions + (policy->chunk - chunk->left) * policy->actions, action);
  chunk->left = status == MEANDER_OK ? chunk->left - 1 : 0;
  return status;
}

meander_status meander_normals(const meander_policy* policy, meander_noise noise, size_t n, float* normals) {
  if (!is_open(policy) || !normals || n > uint32_t{1} << 30) return MEANDER_BAD_ARGUMENT;
  code_of(*policy).normals(noise, static_cast<Size>(n), normals);
  return MEANDER_OK;
}

meander_status meander_policy_test(const meander_policy* policy, void* workspace, size_t workspace_size,
                                   float* difference) {
  if (difference) *difference = 0;
  if (!is_open(policy)) return MEANDER_BAD_ARGUMENT;
  const Blob blob(policy->blob);
  const Header& header = blob.header();
  const uint32_t numbers = static_cast<uint32_t>(blob.numbers()), size = test_size(header.observations, numbers);
  const bool exact = code_of(*policy).exact;
  float largest = 0;
  bool passed = true;
  for (uint32_t i = 0; i < header.test_count; ++i) {
    const Test& test = *blob.at<Test>(header.tests + i * size);
    const float* const observation = reinterpret_cast<const float*>(&test + 1);
    const float *const expected = observation + header.observations, expected_q = expected[numbers];
    Room room;
    if (const meander_status status = make_room(*policy, workspace, workspace_size, test.candidates, room))
      return status;
    float q = 0;
    const float* const action = decide(*policy, room, observation, {test.seed, test.step, test.purpose},
                                       test.candidates, test.candidates > 1 ? &q : nullptr);
    float off = 0;
    for (uint32_t j = 0; j < numbers; ++j) {
      const float d = action[j] - expected[j], magnitude = d < 0 ? -d : d;
      if (!(magnitude <= off)) off = magnitude;  // a NaN too
    }
    const float q_off = q < expected_q ? expected_q - q : q - expected_q;
    const float q_size = 1.0f + (expected_q < 0 ? -expected_q : expected_q);
    // Another of two candidates that are worth the same may come out best where sums are rounded otherwise.
    const bool tie = !exact && test.candidates > 1 && q_off <= 1e-5f * q_size;
    if (exact ? !(off == 0 && q == expected_q) : !(off <= 1e-5f || tie)) passed = false;
    if (!tie && !(off <= largest)) largest = off;
  }
  if (difference) *difference = largest;
  return passed ? MEANDER_OK : MEANDER_TEST_FAILED;
}

const char* meander_isa(const meander_policy* policy) { return is_open(policy) ? code_of(*policy).isa : "none"; }

meander_status meander_policy_text(const meander_policy* policy, const char** text, size_t* size) {
  if (!is_open(policy) || !text || !size) return MEANDER_BAD_ARGUMENT;
  const Blob blob(policy->blob);
  *text = blob.at<char>(blob.header().text);
  *size = blob.header().text_size;
  return MEANDER_OK;
}

const char* meander_status_text(meander_status status) {
  switch (status) {
    case MEANDER_OK: return "all is well";
    case MEANDER_BAD_ARGUMENT:
      return "a null pointer, a policy that is not open, or candidates without critics to choose among them";
    case MEANDER_NOT_ALIGNED: return "the blob or the workspace does not begin at a multiple of 64 bytes";
    case MEANDER_OVERLAP: return "workspace, observation, action and blob must not share memory";
    case MEANDER_SMALL_WORKSPACE: return "the workspace is smaller than meander_workspace_size says";
    case MEANDER_NOT_A_POLICY: return "this is no policy of Meander";
    case MEANDER_OTHER_VERSION:
      return "the policy is of another version than this source, or of weights it leaves out";
    case MEANDER_TRUNCATED: return "the end of the policy is missing";
    case MEANDER_WRONG_CHECKSUM: return "the policy's bytes have changed since it was exported";
    case MEANDER_MALFORMED: return "the policy has a size, an offset or a choice that cannot be";
    case MEANDER_BAD_OBSERVATION: return "the observation holds a number that is not finite";
    case MEANDER_BAD_RESULT: return "the decision would hold a number that is not finite";
    case MEANDER_TEST_FAILED: return "a decision differs from the one that the trainer recorded";
    case MEANDER_NO_DEVICE: return "there is no GPU, or none that has room for the policy";
    case MEANDER_DEVICE_ERROR: return "the GPU reports an error";
  }
  return "no status of Meander";
}

#else  // MEANDER_POLICY_PART: one instruction set

namespace meander::deploy {
namespace MEANDER_ISA_NAMESPACE {
namespace {
#include <meander/kernels/cpu/vector.h>
#include <meander/kernels/formulas/elementary.h>
#include <meander/kernels/formulas/activations.h>
#include <meander/kernels/formulas/random.h>
#include <meander/kernels/cpu/random.h>
#include <meander/kernels/cpu/row_moments.h>
#include <meander/kernels/cpu/expectation.h>
#include <meander/kernels/cpu/tile.h>
}  // namespace
#include <meander/deploy/act.h>
}  // namespace MEANDER_ISA_NAMESPACE
}  // namespace meander::deploy

#endif
