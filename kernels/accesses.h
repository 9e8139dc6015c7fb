#pragma once

#include <algorithm>
#include <vector>

#include <meander/kernels/device.h>

// What each function of kernels/device.h reads and writes, known before it runs: recorded work then waits only for what
// it needs (kernels/dependencies.h), and the bytes of an update can be counted.
namespace meander::kernels {

struct Access {
  const std::byte *begin, *end;   // from the first byte touched to the last; all memory there is: null, null
  size_t bytes;                   // moved; none for scratch, which nobody reads afterwards
  bool written;
};

// Those of one call, entered by the functions of for_each_function below. n counts elements; null is nothing.
class Accesses {
 public:
  explicit Accesses(const DeviceKernels& device) : device_(device) {}

  template <class T>
  void read(const T* p, int64_t n) { enter(p, n, 1, false); }
  template <class T>
  void write(T* p, int64_t n) { enter(p, n, 1, true); }
  template <class T>
  void change(T* p, int64_t n) { enter(p, n, 2, true); }       // read and written
  void scratch(float* p, int64_t n) { enter(p, n, 0, true); }
  // What cannot be known from the arguments.
  void everything() { all_.push_back({nullptr, nullptr, 0, true}); }

  const DeviceKernels& device() const { return device_; }       // for sizes
  auto begin() const { return all_.begin(); }
  auto end() const { return all_.end(); }

