// Bits of Philox and the normals made of them, over arrays: kernels/philox.h. Included inside anonymous namespaces.

// Philox on W blocks at a time, each counter word in a vector of its own.
static void philox_bits(const uint32_t key[2], uint32_t first_block, const uint32_t counter[3], Size blocks,
                        uint32_t* out) {
  const I lane = lane_numbers();
  for (Size b = 0; b < blocks; b += W) {
    I word[4] = {wrapping_add(lane, broadcast_int(static_cast<int32_t>(first_block + static_cast<uint32_t>(b))))};
    for (int w = 1; w < 4; ++w) word[w] = broadcast_int(static_cast<int32_t>(counter[w - 1]));
    philox_rounds(key[0], key[1], word);
    uint32_t words[4][W];
    for (int w = 0; w < 4; ++w) __builtin_memcpy(words[w], &word[w], sizeof words[w]);
    const Size n = blocks - b < W ? blocks - b : W;
    for (Size j = 0; j < n; ++j)
      for (int w = 0; w < 4; ++w) out[4 * (b + j) + w] = words[w][j];
  }
}

// Pair i of `bits` becomes sqrt(-2 log u0) (cos, sin)(2 pi u1).
static void box_muller(Size pairs, const uint32_t* bits, float* out) {
  for (Size i = 0; i < pairs; i += W) {
    const Size n = pairs - i < W ? pairs - i : W;
    float u0[W] = {}, u1[W] = {}, cosine[W], sine[W];
    for (Size j = 0; j < n; ++j) {
      u0[j] = uniform_of(bits[2 * (i + j)]);
      u1[j] = uniform_of(bits[2 * (i + j) + 1]);
    }
    V first, second;
    box_muller(load(u0), load(u1), first, second);
    store(cosine, first);
    store(sine, second);
    for (Size j = 0; j < n; ++j) {
      out[2 * (i + j)] = cosine[j];
      out[2 * (i + j) + 1] = sine[j];
    }
  }
}
