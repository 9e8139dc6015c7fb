#include <meander/kernels/philox.h>

#include <meander/kernels/cpu/table.h>
#include <meander/kernels/threads.h>

namespace meander::kernels {
namespace {

constexpr int64_t grain = 4096;  // words, a multiple of 4
constexpr int64_t chunk = 1024;  // words kept on the stack between bits and what is made of them

RandomKey at(const RandomKey& key, const uint64_t* step) { return {key.seed, key.purpose, step ? *step : key.step}; }

void bits_from(const IsaKernels& isa, const RandomKey& name, int64_t first_word, int64_t n, uint32_t* out) {
  const uint32_t key[2] = {static_cast<uint32_t>(name.seed), static_cast<uint32_t>(name.seed >> 32)};
  const uint32_t counter[3] = {name.purpose, static_cast<uint32_t>(name.step), static_cast<uint32_t>(name.step >> 32)};
  const uint32_t block = static_cast<uint32_t>(first_word / 4);
  isa.philox_bits(key, block, counter, n / 4, out);
  if (n % 4) {
    uint32_t last[4];
    isa.philox_bits(key, block + static_cast<uint32_t>(n / 4), counter, 1, last);
    for (int64_t w = 0; w < n % 4; ++w) out[n / 4 * 4 + w] = last[w];
  }
}

// make(first word, words, bits) over all words, in chunks whose bits are on the stack.
template <class Make>
void from_bits(const RandomKey& key, int64_t n, Make&& make) {
  const IsaKernels& isa = active();
  parallel_for(n, grain, [&](int64_t begin, int64_t end) {
    uint32_t bits[chunk];
    for (int64_t i = begin; i < end; i += chunk) {
      const int64_t words = end - i < chunk ? end - i : chunk;
      bits_from(isa, key, i, words, bits);
      make(i, words, bits);
    }
  });
}

}  // namespace

void philox_block(const RandomKey& key, uint32_t block, uint32_t out[4]) {
  bits_from(active(), key, int64_t{block} * 4, 4, out);
}

void philox_bits(const RandomKey& key, int64_t n, uint32_t* out) {
  const IsaKernels& isa = active();
  parallel_for(n, grain, [&](int64_t begin, int64_t end) { bits_from(isa, key, begin, end - begin, out + begin); });
}

void philox_uniform(const RandomKey& key, const uint64_t* step, int64_t n, float* out) {
  from_bits(at(key, step), n, [=](int64_t first, int64_t words, const uint32_t* bits) {
    for (int64_t i = 0; i < words; ++i) out[first + i] = (static_cast<float>(bits[i] >> 9) + 0.5f) * 0x1p-23f;
  });
}

void philox_normal(const RandomKey& key, const uint64_t* step, int64_t n, float* out) {
  const auto box_muller = active().box_muller;
  from_bits(at(key, step), n + n % 2, [=](int64_t first, int64_t words, const uint32_t* bits) {
    const bool cut = first + words > n;  // n odd: the last pair gives one number
    box_muller((words - cut) / 2, bits, out + first);
    if (cut) {
      float pair[2];
      box_muller(1, bits + words - 2, pair);
      out[n - 1] = pair[0];
    }
  });
}

void philox_draws(std::span<const DrawArguments> all, const uint64_t* step) {
  for (const DrawArguments& d : all) (d.normal ? philox_normal : philox_uniform)(d.key, step, d.n, d.out);
}

void philox_index(const RandomKey& key, int64_t n, uint32_t bound, uint32_t* out) {
  from_bits(key, n, [=](int64_t first, int64_t words, const uint32_t* bits) {
    for (int64_t i = 0; i < words; ++i) out[first + i] = static_cast<uint32_t>((uint64_t{bits[i]} * bound) >> 32);
  });
}

}  // namespace meander::kernels
