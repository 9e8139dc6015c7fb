#include <meander/algos/mean_flow.h>

#include <meander/core/elements.h>

namespace meander {

Interval IntervalSampler::operator()(Tensor a, Tensor b) const {
  const int64_t still = static_cast<int64_t>(double(a.rows) * share_equal);
  const Interval i{empty(a.rows, 1), empty(a.rows, 1), a.rows - still};
  kernels::current().interval({draw, static_cast<float>(mean), static_cast<float>(deviation), static_cast<float>(margin),
                               a.rows, still, a.f32(), b.f32(), i.t.f32(), i.r.f32()});
  return i;
}

Tensor mean_flow_target(const Interval& interval, Tensor g, Tensor dfdt) {
  const int64_t still = g.rows - interval.moving;
  if (interval.moving == 0) return g;
  const Tensor y = empty(g.rows, g.cols, g.dtype);
  detail::by_dtype(g.dtype, kernels::current().mean_flow_target, kernels::mean_flow_target<double>,
                   [&]<class T>(T, auto target) {
                     target(g.rows, g.cols, still, interval.t.as<T>(), interval.r.as<T>(), g.as<T>(), dfdt.as<T>(),
                            y.as<T>());
                   });
  return y;
}

Tensor interpolate(Tensor action, Tensor noise, Tensor t) {
  return mix(t, action, noise).tensor;
}

}  // namespace meander
