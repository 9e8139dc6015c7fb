// One step of Adam and of the exponential average. See formula.h and kernels/optimiser.h.

// AdamConstants as the formula uses them, rounded once, and 1 / (1 - beta^step).
struct AdamFactors {
  float beta1, beta2, rest1, rest2, rate, epsilon, correction1, correction2;
};

static inline AdamFactors adam_factors(const AdamConstants& k, float correction1, float correction2) {
  return {.beta1 = static_cast<float>(k.beta1), .beta2 = static_cast<float>(k.beta2),
          .rest1 = static_cast<float>(1 - k.beta1), .rest2 = static_cast<float>(1 - k.beta2),
          .rate = static_cast<float>(k.learning_rate), .epsilon = static_cast<float>(k.epsilon),
          .correction1 = correction1, .correction2 = correction2};
}

MEANDER_FORMULA void adam(const AdamFactors& k, V gradient, V& param, V& m, V& v) {
  m = fma(broadcast(k.beta1), m, k.rest1 * gradient);
  m = absolute(m) < 0x1p-126f ? V{} : m;
  v = fma(broadcast(k.beta2), v, k.rest2 * (gradient * gradient));
  const V step = (m * k.correction1) / (sqrt(v * k.correction2) + k.epsilon);
  param = fma(broadcast(-k.rate), step, param);
}

MEANDER_FORMULA V exponential_average(float tau, V source, V target) {
  return fma(broadcast(tau), source, (1.0f - tau) * target);
}
