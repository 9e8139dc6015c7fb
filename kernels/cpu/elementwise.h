// Functions over arrays. Included by isa_arrays.cpp only.

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
