// An exported policy: a small one of every kind, in which the input changes words of the structure, or a blob that the
// input is. It is refused, or decides within its memory.

#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "target.h"
#include <meander/deploy/format.h>
#include <meander/deploy/meander_policy.h>

using namespace meander;
using namespace meander::deploy;

namespace {

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};
// Ends where it should, so that the address sanitizer sees one byte too many.
using Memory = std::unique_ptr<uint8_t, Free>;
Memory memory(size_t bytes) {
  void* p = nullptr;
  fuzz::expect(posix_memalign(&p, 64, bytes ? bytes : 1) == 0, "no memory");
  return Memory(static_cast<uint8_t*>(p));
}

// A blob by its kind: bits 0-1 the actor, 2 float16, 3 and 4 the choice and atoms, 5 scaling, 6 a chunk.
class Small {
 public:
  explicit Small(uint32_t kind) : bytes_(sizeof(Header)) {
    Header h{};
    std::memcpy(h.magic, magic, sizeof magic);
    h.major = major_version;
    h.weights = kind >> 2 & 1;
    h.observations = 3, h.actions = 2, h.chunk = kind & 64 ? 3 : 1;
    h.actor = kind % 4 % 3;
    const uint32_t numbers = h.actions * h.chunk;
    const bool flow = h.actor == 0, mean = h.actor == 1;
    h.steps = flow ? 2 : 1;
    h.bound = kind & 1;
    h.choice = kind & 8 && !mean ? 1 + (kind >> 4 & 1) : 0;
    h.candidates = h.choice ? 5 : 1;
    if (kind & 16 && h.choice) h.atom_count = 5, h.atoms = numbers_at(16);
    if (kind & 32) h.mean = numbers_at(16), h.deviation = numbers_at(16);
    h.action_low = numbers_at(16), h.action_high = numbers_at(16);
    h.network[0] = network(h, kind, mean ? 0 : numbers, numbers);
    if (flow) h.times = numbers_at(2 * 32);
    for (int i = 1; h.choice && i < 3; ++i) h.network[i] = network(h, kind + 1, numbers, h.atoms ? 5 : 1);
    h.test_count = 2, h.tests = place(2 * test_size(3, numbers));
    for (uint32_t i = 0; i < 2; ++i) {
      const Test test = {1, i, MEANDER_EVALUATE, h.candidates};
      std::memcpy(bytes_.data() + h.tests + i * test_size(3, numbers), &test, sizeof test);
    }
    h.text = place(64), h.text_size = 10;
    place(0);
    h.size = static_cast<uint32_t>(bytes_.size());
    std::memcpy(bytes_.data(), &h, sizeof h);
    for (uint32_t at = 8; at < sizeof h; at += 4) words_.push_back(at);
    for (const uint32_t n : h.network)
      for (uint32_t at = 0; n && at < sizeof(Network); at += 4) words_.push_back(n + at);
    for (uint32_t at = 0; at < 24; at += 4) words_.push_back(h.tests + at);
  }
  const std::vector<uint8_t>& bytes() const { return bytes_; }
  const std::vector<uint32_t>& words() const { return words_; }   // of the structure

 private:
  uint32_t place(size_t size) {
    bytes_.resize((bytes_.size() + 63) / 64 * 64);
    const size_t at = bytes_.size();
    bytes_.resize(at + size);
    return static_cast<uint32_t>(at);
  }
  uint32_t numbers_at(size_t n) {
    const uint32_t at = place(n * sizeof(float));
    for (size_t i = 0; i < n; ++i) {
      const float x = 0.01f * static_cast<float>((at + i * 37) % 101) + 0.1f;
      std::memcpy(bytes_.data() + at + i * sizeof x, &x, sizeof x);
    }
    return at;
  }
  uint32_t matrix(const Header& h, uint32_t in, uint32_t out) {
    const size_t n = static_cast<size_t>(in) * padded(out);
    if (!h.weights) return numbers_at(n);
    const uint32_t at = place(n * 2);
    for (size_t i = 0; i < n; ++i) bytes_[at + 2 * i + 1] = static_cast<uint8_t>(0x28 + (i * 29) % 16);
    return at;
  }
  uint32_t network(const Header& h, uint32_t kind, uint32_t own, uint32_t outputs) {
    Network n{};
    n.layers = 3;
    n.activation = kind % 5, n.norm = kind % 3, n.norm_eps = 1e-6f;
    n.own_inputs = own;
    const uint32_t widths[] = {own, 20, 17, outputs};
    for (int l = 0; l < 3; ++l) {
      n.layer[l].outputs = widths[l + 1];
      n.layer[l].weight = matrix(h, widths[l], widths[l + 1]);
      n.layer[l].bias = numbers_at(32);
      if (l < 2) n.layer[l].scale = numbers_at(32), n.layer[l].shift = numbers_at(32);
    }
    n.state_weight = matrix(h, h.observations, 20);
    const uint32_t at = place(sizeof n);
    std::memcpy(bytes_.data() + at, &n, sizeof n);
    return at;
  }
  std::vector<uint8_t> bytes_;
  std::vector<uint32_t> words_;
};