 private:
  template <class T>
  void enter(T* p, int64_t n, size_t times, bool written) {
    if (!p || n <= 0) return;
    const std::byte* const at = reinterpret_cast<const std::byte*>(p);
    const size_t size = static_cast<size_t>(n) * sizeof(T);
    all_.push_back({at, at + size, times * size, written});
  }
  const DeviceKernels& device_;
  std::vector<Access> all_;
};

// Where a network's parameters lie in its flat buffer: [first, last).
struct ParameterRange {
  int64_t first = INT64_MAX, last = 0;
  void add(int64_t at, int64_t n) { first = std::min(first, at), last = std::max(last, at + n); }
  int64_t size() const { return last - first; }
};
inline ParameterRange parameters_of(const MlpShape& s) {
  ParameterRange range;
  for (int l = 0; l < s.layers; ++l) {
    range.add(s.weight[l], s.width[l] * s.width[l + 1]), range.add(s.bias[l], s.width[l + 1]);
    if (s.norm == Norm::none || l + 1 == s.layers) continue;
    range.add(s.scale[l], s.width[l + 1]), range.add(s.shift[l], s.width[l + 1]);
  }
  return range;
}
inline ParameterRange parameters_of(const EmbeddingShape& s) {
  ParameterRange range;
  if (!s.fixed) range.add(s.frequency, s.frequencies);
  range.add(s.weight0, 2 * s.frequencies * s.hidden), range.add(s.bias0, s.hidden);
  range.add(s.weight1, s.hidden * s.width), range.add(s.bias1, s.width);
  return range;
}
template <class Shape>
void read_parameters(Accesses& a, const Shape& s, const float* params) {
  const ParameterRange range = parameters_of(s);
  a.read(params + range.first, range.size());
}
template <class Shape>
void change_parameters(Accesses& a, const Shape& s, float* params) {
  const ParameterRange range = parameters_of(s);
  if (params) a.change(params + range.first, range.size());
}
inline void read_products(Accesses& a, const MlpShape& s, const MlpProducts& products) {
  if (products.prepared) a.read(products.prepared, a.device().mlp_prepared_size(s));
}
// Rows of a matrix that begin `stride` elements after one another.
inline int64_t extent(int64_t rows, int64_t cols, int64_t stride) { return rows ? (rows - 1) * stride + cols : 0; }

// A function of the table, as a value that a template can be called with.
template <auto member>
struct Function {};

// visit(Function<&DeviceKernels::f>(), "f", accesses) for each function that queues work; accesses(a, arguments...) enters
// what a call touches into `a`.
template <class Visit>
void for_each_function(Visit visit) {
  using K = DeviceKernels;
  using A = Accesses;
  const auto everything = [](A& a, auto&&...) { a.everything(); };

  // ---- memory --------------------------------------------------------------------------------------------------------
  visit(Function<&K::copy>(), "copy", [](A& a, void* to, const void* from, size_t bytes) {
    a.read(static_cast<const std::byte*>(from), static_cast<int64_t>(bytes));
    a.write(static_cast<std::byte*>(to), static_cast<int64_t>(bytes));
  });
  visit(Function<&K::fill>(), "fill", [](A& a, void* p, int, size_t bytes) {
    a.write(static_cast<std::byte*>(p), static_cast<int64_t>(bytes));
  });

  // ---- arrays.h ------------------------------------------------------------------------------------------------------
  visit(Function<&K::fill_value>(), "fill_value", [](A& a, int64_t n, float, float* y) { a.write(y, n); });
  visit(Function<&K::binary>(), "binary",
        [](A& a, Binary, int64_t rows, int64_t cols, const float* l, int64_t l_rows, int64_t l_cols, const float* r,
           int64_t r_rows, int64_t r_cols, float* y) {
          a.read(l, l_rows * l_cols), a.read(r, r_rows * r_cols), a.write(y, rows * cols);
        });
  visit(Function<&K::affine>(), "affine",
        [](A& a, int64_t n, float, float, const float* x, float* y) { a.read(x, n), a.write(y, n); });
  visit(Function<&K::add_scaled>(), "add_scaled", [](A& a, int64_t n, const float* x, float, const float* d, float* y) {
    a.read(x, n), a.read(d, n), a.write(y, n);
  });
  visit(Function<&K::interpolate>(), "interpolate",
        [](A& a, int64_t rows, int64_t cols, const float* t, const float* from, const float* to, float* y) {
          a.read(t, rows), a.read(from, rows * cols), a.read(to, rows * cols), a.write(y, rows * cols);
        });
  const auto clipped = [](A& a, int64_t n, float, float, const float* x, float* y) { a.read(x, n), a.write(y, n); };
  visit(Function<&K::clip>(), "clip", clipped);
  visit(Function<&K::inside>(), "inside", clipped);
  visit(Function<&K::copy_matrix>(), "copy_matrix",
        [](A& a, int64_t rows, int64_t cols, const float* x, int64_t x_stride, int64_t group, float* y, int64_t y_stride) {
          a.read(x, extent((rows + group - 1) / group, cols, x_stride)), a.write(y, extent(rows, cols, y_stride));
        });
  visit(Function<&K::concat_columns>(), "concat_columns",
        [](A& a, int64_t rows, std::span<const ColumnsOf<float>> parts, float* y) {
          int64_t cols = 0;
          for (const auto& p : parts) a.read(p.x, (rows + p.group - 1) / p.group * p.cols), cols += p.cols;
          a.write(y, rows * cols);
        });
  visit(Function<&K::add_to>(), "add_to", [](A& a, int64_t n, const float* x, float* y) { a.read(x, n), a.change(y, n); });
  visit(Function<&K::sum_groups>(), "sum_groups",
        [](A& a, int64_t rows, int64_t cols, int64_t group, const float* x, float* y) {
          a.read(x, rows * group * cols), a.write(y, rows * cols);
        });
  visit(Function<&K::argmax_row>(), "argmax_row",
        [](A& a, int64_t rows, int64_t cols, int64_t, const float* x, int32_t* index) {
          a.read(x, rows * cols), a.write(index, rows);
        });
  visit(Function<&K::one_hot>(), "one_hot", [](A& a, int64_t rows, int64_t cols, const int32_t* column, float* y) {
    a.read(column, rows), a.write(y, rows * cols);
  });
  visit(Function<&K::gather_row>(), "gather_row",
        [](A& a, int64_t rows, int64_t cols, const float* x, const int32_t* column, float* y) {
          a.read(x, rows * cols), a.read(column, rows), a.write(y, rows);
        });
  visit(Function<&K::gather_rows>(), "gather_rows", everything);   // how many rows there are it is not told
  visit(Function<&K::flag_not_finite>(), "flag_not_finite", [](A& a, std::span<const FiniteOf> all, uint32_t* flag) {
    for (const FiniteOf& f : all) a.read(f.x, f.n);
    a.change(flag, 1);
  });
  visit(Function<&K::gather_numbers>(), "gather_numbers", [](A& a, std::span<const NumberOf> all, float* y) {
    for (const NumberOf& n : all) a.read(n.from, 1), a.write(y + n.to, 1);
  });

  // ---- elementwise.h -------------------------------------------------------------------------------------------------
  const auto map = [](A& a, int64_t n, const float* x, float* y) { a.read(x, n), a.write(y, n); };
  visit(Function<&K::square_root>(), "square_root", map);
  visit(Function<&K::relu>(), "relu", map);
  visit(Function<&K::exp>(), "exp", map);
  visit(Function<&K::log>(), "log", map);
  visit(Function<&K::tanh>(), "tanh", map);
  visit(Function<&K::sigmoid>(), "sigmoid", map);
  const auto activation = [](A& a, Activation, int64_t n, const float* x, float* y) { a.read(x, n), a.write(y, n); };
  visit(Function<&K::activation>(), "activation", activation);
  visit(Function<&K::activation_slope>(), "activation_slope", activation);
  visit(Function<&K::sincos>(), "sincos", [](A& a, int64_t n, const float* x, float* sine, float* cosine) {
    a.read(x, n), a.write(sine, n), a.write(cosine, n);
  });

  // ---- rows.h --------------------------------------------------------------------------------------------------------
  const auto by_row = [](A& a, int64_t rows, int64_t cols, const float* x, float* y) {
    a.read(x, rows * cols), a.write(y, rows);
  };
  visit(Function<&K::sum_row>(), "sum_row", by_row);
  visit(Function<&K::max_row>(), "max_row", by_row);
  visit(Function<&K::log_sum_exp>(), "log_sum_exp", by_row);
  visit(Function<&K::normal_log_prob>(), "normal_log_prob", by_row);
  visit(Function<&K::sum_column>(), "sum_column", [](A& a, int64_t rows, int64_t cols, const float* x, float* y) {
    a.read(x, rows * cols), a.write(y, cols);
  });
  visit(Function<&K::softmax>(), "softmax", [](A& a, int64_t rows, int64_t cols, const float* x, float* y) {
    a.read(x, rows * cols), a.write(y, rows * cols);
  });
  visit(Function<&K::mean>(), "mean", [](A& a, int64_t n, const float* x, float* y) { a.read(x, n), a.write(y, 1); });
  visit(Function<&K::softmax_expectation>(), "softmax_expectation",
        [](A& a, int64_t rows, int64_t cols, const float* x, const float* value, float* y) {
          a.read(x, rows * cols), a.read(value, cols), a.write(y, rows);
        });
  visit(Function<&K::layer_norm>(), "layer_norm",
        [](A& a, int64_t rows, int64_t cols, float, const float* x, const float* scale, const float* shift, float* y,
           float* normalised, float* rstd) {
          a.read(x, rows * cols), a.read(scale, cols), a.read(shift, cols);
          a.write(y, rows * cols), a.write(normalised, rows * cols), a.write(rstd, rows);
        });
  const auto project = [](A& a, int64_t rows, int64_t atoms, float, float, const float* p, const float* q, float* y) {
    a.read(p, rows * atoms), a.read(q, rows * atoms), a.write(y, rows * atoms);
  };
  visit(Function<&K::c51_project>(), "c51_project", project);
  visit(Function<&K::c51_project_transpose>(), "c51_project_transpose", project);

  // ---- truncated_normal.h --------------------------------------------------------------------------------------------
  const auto truncated = [](A& a, int64_t n, const float* lower, const float* upper, const float* f, float* y) {
    a.read(lower, n), a.read(upper, n), a.read(f, n), a.write(y, n);
  };
  visit(Function<&K::truncated_normal>(), "truncated_normal", truncated);
  visit(Function<&K::normal_mass_ratio>(), "normal_mass_ratio", truncated);

  // ---- philox.h ------------------------------------------------------------------------------------------------------
  const auto drawn = [](A& a, const RandomKey&, const uint64_t* step, int64_t n, auto* out) {
    a.read(step, 1), a.write(out, n);
  };
  visit(Function<&K::philox_bits>(), "philox_bits", drawn);
  visit(Function<&K::philox_uniform>(), "philox_uniform", drawn);
  visit(Function<&K::philox_normal>(), "philox_normal", drawn);
  visit(Function<&K::philox_draws>(), "philox_draws", [](A& a, std::span<const DrawOf> all, const uint64_t* step) {
    a.read(step, 1);
    for (const DrawOf& d : all) a.write(d.out, d.n);
  });
  visit(Function<&K::philox_index>(), "philox_index",
        [](A& a, const RandomKey&, const uint64_t* step, int64_t n, uint32_t, uint32_t* out) {
          a.read(step, 1), a.write(out, n);
        });

  // ---- optimiser.h ---------------------------------------------------------------------------------------------------
  visit(Function<&K::adam>(), "adam",
        [](A& a, std::span<const AdamOf> all, const AdamConstants&, float, int64_t, const uint64_t* step,
           const uint32_t* stop) {
          a.read(step, 1), a.read(stop, 1);
          for (const AdamOf& one : all) {
            a.read(one.gradient, one.n);
            for (float* const p : {one.params, one.m, one.v, one.target}) a.change(p, one.n);
          }
        });
  visit(Function<&K::exponential_average>(), "exponential_average",
        [](A& a, int64_t n, float, const float* source, float* target, const uint32_t* stop) {
          a.read(stop, 1), a.read(source, n), a.change(target, n);
        });

  // ---- dense.h -------------------------------------------------------------------------------------------------------
  visit(Function<&K::dense>(), "dense",
        [](A& a, int64_t rows, int64_t in, int64_t out, const float* x, const float* weight, const float* bias, float* y,
           float* workspace) {
          a.read(x, rows * in), a.read(weight, in * out), a.read(bias, out), a.write(y, rows * out);
          a.scratch(workspace, a.device().product_workspace(rows, out, in));
        });
  const auto product = [](A& a, int64_t m, int64_t n, int64_t k, const float* l, const float* r, float* c,
                          bool accumulate, float* workspace) {
    a.read(l, m * k), a.read(r, n * k);
    if (accumulate) a.change(c, m * n); else a.write(c, m * n);
    a.scratch(workspace, a.device().product_workspace(m, n, k));
  };
  visit(Function<&K::product_nt>(), "product_nt", product);
  visit(Function<&K::product_tn>(), "product_tn", product);

  // ---- mlp.h ---------------------------------------------------------------------------------------------------------
  visit(Function<&K::mlp_prepare>(), "mlp_prepare",
        [](A& a, const MlpShape& s, const float* params, Precision, float* prepared) {
          read_parameters(a, s, params), a.write(prepared, a.device().mlp_prepared_size(s));
        });
  visit(Function<&K::mlp_forward>(), "mlp_forward",
        [](A& a, const MlpShape& s, const float* params, int64_t rows, const float* x, float* y, float* tape,
           float* workspace, const MlpProducts& products) {
          read_parameters(a, s, params), read_products(a, s, products);
          a.read(x, rows * s.width[0]), a.write(y, rows * s.width[s.layers]);
          a.write(tape, a.device().mlp_tape_size(s, rows)), a.scratch(workspace, a.device().mlp_workspace(s, rows));
        });
  visit(Function<&K::mlp_forward_projected>(), "mlp_forward_projected",
        [](A& a, const MlpShape& s, const float* params, int64_t rows, int64_t own_cols, const float* own, int64_t,
           int64_t group, const float* start, float* y, float* workspace, const MlpProducts& products) {
          read_parameters(a, s, params), read_products(a, s, products);
          a.read(own, rows * own_cols), a.read(start, rows / group * s.width[1]);
          a.write(y, rows * s.width[s.layers]), a.scratch(workspace, a.device().mlp_workspace(s, rows));
        });
  visit(Function<&K::mlp_forward_shared>(), "mlp_forward_shared",
        [](A& a, const MlpShape& s, const float* params, int64_t rows, int64_t own_cols, const float* own, int64_t group,
           const float* shared, bool, float* y, float* workspace, const MlpProducts& products) {
          read_parameters(a, s, params), read_products(a, s, products);
          a.read(own, rows * own_cols), a.read(shared, rows / group * (s.width[0] - own_cols));
          a.write(y, rows * s.width[s.layers]), a.scratch(workspace, a.device().mlp_workspace(s, rows));
        });
  visit(Function<&K::mlp_value_and_gradient_shared>(), "mlp_value_and_gradient_shared",
        [](A& a, const MlpShape& s, const float* params, int64_t rows, int64_t own_cols, const float* own, int64_t group,
           const float* shared, bool, float* y, float* gradient, float* workspace) {
          read_parameters(a, s, params), a.read(own, rows * own_cols);
          a.read(shared, rows / group * (s.width[0] - own_cols)), a.write(y, rows), a.write(gradient, rows * own_cols);
          a.scratch(workspace, a.device().mlp_workspace(s, rows));
        });
  visit(Function<&K::mlp_value_and_tangent>(), "mlp_value_and_tangent",
        [](A& a, const MlpShape& s, const float* params, int64_t rows, const float* x, int64_t tangent_rows,
           const float* dx, float* y, float* dy, float* tape, float* workspace) {
          const int64_t in = s.width[0], out = s.width[s.layers];
          read_parameters(a, s, params), a.read(x, rows * in), a.read(dx, tangent_rows * in);
          a.write(y, rows * out), a.write(dy, tangent_rows * out), a.write(tape, a.device().mlp_tape_size(s, rows));
          a.scratch(workspace, a.device().mlp_workspace(s, rows + tangent_rows));
        });
  visit(Function<&K::mlp_value_and_directions>(), "mlp_value_and_directions",
        [](A& a, const MlpShape& s, const float* params, int64_t rows, const float* x, int64_t directions, int64_t,
           int64_t dx_cols, const float* dx, float* y, float* dy, float* workspace) {
          const int64_t out = s.width[s.layers];
          read_parameters(a, s, params), a.read(x, rows * s.width[0]), a.read(dx, rows * directions * dx_cols);
          a.write(y, rows * out), a.write(dy, rows * directions * out);
          a.scratch(workspace, a.device().mlp_workspace(s, rows + rows * directions));
        });
  visit(Function<&K::mlp_backward>(), "mlp_backward",
        [](A& a, const MlpShape& s, const float* params, int64_t rows, const float* x, const float* tape, const float* dy,
           float* dx, float* dparams, float* workspace) {
          read_parameters(a, s, params), a.read(x, rows * s.width[0]), a.read(dy, rows * s.width[s.layers]);
          a.read(tape, a.device().mlp_tape_size(s, rows)), a.write(dx, rows * s.width[0]);
          change_parameters(a, s, dparams), a.scratch(workspace, a.device().mlp_workspace(s, rows));
        });
  visit(Function<&K::mlp_forward_reference>(), "mlp_forward_reference", everything);
  visit(Function<&K::mlp_value_and_tangent_reference>(), "mlp_value_and_tangent_reference", everything);
  visit(Function<&K::mlp_backward_reference>(), "mlp_backward_reference", everything);

  // ---- embedding.h ---------------------------------------------------------------------------------------------------
  visit(Function<&K::embedding_forward>(), "embedding_forward",
        [](A& a, const EmbeddingShape& s, const float* params, int64_t rows, const float* t, float* y, float* tape,
           float* workspace) {
          read_parameters(a, s, params), a.read(s.fixed, s.frequencies), a.read(t, rows), a.write(y, rows * s.width);
          a.write(tape, embedding_tape_size(s, rows));
          a.scratch(workspace, a.device().embedding_workspace(s, rows));
        });
  visit(Function<&K::embedding_value_and_tangent>(), "embedding_value_and_tangent",
        [](A& a, const EmbeddingShape& s, const float* params, int64_t rows, const float* t, int64_t tangent_rows,
           const float* dt, float* y, float* dy, float* tape, float* workspace) {
          read_parameters(a, s, params), a.read(s.fixed, s.frequencies), a.read(t, rows), a.read(dt, tangent_rows);
          a.write(y, rows * s.width), a.write(dy, tangent_rows * s.width);
          a.write(tape, embedding_tape_size(s, rows));
          a.scratch(workspace, a.device().embedding_workspace(s, rows));
        });
  visit(Function<&K::embedding_backward>(), "embedding_backward",
        [](A& a, const EmbeddingShape& s, const float* params, int64_t rows, const float* t, const float* tape,
           const float* dy, float* dparams, float* workspace) {
          read_parameters(a, s, params), a.read(s.fixed, s.frequencies), a.read(t, rows), a.read(dy, rows * s.width);
          a.read(tape, embedding_tape_size(s, rows)), change_parameters(a, s, dparams);
          a.scratch(workspace, a.device().embedding_workspace(s, rows));
        });

  // ---- losses.h, mean_flow.h -----------------------------------------------------------------------------------------
  visit(Function<&K::cross_entropy>(), "cross_entropy",
        [](A& a, int64_t rows, int64_t cols, const float* target, const float* logits, float* row, float* loss) {
          a.read(target, rows * cols), a.read(logits, rows * cols), a.write(row, rows), a.write(loss, 1);
        });
  visit(Function<&K::cross_entropy_gradient>(), "cross_entropy_gradient",
        [](A& a, int64_t rows, int64_t cols, const float* target, const float* logits, const float* dloss,
           float* dlogits) {
          a.read(target, rows * cols), a.read(logits, rows * cols), a.read(dloss, 1), a.write(dlogits, rows * cols);
        });
  visit(Function<&K::mean_squared_error>(), "mean_squared_error",
        [](A& a, int64_t n, const float* x, const float* y, float* loss) {
          a.read(x, n), a.read(y, n), a.write(loss, 1);
        });
  visit(Function<&K::mean_squared_error_gradient>(), "mean_squared_error_gradient",
        [](A& a, int64_t n, const float* x, const float* y, const float* dloss, float* dx) {
          a.read(x, n), a.read(y, n), a.read(dloss, 1), a.write(dx, n);
        });
  visit(Function<&K::interval>(), "interval", [](A& a, const IntervalOf& i) {
    a.read(i.a, i.rows), a.read(i.b, i.rows), a.write(i.t, i.rows), a.write(i.r, i.rows);
  });
  visit(Function<&K::mean_flow_target>(), "mean_flow_target",
        [](A& a, int64_t rows, int64_t cols, int64_t still, const float* t, const float* r, const float* field,
           const float* derivative, float* y) {
          a.read(t, rows), a.read(r, rows), a.read(field, rows * cols), a.read(derivative, (rows - still) * cols);
          a.write(y, rows * cols);
        });

  // ---- mfpo.h --------------------------------------------------------------------------------------------------------
  visit(Function<&K::gaussian_proposals>(), "gaussian_proposals",
        [](A& a, int64_t batch, int64_t actions, int64_t proposals, const float* x, const float* t, const float* uniform,
           float* lower, float* upper, float* noise, float* action) {
          const int64_t one = batch * actions, all = one * proposals;
          a.read(x, one), a.read(t, batch), a.read(uniform, all);
          a.write(lower, one), a.write(upper, one), a.write(noise, all), a.write(action, all);
        });
  visit(Function<&K::proposal_weights>(), "proposal_weights", [](A& a, const ProposalWeightsOf& p) {
    const int64_t policy = p.batch * p.policy_count, gaussian = p.batch * p.gaussian_count;
    a.read(p.x, p.batch * p.actions), a.read(p.t, p.batch), a.read(p.policy_action, policy * p.actions);
    a.read(p.log_prob, policy), a.read(p.q, policy + gaussian), a.read(p.alpha, 1);
    a.write(p.log_policy, policy), a.write(p.policy, policy);
    a.write(p.log_gaussian, gaussian), a.write(p.gaussian, gaussian);
  });
  visit(Function<&K::proposal_velocity>(), "proposal_velocity", [](A& a, const ProposalVelocityOf& p) {
    const int64_t one = p.batch * p.actions, policy = p.batch * p.policy_count, gaussian = p.batch * p.gaussian_count;
    a.read(p.x, one), a.read(p.t, p.batch), a.read(p.policy_weight, policy), a.read(p.gaussian_weight, gaussian);
    a.read(p.policy_action, policy * p.actions), a.read(p.gaussian_action, gaussian * p.actions);
    for (float* const v : {p.policy, p.gaussian, p.mixed}) a.write(v, one);
    for (float* const y : {p.ess_policy, p.ess_gaussian, p.share}) a.write(y, p.batch);
  });
  visit(Function<&K::soft_target>(), "soft_target", [](A& a, const SoftTargetOf& s) {
    const int64_t all = s.batch * s.atoms;
    a.read(s.logits[0], all), a.read(s.logits[1], all), a.read(s.z, s.atoms), a.read(s.alpha, 1);
    for (const float* const x : {s.reward, s.mask, s.log_prob}) a.read(x, s.batch);
    for (float* const y : {s.positions, s.projected[0], s.projected[1], s.chosen}) a.write(y, all);
    for (float* const y : {s.mean[0], s.mean[1], s.clipped_low, s.clipped_high}) a.write(y, s.batch);
  });

  visit(Function<&K::hutchinson>(), "hutchinson",
        [](A& a, int64_t batch, int64_t actions, int64_t probes, const float* probe, const float* derivative, float* y) {
          const int64_t all = batch * probes * actions;
          a.read(probe, all), a.read(derivative, all), a.write(y, batch);
        });

  // ---- candidates.h, replay.h ----------------------------------------------------------------------------------------
  visit(Function<&K::best_candidate>(), "best_candidate", everything);   // all its blocks meet: alone on the device
  visit(Function<&K::replay_batch>(), "replay_batch", [](A& a, const ReplayBatchOf& r) {
    a.everything();   // how many rows there are it is not told; below, what is moved
    const int64_t actions = r.chunk * r.actions;
    a.read(r.row, r.batch * (r.steps + 1)), a.change(r.state, r.batch * r.observations);
    a.change(r.action, r.batch * actions), a.change(r.reward, r.batch * r.steps);
    a.change(r.next_state, r.batch * r.observations);
  });
}

}  // namespace meander::kernels
