// What follows the product in a hidden layer, row by row: norm and activation, their tangent and their pullback.
// Included by isa_layers.cpp only.

namespace {
// One hidden layer's norm and activation.
struct Finish {
  int64_t cols;
  const float* scale;
  const float* shift;
  float eps = 0;      // of the norm; on the way back the tape has what it made
};

static inline Finish finish_of(const MlpShape& shape, const float* params, int l) {
  return {shape.width[l + 1], params + shape.scale[l], params + shape.shift[l], shape.norm_eps};
}

// f.operator()<norm>() and f.operator()<activation, norm>() as they stand in the shape.
template <class F>
static inline void with_norm(Norm norm, F&& f) {
  if (norm == Norm::none) f.template operator()<Norm::none>();
  else if (norm == Norm::before_activation) f.template operator()<Norm::before_activation>();
  else f.template operator()<Norm::after_activation>();
}
template <class F>
static inline void with_kind(Activation activation, Norm norm, F&& f) {
  with_norm(norm, [&]<Norm n>() {
    with_activation(activation, [&]<Activation a>() { f.template operator()<a, n>(); });
  });
}

// The layer's output from z, the dense layer's (which is spoilt): to(column, value, count) takes it. `tape`: its row,
// or null. `moments` are those of z where the norm stands before the activation.
template <Activation activation, Norm norm, bool coarse = false, class To>
static inline void finish_row(const Finish& layer, Moments moments, float* z, const MlpTape& tape, To&& to) {
  float* const kept = tape.kept;
  if constexpr (norm == Norm::before_activation) {
    for_lanes(layer.cols, [&](int, int64_t j, auto count) {
      const V n = (load(z + j, count) - moments.mean) * moments.rstd;
      if (kept) store(kept + j, n, count);
      to(j, activate<activation, coarse>(fma(n, load(layer.scale + j, count), load(layer.shift + j, count))), count);
    });
    if (kept) *tape.rstd = moments.rstd, *tape.mean = moments.mean;
  } else {
    for_lanes(layer.cols, [&](int, int64_t j, auto count) {
      const V v = load(z + j, count);
      if (kept) store(kept + j, v, count);
      const V h = activate<activation, coarse>(v);
      if constexpr (norm == Norm::none) to(j, h, count);
      else store(z + j, h, count);
    });
    if constexpr (norm == Norm::after_activation) {
      moments = row_moments(layer.cols, layer.eps, z);
      for_lanes(layer.cols, [&](int, int64_t j, auto count) {
        const V n = (load(z + j, count) - moments.mean) * moments.rstd;
        to(j, fma(n, load(layer.scale + j, count), load(layer.shift + j, count)), count);
      });
      if (kept) *tape.rstd = moments.rstd, *tape.mean = moments.mean;
    }
  }
}

// f.operator()<activation, norm>(layer, row, moments) for each of the rows of z, the output of dense layer l.
template <class F>
static inline void for_rows(const MlpShape& shape, const float* params, int l, int64_t rows, const float* z,
                            int64_t stride, F&& f) {
  with_kind(shape.activation, shape.norm, [&]<Activation activation, Norm norm>() {
    const Finish layer = finish_of(shape, params, l);
    const auto one = [&](int64_t i, const Moments& moments) {
      f.template operator()<activation, norm>(layer, i, moments);
    };
    if constexpr (norm == Norm::before_activation) {
      with_moments(rows, layer.cols, layer.eps, z, stride, one);
    } else {
      for (int64_t i = 0; i < rows; ++i) one(i, {});
    }
  });
}

// d becomes rstd (d - mean(d) - n mean(n d)), the tangent (and, as the map is symmetric, the pullback) of the
// normalised row n = (a - mean) rstd; then `last(column, value, count)` takes it.
template <class N, class Last>
static inline void normalise_tangent(int64_t cols, float rstd, const float* d, N&& n, Last&& last) {
  Lanes s = all_lanes(0.0f), sn = all_lanes(0.0f);
  for_lanes(cols, [&](int g, int64_t j, auto count) {
    const V v = load(d + j, count);
    s.part[g] += v;
    sn.part[g] = fma(n(j, count), v, sn.part[g]);
  });
  const float mean = sum(s) / static_cast<float>(cols), mean_n = sum(sn) / static_cast<float>(cols);
  for_lanes(cols, [&](int, int64_t j, auto count) {
    last(j, rstd * (load(d + j, count) - mean - n(j, count) * mean_n), count);
  });
}

// As finish_row in place, and each of the `directions` rows of dz, tangents of z `stride` apart, becomes a tangent of
// the layer's output.
template <Activation activation, Norm norm>
static inline void finish_row_and_tangents(const Finish& layer, Moments moments, float* z, int64_t directions,
                                           float* dz, int64_t stride, const MlpTape& tape) {
  float* const kept = tape.kept;
  const auto z_at = [&](int64_t j, auto count) { return load(z + j, count); };
  if constexpr (norm == Norm::before_activation) {
    for_lanes(layer.cols, [&](int, int64_t j, auto count) {
      const V n = (load(z + j, count) - moments.mean) * moments.rstd;
      if (kept) store(kept + j, n, count);
      store(z + j, n, count);
    });
    for (float* const end = dz + directions * stride; dz < end; dz += stride) {
      const bool last = dz + stride == end;  // nobody needs n any more
      normalise_tangent(layer.cols, moments.rstd, dz, z_at, [&](int64_t j, V dn, auto count) {
        const V scale = load(layer.scale + j, count);
        V value;
        const V slope =
            activation_slope<activation>(fma(load(z + j, count), scale, load(layer.shift + j, count)), value);
        store(dz + j, slope * (scale * dn), count);
        if (last) store(z + j, value, count);
      });
    }
    if (kept) *tape.rstd = moments.rstd, *tape.mean = moments.mean;
  } else {
    for_lanes(layer.cols, [&](int, int64_t j, auto count) {
      const V v = load(z + j, count);
      if (kept) store(kept + j, v, count);
      V value;
      const V slope = activation_slope<activation>(v, value);
      for (int64_t d = 0; d < directions; ++d)
        store(dz + d * stride + j, slope * load(dz + d * stride + j, count), count);
      store(z + j, value, count);
    });
    if constexpr (norm == Norm::after_activation) {
      moments = row_moments(layer.cols, layer.eps, z);
      for_lanes(layer.cols, [&](int, int64_t j, auto count) {
        store(z + j, (load(z + j, count) - moments.mean) * moments.rstd, count);
      });
      for (int64_t d = 0; d < directions; ++d, dz += stride)
        normalise_tangent(layer.cols, moments.rstd, dz, z_at, [&](int64_t j, V dn, auto count) {
          store(dz + j, load(layer.scale + j, count) * dn, count);
        });
      for_lanes(layer.cols, [&](int, int64_t j, auto count) {
        store(z + j, fma(load(z + j, count), load(layer.scale + j, count), load(layer.shift + j, count)), count);
      });
      if (kept) *tape.rstd = moments.rstd, *tape.mean = moments.mean;
    }
  }
}

// Row i of what a layer of `width` keeps.
static inline KeptRows row_of(const KeptRows& kept, int64_t width, int64_t i) {
  return {kept.slope + i * width, kept.normalised + i * width, kept.rstd + i};
}
static inline MlpTape row_of(const MlpTape& tape, int64_t width, int64_t i) {
  return tape.kept ? MlpTape{tape.kept + i * width, tape.rstd + i, tape.mean + i} : MlpTape{};
}

// As finish_row in place.
template <Activation activation, Norm norm>
static inline void finish_row_and_slope(const Finish& layer, Moments moments, float* z, const KeptRows& kept) {
  const auto scaled = [&](int64_t j, V n, auto count) {
    return fma(n, load(layer.scale + j, count), load(layer.shift + j, count));
  };
  for_lanes(layer.cols, [&](int, int64_t j, auto count) {
    V x = load(z + j, count), value;
    if constexpr (norm == Norm::before_activation) {
      x = (x - moments.mean) * moments.rstd;
      store(kept.normalised + j, x, count);
      x = scaled(j, x, count);
    }
    store(kept.slope + j, activation_slope<activation>(x, value), count);
    store(z + j, value, count);
  });
  if constexpr (norm == Norm::after_activation) {
    moments = row_moments(layer.cols, layer.eps, z);
    for_lanes(layer.cols, [&](int, int64_t j, auto count) {
      const V n = (load(z + j, count) - moments.mean) * moments.rstd;
      store(kept.normalised + j, n, count);
      store(z + j, scaled(j, n, count), count);
    });
  }
  if constexpr (norm != Norm::none) *kept.rstd = moments.rstd;
}

// dz from dh (which it may be), with slope(column, count) and normalised(column, count) of the row. each(column, dy,
// count) sees the cotangent of the norm's result.
template <Norm norm, class Slope, class Normalised, class Each>
static inline void pull_through(const Finish& layer, float rstd, const float* dh, float* dz, Slope&& slope,
                                Normalised&& normalised, Each&& each) {
  for_lanes(layer.cols, [&](int, int64_t j, auto count) {
    V dy = load(dh + j, count);
    if constexpr (norm != Norm::after_activation) dy = slope(j, count) * dy;
    if constexpr (norm != Norm::none) {
      each(j, dy, count);
      dy = load(layer.scale + j, count) * dy;
    }
    store(dz + j, dy, count);
  });
  if constexpr (norm != Norm::none) {
    normalise_tangent(layer.cols, rstd, dz, normalised, [&](int64_t j, V v, auto count) {
      if constexpr (norm == Norm::after_activation) v = v * slope(j, count);
      store(dz + j, v, count);
    });
  }
}

// In place on d, from what finish_row_and_slope kept.
template <Norm norm>
static inline void pull_kept_row(const Finish& layer, const KeptRows& kept, float* d) {
  pull_through<norm>(
      layer, norm == Norm::none ? 0.0f : *kept.rstd, d, d,
      [&](int64_t j, auto count) { return load(kept.slope + j, count); },
      [&](int64_t j, auto count) { return load(kept.normalised + j, count); }, [](int64_t, V, auto) {});
}

// From the tape of a forward pass.
template <Activation activation, Norm norm>
static inline void pull_row(const MlpLayerPullback& p, int64_t i) {
  const int64_t at = i * p.cols;
  const float* const kept = p.tape.kept + at;
  float* const h = p.h ? p.h + at : nullptr;
  float* const dshift = p.dshift ? p.dshift + at : nullptr;
  float* const dscale = p.dscale ? p.dscale + at : nullptr;
  const float rstd = norm == Norm::none ? 0.0f : p.tape.rstd[i];
  const auto scaled = [&](int64_t j, V n, auto count) {
    return fma(n, load(p.scale + j, count), load(p.shift + j, count));
  };
  const auto normalised = [&](int64_t j, auto count) {
    const V x = load(kept + j, count);
    if constexpr (norm == Norm::after_activation)
      return keep((activate<activation>(x) - p.tape.mean[i]) * rstd, count);
    else return x;
  };
  const auto slope = [&](int64_t j, auto count) {
    V x = load(kept + j, count), value;
    if constexpr (norm == Norm::before_activation) x = scaled(j, x, count);
    const V slope = activation_slope<activation>(x, value);
    if (norm != Norm::after_activation && h) store(h + j, value, count);
    return slope;
  };
  const auto each = [&](int64_t j, V dy, auto count) {
    const V n = normalised(j, count);
    if (norm == Norm::after_activation && h) store(h + j, scaled(j, n, count), count);
    if (dshift) store(dshift + j, dy, count);
    if (dscale) store(dscale + j, dy * n, count);
  };
  pull_through<norm>({p.cols, p.scale, p.shift}, rstd, p.dh + at, p.dz + at, slope, normalised, each);
}

}  // namespace

