// What follows the product in a hidden layer, row by row: norm and activation, their tangent and their pullback.
// Included by isa_kernels.cpp only.

// coarse: good enough for a result that is rounded to bfloat16.
template <Activation activation, bool coarse = false>
static inline V activate(V x) {
  if constexpr (activation == Activation::relu) return relu(x);
  else if constexpr (activation == Activation::gelu && coarse) return gelu_coarse(x);
  else if constexpr (activation == Activation::gelu) return gelu(x);
  else if constexpr (activation == Activation::mish) return mish(x);
  else return tanh(x);
}
// The slope at x; value = activate(x).
template <Activation activation>
static inline V activation_slope(V x, V& value) {
  if constexpr (activation == Activation::relu) return relu_slope(x, value);
  else if constexpr (activation == Activation::gelu) return gelu_slope(x, value);
  else if constexpr (activation == Activation::mish) return mish_slope(x, value);
  else return tanh_slope(x, value);
}

// One hidden layer's norm and activation.
struct Finish {
  int64_t cols;
  const float* scale;
  const float* shift;
};

// f.operator()<activation, norm>() for the two as they stand in the shape.
template <class F>
static inline void with_kind(Activation activation, Norm norm, F&& f) {
  const auto with_norm = [&]<Activation a>() {
    if (norm == Norm::none) f.template operator()<a, Norm::none>();
    else if (norm == Norm::before_activation) f.template operator()<a, Norm::before_activation>();
    else f.template operator()<a, Norm::after_activation>();
  };
  switch (activation) {
    case Activation::relu: return with_norm.template operator()<Activation::relu>();
    case Activation::gelu: return with_norm.template operator()<Activation::gelu>();
    case Activation::mish: return with_norm.template operator()<Activation::mish>();
    case Activation::tanh: return with_norm.template operator()<Activation::tanh>();
  }
}

// The layer's output from z, the dense layer's (which is spoilt): to(column, value, count) takes it. kept, rstd, mean:
// the tape's row, or null. `moments` are those of z where the norm stands before the activation.
template <Activation activation, Norm norm, bool coarse = false, class To>
static inline void finish_row(const Finish& layer, Moments moments, float* z, float* kept, float* rstd, float* mean,
                              To&& to) {
  if constexpr (norm == Norm::before_activation) {
    for_lanes(layer.cols, [&](int, int64_t j, auto count) {
      const V n = (load(z + j, count) - moments.mean) * moments.rstd;
      if (kept) store(kept + j, n, count);
      to(j, activate<activation, coarse>(fma(n, load(layer.scale + j, count), load(layer.shift + j, count))), count);
    });
    if (rstd) *rstd = moments.rstd, *mean = moments.mean;
  } else {
    for_lanes(layer.cols, [&](int, int64_t j, auto count) {
      const V v = load(z + j, count);
      if (kept) store(kept + j, v, count);
      const V h = activate<activation, coarse>(v);
      if constexpr (norm == Norm::none) to(j, h, count);
      else store(z + j, h, count);
    });
    if constexpr (norm == Norm::after_activation) {
      moments = row_moments(layer.cols, layer_norm_eps, z);
      for_lanes(layer.cols, [&](int, int64_t j, auto count) {
        const V n = (load(z + j, count) - moments.mean) * moments.rstd;
        to(j, fma(n, load(layer.scale + j, count), load(layer.shift + j, count)), count);
      });
      if (rstd) *rstd = moments.rstd, *mean = moments.mean;
    }
  }
}

// f.operator()<activation, norm>(layer, row, moments) for each of the rows of z, the output of dense layer l.
template <class F>
static inline void for_rows(const MlpShape& shape, const float* params, int l, int64_t rows, const float* z,
                            int64_t stride, F&& f) {
  with_kind(shape.activation, shape.norm, [&]<Activation activation, Norm norm>() {
    const Finish layer{shape.width[l + 1], params + shape.scale[l], params + shape.shift[l]};
    const auto one = [&](int64_t i, const Moments& moments) {
      f.template operator()<activation, norm>(layer, i, moments);
    };
    if constexpr (norm == Norm::before_activation) {
      with_moments(rows, layer.cols, layer_norm_eps, z, stride, one);
    } else {
      for (int64_t i = 0; i < rows; ++i) one(i, {});
    }
  });
}

