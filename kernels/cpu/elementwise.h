// Functions over arrays. Included by isa_arrays.cpp only.

template <class F>
static inline __attribute__((always_inline)) void map(int64_t n, const float* x, float* y, F&& f) {
  for_vectors(n, [&](int64_t i, auto count) { store(y + i, f(load(x + i, count)), count); });
}

static void exp_array(int64_t n, const float* x, float* y) { map(n, x, y, [](V v) { return exp(v); }); }
static void log_array(int64_t n, const float* x, float* y) { map(n, x, y, [](V v) { return log(v); }); }
static void tanh_array(int64_t n, const float* x, float* y) { map(n, x, y, [](V v) { return tanh(v); }); }
static void sigmoid_array(int64_t n, const float* x, float* y) { map(n, x, y, [](V v) { return sigmoid(v); }); }
static void activation_array(Activation which, int64_t n, const float* x, float* y) {
  with_activation(which, [&]<Activation a>() { map(n, x, y, [](V v) { return activate<a>(v); }); });
}
static void activation_slope_array(Activation which, int64_t n, const float* x, float* y) {
  with_activation(which, [&]<Activation a>() {
    map(n, x, y, [](V v) { V value; return activation_slope<a>(v, value); });
  });
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
    philox_rounds(key[0], key[1], word);
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
      u0[j] = uniform_of(bits[2 * (i + j)]);
      u1[j] = uniform_of(bits[2 * (i + j) + 1]);
    }
    V first, second;
    box_muller(load(u0), load(u1), first, second);
    store(cosine, first);
    store(sine, second);
    for (int64_t j = 0; j < n; ++j) {
      out[2 * (i + j)] = cosine[j];
      out[2 * (i + j) + 1] = sine[j];
    }
  }
}

static void adam(int64_t n, const AdamConstants& k, float correction1, float correction2, const float* gradient,
                 float* params, float* m, float* v) {
  const AdamFactors factors = adam_factors(k, correction1, correction2);
  for_vectors(n, [&](int64_t i, auto count) {
    V param = load(params + i, count), mean = load(m + i, count), square = load(v + i, count);
    adam(factors, load(gradient + i, count), param, mean, square);
    store(m + i, mean, count);
    store(v + i, square, count);
    store(params + i, param, count);
  });
}

static void exponential_average(int64_t n, float tau, const float* source, float* target) {
  for_vectors(n, [&](int64_t i, auto count) {
    store(target + i, exponential_average(tau, load(source + i, count), load(target + i, count)), count);
  });
}