// ---- the functions of the table and of layer_functions.h ------------------------------------------------------------
static void pull_rows(const MlpLayerPullback& layer, int64_t rows) {
  with_kind(layer.activation, layer.norm, [&]<Activation activation, Norm norm>() {
    for (int64_t i = 0; i < rows; ++i) pull_row<activation, norm>(layer, i);
  });
}

void finish_rows(const MlpShape& shape, const float* params, int l, int64_t rows, float* z, int64_t stride,
                 const MlpTape& tape) {
  for_rows(shape, params, l, rows, z, stride,
           [&]<Activation activation, Norm norm>(const Finish& layer, int64_t i, const Moments& moments) {
             float* const row = z + i * stride;
             finish_row<activation, norm>(layer, moments, row, row_of(tape, layer.cols, i),
                                          [&](int64_t j, V v, auto count) { store(row + j, v, count); });
           });
}

void finish_rows_and_tangents(const MlpShape& shape, const float* params, int l, int64_t rows, float* z,
                              int64_t directions, float* dz, int64_t stride, const MlpTape& tape) {
  for_rows(shape, params, l, rows, z, stride,
           [&]<Activation activation, Norm norm>(const Finish& layer, int64_t i, const Moments& moments) {
             finish_row_and_tangents<activation, norm>(layer, moments, z + i * stride, directions,
                                                       dz + i * directions * stride, stride,
                                                       row_of(tape, layer.cols, i));
           });
}

