#pragma once

#include <cstdint>

// The functions of a device, each stated once. A device has them in a namespace of its own (kernels/cuda/kernels.h),
// with the names and types of their contracts in kernels/*.h. From the lists come the members of DeviceKernels
// (kernels/device.h), what every device enters there, and what is known of a call before it runs (kernels/accesses.h).
//   F(name)   the contract is the function kernels::name
//   T(name)   it is the template kernels::name, for float and double, of which a device has the float form
#define MEANDER_DEVICE_FUNCTIONS(F, T)                                                                       \
  /* arrays.h */                                                                                             \
  T(fill_value) T(binary) T(affine) T(add_scaled) T(interpolate) T(square_root) T(relu) T(clip) T(inside)    \
  T(copy_matrix) T(concat_columns) T(add_to) T(sum_groups) T(argmax_row) T(one_hot) T(gather_row)            \
  T(gather_rows) F(flag_not_finite) F(gather_numbers)                                                        \
  /* elementwise.h, activation.h */                                                                          \
  F(exp) F(log) F(tanh) F(sigmoid) F(sincos) F(activation) F(activation_slope)                               \
  /* rows.h */                                                                                               \
  F(sum_row) F(sum_column) F(softmax) F(log_sum_exp) F(softmax_expectation) F(mean) F(normal_log_prob)       \
  F(layer_norm) F(c51_project) F(c51_project_transpose)                                                      \
  /* truncated_normal.h, philox.h, optimiser.h */                                                            \
  F(truncated_normal) F(normal_mass_ratio)                                                                   \
  F(philox_uniform) F(philox_normal) F(philox_draws)                                                         \
  F(adam) F(exponential_average)                                                                             \
  /* dense.h, mlp.h, embedding.h */                                                                          \
  F(dense) F(product_nt) F(product_tn)                                                                       \
  F(mlp_prepare) F(mlp_forward) F(mlp_forward_projected) F(mlp_forward_shared)                               \
  F(mlp_value_and_gradient_shared) F(mlp_value_and_tangent) F(mlp_value_and_directions) F(mlp_backward)      \
  F(embedding_forward) F(embedding_value_and_tangent) F(embedding_backward)                                  \
  /* losses.h, mean_flow.h, mfpo.h, replay.h */                                                              \
  F(cross_entropy) F(cross_entropy_gradient) F(mean_squared_error) F(mean_squared_error_gradient)            \
  F(flow_times) T(mean_flow_target)                                                                            \
  F(gaussian_proposals) F(proposal_weights) F(proposal_velocity) F(soft_target) F(hutchinson)                \
  F(replay_batch)

// Those that only say how much room another one needs.
#define MEANDER_DEVICE_SIZES(F) \
  F(product_workspace) F(mlp_prepared_size) F(mlp_tape_size) F(mlp_workspace) F(embedding_workspace)

// Those that the CPU has no need of: null there. mlp.h, candidates.h
#define MEANDER_GPU_FUNCTIONS(F) \
  F(mlp_forward_reference) F(mlp_value_and_tangent_reference) F(mlp_backward_reference) F(best_candidate)
#define MEANDER_GPU_SIZES(F) F(mlp_reference_workspace) F(candidates_workspace)

#define MEANDER_ALL_FUNCTIONS(F, T) \
  MEANDER_DEVICE_FUNCTIONS(F, T) MEANDER_DEVICE_SIZES(F) MEANDER_GPU_FUNCTIONS(F) MEANDER_GPU_SIZES(F)

