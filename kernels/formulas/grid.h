// The C51 grid linspace(v_min, v_max, atoms). See formula.h and kernels/rows.h.

// Where a position falls: between atom `low` and `low + 1`, `upper_share` of its mass to the latter.
struct GridPlace {
  int64_t low;
  float upper_share;
};
MEANDER_FORMULA GridPlace grid_place(int64_t atoms, float v_min, float v_max, float where) {
  const float clipped = where < v_min ? v_min : where > v_max ? v_max : where;
  const float last = static_cast<float>(atoms - 1);
  const float position = (clipped - v_min) / ((v_max - v_min) / last);
  int64_t low = position > 0.0f ? static_cast<int64_t>(position) : 0;  // a NaN goes to 0 and keeps its share NaN
  if (low > atoms - 2) low = atoms - 2;
  const float share = position - static_cast<float>(low);
  return {low, share > 1.0f ? 1.0f : share};
}
