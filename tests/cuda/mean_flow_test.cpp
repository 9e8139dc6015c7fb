#include <meander/kernels/mean_flow.h>

#include "against_cpu.h"

// kernels/cuda/mean_flow.cu against the CPU: the same formulas, hence equal bits.
namespace meander {

TEST_CASE("times of a batch are the CPU's") {
  on_each_device([](OnDevice& d) {
    using Draw = kernels::FlowTimesDraw;
    for (const Draw draw : {Draw::logit_normal, Draw::uniform, Draw::uniform_below})
      for (const int64_t rows : {1, 7, 300})
        for (const int64_t equal : {int64_t{0}, rows / 2, rows}) {
          Floats a = normals(rows, 1), b = normals(rows, 2), t(a.size()), r(a.size());
          if (draw != Draw::logit_normal) {
            kernels::philox_uniform({.seed = 3}, nullptr, rows, a.data());
            kernels::philox_uniform({.seed = 4}, nullptr, rows, b.data());
          }
          kernels::flow_times({draw, -0.4f, 1.1f, 1e-3f, rows, equal, a.data(), b.data(), t.data(), r.data()});
          const auto on_t = d.room(t.size()), on_r = d.room(r.size());
          d.k.flow_times({draw, -0.4f, 1.1f, 1e-3f, rows, equal, d.up(a), d.up(b), on_t, on_r});
          CHECK(same_numbers(d.down(on_t), t));
          CHECK(same_numbers(d.down(on_r), r));
          for (size_t i = 0; i < t.size(); ++i) CHECK((r[i] == t[i] || i >= static_cast<size_t>(equal)));
        }
  });
}

TEST_CASE("targets of a mean field are the CPU's") {
  on_each_device([](OnDevice& d) {
    for (const int64_t rows : {1, 9})
      for (const int64_t cols : {1, 21})
        for (const int64_t equal : {int64_t{0}, rows * 3 / 4, rows}) {
          Floats t = normals(rows, 1), r = normals(rows, 2), y(static_cast<size_t>(rows * cols));   // lengths to be clipped too
          const Floats field = normals(rows * cols, 3), derivative = normals((rows - equal) * cols, 4);
          kernels::mean_flow_target(rows, cols, equal, t.data(), r.data(), field.data(), derivative.data(), y.data());
          const auto on_y = d.room(y.size());
          d.k.mean_flow_target(rows, cols, equal, d.up(t), d.up(r), d.up(field), d.up(derivative), on_y);
          CHECK(same_numbers(d.down(on_y), y));
        }
  });
}

}  // namespace meander