namespace meander::kernels {

// What a call of each function in the first list touches, by its arguments, with Accesses `a` (kernels/accesses.h)
// before them. a(n, p, q, ...): n elements behind each pointer, read where they are const, else written.
struct Touched {
  static constexpr auto everything = [](auto& a, auto&&...) { a.everything(); };
  static constexpr auto mlp_forward_reference = everything, mlp_value_and_tangent_reference = everything,
                        mlp_backward_reference = everything;
  // Its blocks all meet: alone on the device, whatever it touches.
  static constexpr auto best_candidate = [](auto& a, const CandidatesArguments& c, float*) {
    a.everything(), a(c.observations, c.state), a.network(*c.flow, c.flow_params);
    a(c.times ? c.steps * c.flow->width[1] : 0, c.times), a(c.actions, c.action), a(c.candidates * c.actions, c.all);
    if (!c.critic) return;
    for (const float* const params : c.critic_params) a.network(*c.critic, params);
    a(c.critic->width[c.critic->layers], c.atoms), a(c.candidates, c.q);
  };
  static constexpr auto elements = [](auto& a, auto n, auto... x) { a(n, x...); };

  // ---- arrays.h -----------------------------------------------------------------------------------------------------
  static constexpr auto fill_value = elements, affine = elements, add_scaled = elements, square_root = elements;
  static constexpr auto relu = elements, clip = elements, inside = elements;
  static constexpr auto binary = [](auto& a, auto, auto rows, auto cols, auto l, auto l_rows, auto l_cols, auto r,
                                    auto r_rows, auto r_cols, auto y) {
    a(l_rows * l_cols, l), a(r_rows * r_cols, r), a(rows * cols, y);
  };
  static constexpr auto interpolate = [](auto& a, auto rows, auto cols, auto t, auto from, auto to, auto y) {
    a(rows, t), a(rows * cols, from, to, y);
  };
  static constexpr auto copy_matrix = [](auto& a, auto rows, auto cols, auto x, auto x_stride, auto group, auto y,
                                         auto y_stride) {
    a.strided((rows + group - 1) / group, cols, x_stride, x), a.strided(rows, cols, y_stride, y);
  };
  static constexpr auto concat_columns = [](auto& a, auto rows, auto parts, auto y) {
    int64_t cols = 0;
    for (const auto& p : parts) a((rows + p.group - 1) / p.group * p.cols, p.x), cols += p.cols;
    a(rows * cols, y);
  };
  static constexpr auto add_to = [](auto& a, auto n, auto x, auto y) { a(n, x), a.changed(n, y); };
  static constexpr auto sum_groups = [](auto& a, auto rows, auto cols, auto group, auto x, auto y) {
    a(rows * group * cols, x), a(rows * cols, y);
  };
  static constexpr auto argmax_row = [](auto& a, auto rows, auto cols, auto, auto x, auto index) {
    a(rows * cols, x), a(rows, index);
  };
  static constexpr auto one_hot = [](auto& a, auto rows, auto cols, auto column, auto y) {
    a(rows, column), a(rows * cols, y);
  };
  static constexpr auto gather_row = [](auto& a, auto rows, auto cols, auto x, auto column, auto y) {
    a(rows * cols, x), a(rows, column, y);
  };
  static constexpr auto gather_rows = everything;   // how many rows there are it is not told
  static constexpr auto flag_not_finite = [](auto& a, auto all, auto flag) {
    for (const auto& f : all) a(f.n, f.x);
    a.changed(1, flag);
  };
  static constexpr auto gather_numbers = [](auto& a, auto all, auto y) {
    for (const auto& n : all) a(1, n.from, y + n.to);
  };

  // ---- elementwise.h, activation.h ----------------------------------------------------------------------------------
  static constexpr auto exp = elements, log = elements, tanh = elements, sigmoid = elements, sincos = elements;
  static constexpr auto activation = [](auto& a, auto, auto n, auto x, auto y) { a(n, x, y); };
  static constexpr auto activation_slope = activation;