// Norm and activation of hidden layer l in place.
static void mlp_finish(const MlpShape& shape, const float* params, int l, int64_t rows, float* z, int64_t stride) {
  for_rows(shape, params, l, rows, z, stride,
           [&]<Activation activation, Norm norm>(const Finish& layer, int64_t i, const Moments& moments) {
             float* const row = z + i * stride;
             finish_row<activation, norm>(layer, moments, row, nullptr, nullptr, nullptr,
                                          [&](int64_t j, V v, auto count) { store(row + j, v, count); });
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
                                           float* dz, int64_t stride, float* kept, float* rstd, float* mean) {
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
    if (rstd) *rstd = moments.rstd, *mean = moments.mean;
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
      moments = row_moments(layer.cols, layer_norm_eps, z);
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
      if (rstd) *rstd = moments.rstd, *mean = moments.mean;
    }
  }
}

template <Activation activation, Norm norm>
static inline void pull_row(const MlpLayerPullback& p, int64_t i) {
  const int64_t cols = p.cols, at = i * cols;
  const float* const kept = p.tape.kept + at;
  const float* const dh = p.dh + at;
  float* const dz = p.dz + at;
  float* const h = p.h ? p.h + at : nullptr;
  float* const dshift = p.dshift ? p.dshift + at : nullptr;
  float* const dscale = p.dscale ? p.dscale + at : nullptr;
  if constexpr (norm == Norm::before_activation) {
    for_lanes(cols, [&](int, int64_t j, auto count) {
      const V n = load(kept + j, count), scale = load(p.scale + j, count);
      V value;
      const V slope = activation_slope<activation>(fma(n, scale, load(p.shift + j, count)), value);
      const V dy = slope * load(dh + j, count);
      if (h) store(h + j, value, count);
      if (dshift) store(dshift + j, dy, count);
      if (dscale) store(dscale + j, dy * n, count);
      store(dz + j, scale * dy, count);
    });
    normalise_tangent(
        cols, p.tape.rstd[i], dz, [&](int64_t j, auto count) { return load(kept + j, count); },
        [&](int64_t j, V v, auto count) { store(dz + j, v, count); });
  } else if constexpr (norm == Norm::after_activation) {
    const float mean = p.tape.mean[i], rstd = p.tape.rstd[i];
    const auto normalised = [&](int64_t j, auto count) {
      return keep((activate<activation>(load(kept + j, count)) - mean) * rstd, count);
    };
    for_lanes(cols, [&](int, int64_t j, auto count) {
      const V n = normalised(j, count), scale = load(p.scale + j, count), dy = load(dh + j, count);
      if (h) store(h + j, fma(n, scale, load(p.shift + j, count)), count);
      if (dshift) store(dshift + j, dy, count);
      if (dscale) store(dscale + j, dy * n, count);
      store(dz + j, scale * dy, count);
    });
    normalise_tangent(cols, rstd, dz, normalised, [&](int64_t j, V v, auto count) {
      V value;
      store(dz + j, v * activation_slope<activation>(load(kept + j, count), value), count);
    });
  } else {
    for_lanes(cols, [&](int, int64_t j, auto count) {
      V value;
      const V slope = activation_slope<activation>(load(kept + j, count), value);
      if (h) store(h + j, value, count);
      store(dz + j, slope * load(dh + j, count), count);
    });
  }
}

static void mlp_layer_pullback(const MlpLayerPullback& layer, int64_t rows) {
  with_kind(layer.activation, layer.norm, [&]<Activation activation, Norm norm>() {
    for (int64_t i = 0; i < rows; ++i) pull_row<activation, norm>(layer, i);
  });
}
