#include <meander/algos/mean_flow.h>

#include <meander/core/elements.h>

namespace meander {

FlowTimes FlowTimesSampler::operator()(Tensor a, Tensor b) const {
  const int64_t equal = static_cast<int64_t>(double(a.rows) * share_equal);
  const FlowTimes i{empty(a.rows, 1), empty(a.rows, 1), a.rows - equal};
  kernels::current().flow_times({draw, static_cast<float>(mean), static_cast<float>(deviation),
                                 static_cast<float>(margin), a.rows, equal, a.f32(), b.f32(), i.t.f32(), i.r.f32()});
  return i;
}

Tensor mean_flow_target(const FlowTimes& times, Tensor g, Tensor dfdt) {
  const int64_t equal = g.rows - times.unequal;
  if (times.unequal == 0) return g;
  const Tensor y = empty(g.rows, g.cols, g.dtype);
  detail::by_dtype(g.dtype, kernels::current().mean_flow_target, kernels::mean_flow_target<double>,
                   [&]<class T>(T, auto target) {
                     target(g.rows, g.cols, equal, times.t.as<T>(), times.r.as<T>(), g.as<T>(), dfdt.as<T>(),
                            y.as<T>());
                   });
  return y;
}

Tensor interpolate(Tensor action, Tensor noise, Tensor t) {
  return mix(t, action, noise).detached;
}

}  // namespace meander