  // ---- rows.h -------------------------------------------------------------------------------------------------------
  static constexpr auto sum_row = [](auto& a, auto rows, auto cols, auto x, auto y) { a(rows * cols, x), a(rows, y); };
  static constexpr auto sum_column = [](auto& a, auto rows, auto cols, auto x, auto y) {
    a(rows * cols, x), a(cols, y);
  };
  static constexpr auto log_sum_exp = sum_row, normal_log_prob = sum_row;
  static constexpr auto softmax = [](auto& a, auto rows, auto cols, auto x, auto y) { a(rows * cols, x, y); };
  static constexpr auto softmax_expectation = [](auto& a, auto rows, auto cols, auto x, auto value, auto y) {
    a(rows * cols, x), a(cols, value), a(rows, y);
  };
  static constexpr auto mean = [](auto& a, auto n, auto x, auto y) { a(n, x), a(1, y); };
  static constexpr auto layer_norm = [](auto& a, auto rows, auto cols, auto, auto x, auto scale, auto shift, auto y,
                                        auto normalised, auto rstd) {
    a(rows * cols, x, y, normalised), a(cols, scale, shift), a(rows, rstd);
  };
  static constexpr auto c51_project = [](auto& a, auto rows, auto atoms, auto, auto, auto prob, auto where, auto y) {
    a(rows * atoms, prob, where, y);
  };
  static constexpr auto c51_project_transpose = c51_project;

  // ---- truncated_normal.h, philox.h, optimiser.h --------------------------------------------------------------------
  static constexpr auto truncated_normal = elements, normal_mass_ratio = elements;
  static constexpr auto philox_uniform = [](auto& a, auto&, auto step, auto n, auto out) { a(1, step), a(n, out); };
  static constexpr auto philox_normal = philox_uniform;
  static constexpr auto philox_draws = [](auto& a, auto all, auto step) {
    a(1, step);
    for (const auto& d : all) a(d.n, d.out);
  };
  static constexpr auto adam = [](auto& a, auto all, auto&, auto, auto, auto step, auto stop) {
    a(1, step, stop);
    for (const auto& one : all) a(one.n, one.gradient), a.changed(one.n, one.params, one.m, one.v, one.target);
  };
  static constexpr auto exponential_average = [](auto& a, auto n, auto, auto source, auto target, auto stop) {
    a(1, stop), a(n, source), a.changed(n, target);
  };

  // ---- dense.h ------------------------------------------------------------------------------------------------------
  static constexpr auto dense = [](auto& a, auto rows, auto in, auto out, auto x, auto weight, auto bias, auto y,
                                   auto workspace) {
    a(rows * in, x), a(in * out, weight), a(out, bias), a(rows * out, y);
    a.scratch(a.device().product_workspace(rows, out, in), workspace);
  };
  static constexpr auto product_nt = [](auto& a, auto m, auto n, auto k, auto l, auto r, auto c, auto accumulate,
                                        auto workspace) {
    a(m * k, l), a(n * k, r);
    if (accumulate) a.changed(m * n, c); else a(m * n, c);
    a.scratch(a.device().product_workspace(m, n, k), workspace);
  };
  static constexpr auto product_tn = product_nt;