void finish_rows_and_slopes(const MlpShape& shape, const float* params, int l, int64_t rows, float* z, int64_t stride,
                            const KeptRows& kept) {
  for_rows(shape, params, l, rows, z, stride,
           [&]<Activation activation, Norm norm>(const Finish& layer, int64_t i, const Moments& moments) {
             finish_row_and_slope<activation, norm>(layer, moments, z + i * stride, row_of(kept, layer.cols, i));
           });
}

void finish_rows_bfloat16(const MlpShape& shape, const float* params, int l, int64_t rows, float* z, int64_t stride,
                          uint32_t* h, int64_t h_stride) {
  for_rows(shape, params, l, rows, z, stride,
           [&]<Activation activation, Norm norm>(const Finish& layer, int64_t i, const Moments& moments) {
             uint16_t* const row = reinterpret_cast<uint16_t*>(h + i * h_stride);
             finish_row<activation, norm, true>(layer, moments, z + i * stride, {}, [&](int64_t j, V v, auto count) {
               store_halves(row + j, to_bfloat16(v), count);
             });
             if (layer.cols % 2) row[layer.cols] = 0;
           });
}

void pull_kept_rows(const MlpShape& shape, const float* params, int l, int64_t rows, const KeptRows& kept, float* d,
                    int64_t stride) {
  with_norm(shape.norm, [&]<Norm norm>() {
    const Finish layer = finish_of(shape, params, l);
    for (int64_t i = 0; i < rows; ++i) pull_kept_row<norm>(layer, row_of(kept, layer.cols, i), d + i * stride);
  });
}