const Small& small(uint32_t kind) {
  static std::array<std::unique_ptr<Small>, 128> all;
  if (!all[kind]) all[kind] = std::make_unique<Small>(kind);
  return *all[kind];
}

void run(const uint8_t* blob, size_t size, uint32_t isa) {
  meander_policy policy;
  if (meander_policy_open(&policy, blob, size, 0) != MEANDER_OK) {
    fuzz::expect(policy.blob == nullptr, "a refused policy is open");
    return;
  }
  policy.isa = isa % (policy.isa + 1);
  const uint32_t candidates = policy.candidates < 14 ? policy.candidates : 14;
  const size_t room_size = meander_workspace_size(&policy, candidates), numbers = policy.chunk * policy.actions;
  fuzz::expect(room_size > 0 && room_size < (size_t{1} << 26), "a workspace that cannot be");
  const Memory room = memory(room_size), seen = memory(policy.observations * 4), done = memory(numbers * 4);
  float* const observation = reinterpret_cast<float*>(seen.get());
  float* const action = reinterpret_cast<float*>(done.get());
  for (uint32_t i = 0; i < policy.observations; ++i) observation[i] = 0.25f;
  float q;
  const meander_status status = meander_act(&policy, room.get(), room_size, observation, {1, 2, 3}, candidates, action,
                                            policy.has_critics ? &q : nullptr);
  fuzz::expect(status == MEANDER_OK || status == MEANDER_BAD_RESULT, "an opened policy doesn't act");
  for (size_t i = 0; i < numbers; ++i) fuzz::expect(action[i] >= -1 && action[i] <= 1, "an action out of its range");
  if (isa & 64) meander_policy_test(&policy, room.get(), room_size, nullptr);
  const char* text;
  size_t length;
  meander_policy_text(&policy, &text, &length);
  unsigned sum = 0;
  for (size_t i = 0; i < length; ++i) sum += static_cast<unsigned char>(text[i]);
  volatile unsigned keep = sum;
  (void)keep;
  const Memory scaled = memory(policy.actions * 4);
  meander_scale_action(&policy, action, reinterpret_cast<float*>(scaled.get()));
}

}  // namespace

// The first byte: the kind, or from 128 on a blob follows as it is. Then the instruction set, how much is cut off, and
// changes: a word of the structure by its number, and the value, or what is added to the one that is there.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 4) return 0;
  if (data[0] >= 128) {
    const Memory blob = memory(size - 4);
    std::memcpy(blob.get(), data + 4, size - 4);
    run(blob.get(), size - 4, data[1]);
    return 0;
  }
  const Small& base = small(data[0]);
  const size_t left = data[2] < 250 ? base.bytes().size() : base.bytes().size() - data[3];
  const Memory blob = memory(left);
  std::memcpy(blob.get(), base.bytes().data(), left);
  for (size_t i = 4; i + 6 <= size; i += 6) {
    const uint32_t at = base.words()[(data[i] | (data[i + 1] << 8 & 0x300)) % base.words().size()];
    uint32_t value, before;
    std::memcpy(&value, data + i + 2, 4);
    std::memcpy(&before, base.bytes().data() + at, 4);
    if (data[i + 1] & 4) value = before + static_cast<uint32_t>(static_cast<int8_t>(value)) * (data[i + 1] & 8 ? 64 : 1);
    if (at + 4 <= left) std::memcpy(blob.get() + at, &value, 4);
  }
  run(blob.get(), left, data[1]);
  return 0;
}