  // ---- mlp.h --------------------------------------------------------------------------------------------------------
  static constexpr auto mlp_prepare = [](auto& a, auto& s, auto params, auto, auto prepared) {
    a.network(s, params), a(a.device().mlp_prepared_size(s), prepared);
  };
  static constexpr auto mlp_forward = [](auto& a, auto& s, auto params, auto rows, auto x, auto y, auto tape,
                                         auto workspace, auto& products) {
    a.network(s, params), a(a.device().mlp_prepared_size(s), products.prepared);
    a(rows * s.width[0], x), a(rows * s.width[s.layers], y), a(a.device().mlp_tape_size(s, rows), tape);
    a.scratch(a.device().mlp_workspace(s, rows), workspace);
  };
  static constexpr auto mlp_forward_projected = [](auto& a, auto& s, auto params, auto rows, auto own_cols, auto own,
                                                   auto, auto group, auto start, auto y, auto workspace,
                                                   auto& products) {
    a.network(s, params), a(a.device().mlp_prepared_size(s), products.prepared);
    a(rows * own_cols, own), a(rows / group * s.width[1], start), a(rows * s.width[s.layers], y);
    a.scratch(a.device().mlp_workspace(s, rows), workspace);
  };
  static constexpr auto mlp_forward_shared = [](auto& a, auto& s, auto params, auto rows, auto own_cols, auto own,
                                                auto group, auto shared, auto, auto y, auto workspace, auto& products) {
    a.network(s, params), a(a.device().mlp_prepared_size(s), products.prepared);
    a(rows * own_cols, own), a(rows / group * (s.width[0] - own_cols), shared), a(rows * s.width[s.layers], y);
    a.scratch(a.device().mlp_workspace(s, rows), workspace);
  };
  static constexpr auto mlp_value_and_gradient_shared = [](auto& a, auto& s, auto params, auto rows, auto own_cols,
                                                           auto own, auto group, auto shared, auto, auto y,
                                                           auto gradient, auto workspace) {
    a.network(s, params), a(rows * own_cols, own, gradient), a(rows / group * (s.width[0] - own_cols), shared);
    a(rows, y), a.scratch(a.device().mlp_workspace(s, rows), workspace);
  };
  static constexpr auto mlp_value_and_tangent = [](auto& a, auto& s, auto params, auto rows, auto x, auto tangent_rows,
                                                   auto dx, auto y, auto dy, auto tape, auto workspace) {
    const auto in = s.width[0], out = s.width[s.layers];
    a.network(s, params), a(rows * in, x), a(tangent_rows * in, dx), a(rows * out, y), a(tangent_rows * out, dy);
    a(a.device().mlp_tape_size(s, rows), tape), a.scratch(a.device().mlp_workspace(s, rows + tangent_rows), workspace);
  };
  static constexpr auto mlp_value_and_directions = [](auto& a, auto& s, auto params, auto rows, auto x, auto directions,
                                                      auto, auto dx_cols, auto dx, auto y, auto dy, auto workspace) {
    const auto tangents = rows * directions, out = s.width[s.layers];
    a.network(s, params), a(rows * s.width[0], x), a(tangents * dx_cols, dx), a(rows * out, y), a(tangents * out, dy);
    a.scratch(a.device().mlp_workspace(s, rows + tangents), workspace);
  };
  static constexpr auto mlp_backward = [](auto& a, auto& s, auto params, auto rows, auto x, auto tape, auto dy, auto dx,
                                          auto dparams, auto workspace) {
    a.network(s, params), a.network(s, dparams), a(rows * s.width[0], x, dx), a(rows * s.width[s.layers], dy);
    a(a.device().mlp_tape_size(s, rows), tape), a.scratch(a.device().mlp_workspace(s, rows), workspace);
  };

  // ---- embedding.h --------------------------------------------------------------------------------------------------
  static constexpr auto embedding_forward = [](auto& a, auto& s, auto params, auto rows, auto t, auto y, auto tape,
                                               auto workspace) {
    a.network(s, params), a(rows, t), a(rows * s.width, y), a(embedding_tape_size(s, rows), tape);
    a.scratch(a.device().embedding_workspace(s, rows), workspace);
  };
  static constexpr auto embedding_value_and_tangent = [](auto& a, auto& s, auto params, auto rows, auto t,
                                                         auto tangent_rows, auto dt, auto y, auto dy, auto tape,
                                                         auto workspace) {
    a.network(s, params), a(rows, t), a(tangent_rows, dt), a(rows * s.width, y), a(tangent_rows * s.width, dy);
    a(embedding_tape_size(s, rows), tape), a.scratch(a.device().embedding_workspace(s, rows), workspace);
  };
  static constexpr auto embedding_backward = [](auto& a, auto& s, auto params, auto rows, auto t, auto tape, auto dy,
                                                auto dparams, auto workspace) {
    a.network(s, params), a.network(s, dparams), a(rows, t), a(rows * s.width, dy);
    a(embedding_tape_size(s, rows), tape), a.scratch(a.device().embedding_workspace(s, rows), workspace);
  };

