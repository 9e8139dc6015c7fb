#include <meander/kernels/cuda/projection.h>
#include <meander/kernels/cuda/row_lanes.h>

// kernels/mfpo.h, each phase one launch: a thread a number, 16 threads a state, or a warp a state, with the sums in the
// CPU's order and so with its bits.
namespace meander::kernels::MEANDER_CUDA {
namespace {

__device__ inline float clipped(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

// ---- Gaussian proposals ----------------------------------------------------------------------------------------------

__global__ void gaussian_proposals_kernel(int64_t batch, int64_t actions, int64_t proposals, const float* x,
                                          const float* t, const float* uniform, float* lower, float* upper,
                                          float* noise, float* action) {
  for_matrix(batch * proposals, actions, [&](int64_t row, int64_t j) {
    const int64_t i = divide(row, proposals), at = i * actions + j, e = row * actions + j;
    const float time = t[i], one_minus_t = 1.0f - time;
    const float low = (x[at] - one_minus_t) / time, high = (x[at] + one_minus_t) / time;
    if (row == i * proposals) lower[at] = low, upper[at] = high;
    const float z = truncated_normal(low, high, uniform[e]);
    noise[e] = z;
    action[e] = clipped((x[at] - time * z) / one_minus_t, -1.0f, 1.0f);
  });
}

// ---- weights and velocity, 16 threads a state ------------------------------------------------------------------------

// The same state's row of another matrix.
__device__ inline Row with_cols(const Row& row, int64_t cols) {
  return {row.index, row.cols ? cols : 0, row.lane, row.writes};
}

// A thread reads only logarithms that it wrote itself.
__device__ inline void softmax_of(const Row& row, const float* x, float* y) {
  const float largest = row_max(row, x), total = row_exp_sum(row, x, largest);
  for_lane(row, [&](int64_t j) { y[j] = exp(x[j] - largest) / total; });
}
__global__ void proposal_weights_kernel(int64_t batch, int64_t k1, ProposalWeightsArguments p) {
  const float alpha = *p.alpha;
  const int64_t k2 = p.gaussian_count, n = p.actions;
  for_rows(batch, k1, [&](Row row) {
    const int64_t i = row.index;
    const float* const q = p.q + i * (k1 + k2);
    for_lane(row, [&](int64_t k) {
      const float *x = p.x + i * n, *a = p.policy_action + (i * k1 + k) * n, t = p.t[i], one_minus_t = 1.0f - t;
      const float distance = sum_in_lanes(n, [&](int64_t j) {
        const float d = x[j] - one_minus_t * a[j];
        return d * d;
      });
      p.log_policy[i * k1 + k] = q[k] / alpha - distance / (2.0f * (t * t)) - p.log_prob[i * k1 + k];
    });
    softmax_of(row, p.log_policy + i * k1, p.policy + i * k1);
    if (k2 == 0) return;
    const Row gaussian = with_cols(row, k2);
    for_lane(gaussian, [&](int64_t k) { p.log_gaussian[i * k2 + k] = q[k1 + k] / alpha; });
    softmax_of(gaussian, p.log_gaussian + i * k2, p.gaussian + i * k2);
  });
}

__device__ inline float velocity_of(int64_t count, int64_t actions, float x, float t, const float* w, const float* a) {
  float v = 0;
#pragma unroll 8
  for (int64_t k = 0; k < count; ++k) v += w[k] * ((x - a[k * actions]) / t);
  return v;
}
__device__ inline float effective_sample_size(const Row& row, const float* w) {
  return 1.0f / row_sum_of(row, [&](int64_t k) { return w[k] * w[k]; });
}
__global__ void proposal_velocity_kernel(int64_t batch, int64_t n, ProposalVelocityArguments p) {
  const int64_t k1 = p.policy_count, k2 = p.gaussian_count;
  for_rows(batch, n, [&](Row row) {
    const int64_t i = row.index;
    const float *const w1 = p.policy_weight + i * k1, *const w2 = p.gaussian_weight + i * k2;
    const float ess1 = effective_sample_size(with_cols(row, k1), w1);
    const float ess2 = k2 ? effective_sample_size(with_cols(row, k2), w2) : 0.0f;
    const float share = k2 == 0                           ? 1.0f
                        : p.mixture == Mixture::gaussian ? 0.0f
                        : p.mixture == Mixture::half     ? 0.5f
                                                         : ess1 / (ess1 + ess2 + 1e-10f);
    for_lane(row, [&](int64_t j) {
      const float x = p.x[i * n + j], t = p.t[i];
      const float v1 = velocity_of(k1, n, x, t, w1, p.policy_action + i * k1 * n + j);
      const float v2 = k2 ? velocity_of(k2, n, x, t, w2, p.gaussian_action + i * k2 * n + j) : v1;
      p.policy[i * n + j] = v1;
      p.gaussian[i * n + j] = v2;
      p.mixed[i * n + j] = k2 ? share * v1 + (1.0f - share) * v2 : v1;
    });
    if (row.writes) p.ess_policy[i] = ess1, p.ess_gaussian[i] = ess2, p.share[i] = share;
  });
}

// ---- the soft Bellman target, a warp a state -------------------------------------------------------------------------

// Either half of the warp has one of the two critics where their rows are summed, and one end of the support.
__global__ void soft_target_kernel(SoftTargetArguments s) {
  MEANDER_SHARED(Share<2>, shares, project_block);
  const int64_t m = s.atoms;
  const int lane = static_cast<int>(threadIdx.x % 32), half = lane / lanes;
  float* const masses = shared_memory<float>() + threadIdx.x / 32 * 2 * m;   // [2, atoms] of the warp
  const float alpha = *s.alpha;
  for (int64_t i = this_thread() / 32; i < s.batch; i += all_threads() / 32) {
    const Row row{i, m, lane % lanes, lane % lanes == 0};
    const float entropy = alpha * s.log_prob[i], reward = s.reward[i], mask = s.mask[i];
    const auto position = [&](int64_t j) { return reward + s.discount * (mask * (s.z[j] - entropy)); };
    softmax_of(row, (half ? s.logits[1] : s.logits[0]) + i * m, masses + half * m);
    for (int64_t j = lane; j < m; j += 32) s.positions[i * m + j] = clipped(position(j), s.v_min, s.v_max);
    __syncwarp();
    const float beyond = row_sum_of(row, [&](int64_t j) {
      const float at = position(j);
      return (half ? s.v_max < at : at < s.v_min) ? 0.5f * (masses[j] + masses[m + j]) : 0.0f;
    });
    if (row.writes) (half ? s.clipped_high : s.clipped_low)[i] = beyond;

    project_row<2>(
        m, s.v_min, s.v_max, shares + threadIdx.x / 32 * 32, position,
        [&](int c, int64_t j) { return masses[c * m + j]; },
        [&](int c, int64_t j, float mass) { (c ? s.projected[1] : s.projected[0])[i * m + j] = mass; });
    __syncwarp();
    const float* const projected = (half ? s.projected[1] : s.projected[0]) + i * m;
    const float mean = row_sum_of(row, [&](int64_t j) { return projected[j] * s.z[j]; });
    if (row.writes) (half ? s.mean[1] : s.mean[0])[i] = mean;
    const float other = __shfl_xor_sync(whole_warp, mean, lanes, 32);
    const bool first = half ? other < mean : mean < other;
    for (int64_t j = lane; j < m; j += 32) {
      const float a = s.projected[0][i * m + j], b = s.projected[1][i * m + j];
      s.chosen[i * m + j] = s.smaller ? (first ? a : b) : 0.5f * (a + b);
    }
    __syncwarp();
  }
}

// ---- the divergence, a thread a state: there are few numbers ---------------------------------------------------------

__global__ void hutchinson_kernel(int64_t batch, int64_t n, int64_t probes, const float* probe, const float* derivative,
                                  float* y) {
  for (int64_t i = this_thread(); i < batch; i += all_threads()) {
    float sum = 0;
    for (int64_t e = i * n; e < (i + 1) * n; ++e) sum += probe[e] * derivative[e];
    y[i] = sum / static_cast<float>(probes);
  }
}

}  // namespace

void gaussian_proposals(int64_t batch, int64_t actions, int64_t proposals, const float* x, const float* t,
                        const float* uniform, float* lower, float* upper, float* noise, float* action) {
  const int64_t n = batch * actions * proposals;
  if (n > 0)
    launch(gaussian_proposals_kernel, blocks_for(n, element_block), element_block, 0, batch, actions, proposals, x, t,
           uniform, lower, upper, noise, action);
}

void proposal_weights(const ProposalWeightsArguments& p) {
  launch_rows(proposal_weights_kernel, p.batch, p.policy_count, p);
}

void proposal_velocity(const ProposalVelocityArguments& p) {
  launch_rows(proposal_velocity_kernel, p.batch, p.actions, p);
}

void soft_target(const SoftTargetArguments& s) {
  const size_t masses = static_cast<size_t>(project_block / 32 * 2 * s.atoms) * sizeof(float);
  if (s.batch * s.atoms > 0)
    launch(soft_target_kernel, blocks_for(s.batch * 32, project_block), project_block, masses, s);
}

void hutchinson(int64_t batch, int64_t actions, int64_t probes, const float* probe, const float* derivative, float* y) {
  constexpr int block = 32;   // over many multiprocessors
  if (batch > 0)
    launch(hutchinson_kernel, blocks_for(batch, block), block, 0, batch, actions * probes, probes, probe, derivative, y);
}

}  // namespace meander::kernels::MEANDER_CUDA
