// Functions over arrays. Included by isa_kernels.cpp only.

template <class F>
static inline __attribute__((always_inline)) void map(int64_t n, const float* x, float* y, F&& f) {
  for_vectors(n, [&](int64_t i, auto count) { store(y + i, f(load(x + i, count)), count); });
}

static void exp_array(int64_t n, const float* x, float* y) { map(n, x, y, [](V v) { return exp(v); }); }
static void log_array(int64_t n, const float* x, float* y) { map(n, x, y, [](V v) { return log(v); }); }
static void tanh_array(int64_t n, const float* x, float* y) { map(n, x, y, [](V v) { return tanh(v); }); }
static void gelu_array(int64_t n, const float* x, float* y) { map(n, x, y, [](V v) { return gelu(v); }); }
static void mish_array(int64_t n, const float* x, float* y) { map(n, x, y, [](V v) { return mish(v); }); }
static void sigmoid_array(int64_t n, const float* x, float* y) { map(n, x, y, [](V v) { return sigmoid(v); }); }
static void gelu_slope_array(int64_t n, const float* x, float* y) {
  map(n, x, y, [](V v) { V value; return gelu_slope(v, value); });
}
static void mish_slope_array(int64_t n, const float* x, float* y) {
  map(n, x, y, [](V v) { V value; return mish_slope(v, value); });
}
static void sincos_array(int64_t n, const float* x, float* sine, float* cosine) {
  for_vectors(n, [&](int64_t i, auto count) {
    V s, c;
    sincos(load(x + i, count), s, c);
    store(sine + i, s, count);
    store(cosine + i, c, count);
  });
}

// Philox on W blocks at a time, each counter word in a vector of its own.
static void philox_bits(const uint32_t key[2], uint32_t first_block, const uint32_t counter[3], int64_t blocks,
                        uint32_t* out) {
  I lane;
  for (int j = 0; j < W; ++j) lane[j] = j;
  for (int64_t b = 0; b < blocks; b += W) {
    I word[4] = {wrapping_add(lane, broadcast_int(static_cast<int32_t>(first_block + static_cast<uint32_t>(b))))};
    for (int w = 1; w < 4; ++w) word[w] = broadcast_int(static_cast<int32_t>(counter[w - 1]));
    uint32_t key0 = key[0], key1 = key[1];
    for (int round = 0; round < 10; ++round) {
      const I high0 = multiply_high(word[0], 0xD2511F53u), low0 = low_product(word[0], 0xD2511F53u);
      const I high1 = multiply_high(word[2], 0xCD9E8D57u), low1 = low_product(word[2], 0xCD9E8D57u);
      word[0] = high1 ^ word[1] ^ static_cast<int32_t>(key0);
      word[1] = low1;
      word[2] = high0 ^ word[3] ^ static_cast<int32_t>(key1);
      word[3] = low0;
      key0 += 0x9E3779B9u;
      key1 += 0xBB67AE85u;
    }
    uint32_t words[4][W];
    for (int w = 0; w < 4; ++w) __builtin_memcpy(words[w], &word[w], sizeof words[w]);
    const int64_t n = blocks - b < W ? blocks - b : W;
    for (int64_t j = 0; j < n; ++j)
      for (int w = 0; w < 4; ++w) out[4 * (b + j) + w] = words[w][j];
  }
}

// Pair i of `bits` becomes sqrt(-2 log u0) (cos, sin)(2 pi u1).
static void box_muller(int64_t pairs, const uint32_t* bits, float* out) {
  for (int64_t i = 0; i < pairs; i += W) {
    const int64_t n = pairs - i < W ? pairs - i : W;
    float u0[W] = {}, u1[W] = {}, cosine[W], sine[W];
    for (int64_t j = 0; j < n; ++j) {
      u0[j] = (static_cast<float>(bits[2 * (i + j)] >> 9) + 0.5f) * 0x1p-23f;
      u1[j] = (static_cast<float>(bits[2 * (i + j) + 1] >> 9) + 0.5f) * 0x1p-23f;
    }
    V s, c;
    const V radius = sqrt(-2.0f * log(load(u0)));
    sincos(6.28318531f * load(u1), s, c);
    store(cosine, radius * c);
    store(sine, radius * s);
    for (int64_t j = 0; j < n; ++j) {
      out[2 * (i + j)] = cosine[j];
      out[2 * (i + j) + 1] = sine[j];
    }
  }
}

static void adam(int64_t n, const AdamConstants& k, float correction1, float correction2, const float* gradient,
                 float* params, float* m, float* v) {
  const V beta1 = broadcast(static_cast<float>(k.beta1)), beta2 = broadcast(static_cast<float>(k.beta2));
  const float rest1 = static_cast<float>(1 - k.beta1), rest2 = static_cast<float>(1 - k.beta2);
  const float rate = static_cast<float>(k.learning_rate), epsilon = static_cast<float>(k.epsilon);
  const V smallest_normal = broadcast(0x1p-126f);
  for_vectors(n, [&](int64_t i, auto count) {
    const V g = load(gradient + i, count);
    V mean = fma(beta1, load(m + i, count), rest1 * g);
    mean = absolute(mean) < smallest_normal ? V{} : mean;
    const V square = fma(beta2, load(v + i, count), rest2 * (g * g));
    const V step = (mean * correction1) / (sqrt(square * correction2) + epsilon);
    store(m + i, mean, count);
    store(v + i, square, count);
    store(params + i, fma(broadcast(-rate), step, load(params + i, count)), count);
  });
}

static void exponential_average(int64_t n, float tau, const float* source, float* target) {
  for_vectors(n, [&](int64_t i, auto count) {
    store(target + i, fma(broadcast(tau), load(source + i, count), (1.0f - tau) * load(target + i, count)), count);
  });
}