  // ---- losses.h, mean_flow.h ----------------------------------------------------------------------------------------
  static constexpr auto cross_entropy = [](auto& a, auto rows, auto cols, auto target, auto logits, auto row,
                                           auto loss) {
    a(rows * cols, target, logits), a(rows, row), a(1, loss);
  };
  static constexpr auto cross_entropy_gradient = [](auto& a, auto rows, auto cols, auto target, auto logits, auto dloss,
                                                    auto dlogits) {
    a(rows * cols, target, logits, dlogits), a(1, dloss);
  };
  static constexpr auto mean_squared_error = [](auto& a, auto n, auto x, auto y, auto loss) { a(n, x, y), a(1, loss); };
  static constexpr auto mean_squared_error_gradient = [](auto& a, auto n, auto x, auto y, auto dloss, auto dx) {
    a(n, x, y, dx), a(1, dloss);
  };
  static constexpr auto flow_times = [](auto& a, auto& i) { a(i.rows, i.a, i.b, i.t, i.r); };
  static constexpr auto mean_flow_target = [](auto& a, auto rows, auto cols, auto equal, auto t, auto r, auto field,
                                              auto derivative, auto y) {
    a(rows, t, r), a(rows * cols, field, y), a((rows - equal) * cols, derivative);
  };

  // ---- mfpo.h -------------------------------------------------------------------------------------------------------
  static constexpr auto gaussian_proposals = [](auto& a, auto batch, auto actions, auto proposals, auto x, auto t,
                                                auto uniform, auto lower, auto upper, auto noise, auto action) {
    a(batch, t), a(batch * actions, x, lower, upper), a(batch * actions * proposals, uniform, noise, action);
  };
  static constexpr auto proposal_weights = [](auto& a, auto& p) {
    const auto policy = p.batch * p.policy_count, gaussian = p.batch * p.gaussian_count;
    a(p.batch * p.actions, p.x), a(p.batch, p.t), a(1, p.alpha), a(policy + gaussian, p.q);
    a(policy * p.actions, p.policy_action), a(policy, p.log_prob, p.log_policy, p.policy);
    a(gaussian, p.log_gaussian, p.gaussian);
  };
  static constexpr auto proposal_velocity = [](auto& a, auto& p) {
    const auto policy = p.batch * p.policy_count, gaussian = p.batch * p.gaussian_count;
    a(p.batch * p.actions, p.x, p.policy, p.gaussian, p.mixed), a(p.batch, p.t, p.ess_policy, p.ess_gaussian, p.share);
    a(policy, p.policy_weight), a(policy * p.actions, p.policy_action);
    a(gaussian, p.gaussian_weight), a(gaussian * p.actions, p.gaussian_action);
  };
  static constexpr auto soft_target = [](auto& a, auto& s) {
    a(s.atoms, s.z), a(1, s.alpha), a(s.batch, s.reward, s.mask, s.log_prob, s.clipped_low, s.clipped_high);
    for (int c : {0, 1}) a(s.batch, s.mean[c]), a(s.batch * s.atoms, s.logits[c], s.projected[c]);
    a(s.batch * s.atoms, s.positions, s.chosen);
  };
  static constexpr auto hutchinson = [](auto& a, auto batch, auto actions, auto probes, auto probe, auto derivative,
                                        auto y) {
    a(batch * probes * actions, probe, derivative), a(batch, y);
  };

  // ---- replay.h: how many rows there are it is not told; beside that, what is moved ---------------------------------
  static constexpr auto replay_batch = [](auto& a, auto& r) {
    a.everything(), a(r.batch * (r.steps + 1), r.row), a.changed(r.batch * r.observations, r.state, r.next_state);
    a.changed(r.batch * r.chunk * r.actions, r.action), a.changed(r.batch * r.steps, r.reward);
  };
};

}  // namespace meander::kernels
