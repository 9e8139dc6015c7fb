// The normal distribution cut to an interval, over arrays. Included by isa_arrays.cpp only.

static void truncated_normal_array(int64_t n, const float* lower, const float* upper, const float* f, float* y) {
  for_vectors(n, [&](int64_t i, auto count) {
    store(y + i, truncated_normal(load(lower + i, count), load(upper + i, count), load(f + i, count)), count);
  });
}
static void normal_mass_ratio_array(int64_t n, const float* lower, const float* upper, const float* y, float* ratio) {
  for_vectors(n, [&](int64_t i, auto count) {
    store(ratio + i, normal_mass_ratio(load(lower + i, count), load(upper + i, count), load(y + i, count)), count);
  });
}
