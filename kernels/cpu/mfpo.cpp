#include <meander/kernels/mfpo.h>

#include <algorithm>

#include <meander/kernels/arrays.h>
#include <meander/kernels/cpu/lanes.h>
#include <meander/kernels/cpu/table.h>
#include <meander/kernels/rows.h>
#include <meander/kernels/threads.h>

namespace meander::kernels {
namespace {

// f(first state, last state) over the threads; `numbers` is what a state has to go through.
template <class F>
void for_states(int64_t batch, int64_t numbers, F f) {
  parallel_for(batch, 1 + 4096 / (numbers + 1), f);
}

}  // namespace

void gaussian_proposals(int64_t batch, int64_t actions, int64_t proposals, const float* x, const float* t,
                        const float* uniform, float* lower, float* upper, float* noise, float* action) {
  const IsaKernels& isa = active();
  for_states(batch, actions * proposals, [&](int64_t begin, int64_t end) {
    constexpr int64_t room = 512;   // whole proposals side by side fill the vectors
    float low[room], high[room];
    for (int64_t i = begin; i < end; ++i) {
      const float one_minus_t = 1.0f - t[i];
      for (int64_t j = i * actions; j < (i + 1) * actions; ++j) {
        lower[j] = (x[j] - one_minus_t) / t[i];
        upper[j] = (x[j] + one_minus_t) / t[i];
      }
      const int64_t start = i * actions, first = start * proposals, count = actions * proposals;
      for (int64_t done = 0; done < count; done += room) {
        const int64_t n = std::min(room, count - done);
        for (int64_t e = 0, j = done % actions; e < n; ++e, j = j + 1 < actions ? j + 1 : 0)
          low[e] = lower[start + j], high[e] = upper[start + j];
        isa.truncated_normal(n, low, high, uniform + first + done, noise + first + done);
      }
      for (int64_t k = 0; k < proposals; ++k)
        for (int64_t j = 0; j < actions; ++j) {
          const float a = (x[start + j] - t[i] * noise[first + k * actions + j]) / one_minus_t;
          action[first + k * actions + j] = a < -1.0f ? -1.0f : a > 1.0f ? 1.0f : a;
        }
    }
  });
}

void proposal_weights(const ProposalWeightsArguments& p) {
  const IsaKernels& isa = active();
  const float alpha = *p.alpha;
  const int64_t k1 = p.policy_count, k2 = p.gaussian_count;
  for_states(p.batch, (p.actions + 8) * k1 + 8 * k2, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float *x = p.x + i * p.actions, *q = p.q + i * (k1 + k2), t = p.t[i], one_minus_t = 1.0f - t;
      const float two_variances = 2.0f * (t * t);
      for (int64_t k = 0; k < k1; ++k) {
        const float* const a = p.policy_action + (i * k1 + k) * p.actions;
        const float distance = sum_in_lanes(p.actions, [=](int64_t j) {
          const float d = x[j] - one_minus_t * a[j];
          return d * d;
        });
        p.log_policy[i * k1 + k] = q[k] / alpha - distance / two_variances - p.log_prob[i * k1 + k];
      }
      for (int64_t k = 0; k < k2; ++k) p.log_gaussian[i * k2 + k] = q[k1 + k] / alpha;
    }
    const int64_t n = end - begin;
    isa.softmax(n, k1, p.log_policy + begin * k1, p.policy + begin * k1);
    if (k2) isa.softmax(n, k2, p.log_gaussian + begin * k2, p.gaussian + begin * k2);
  });
}

namespace {

// v = sum_k w_k (x - a_k) / t of one state, and the effective sample size 1 / sum_k w_k^2.
float one_velocity(int64_t actions, int64_t count, const float* x, float t, const float* w, const float* a, float* v) {
  for (int64_t j = 0; j < actions; ++j) v[j] = 0.0f;
  for (int64_t k = 0; k < count; ++k)
    for (int64_t j = 0; j < actions; ++j) v[j] += w[k] * ((x[j] - a[k * actions + j]) / t);
  return 1.0f / sum_in_lanes(count, [=](int64_t k) { return w[k] * w[k]; });
}

}  // namespace

void proposal_velocity(const ProposalVelocityArguments& p) {
  const int64_t k1 = p.policy_count, k2 = p.gaussian_count, n = p.actions;
  for_states(p.batch, n * (k1 + k2), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* const x = p.x + i * n;
      float *const v1 = p.policy + i * n, *const v2 = p.gaussian + i * n, *const v = p.mixed + i * n;
      p.ess_policy[i] = one_velocity(n, k1, x, p.t[i], p.policy_weight + i * k1, p.policy_action + i * k1 * n, v1);
      if (k2 == 0) {
        p.ess_gaussian[i] = 0.0f, p.share[i] = 1.0f;
        copy_row(v1, n, v2), copy_row(v1, n, v);
        continue;
      }
      p.ess_gaussian[i] =
          one_velocity(n, k2, x, p.t[i], p.gaussian_weight + i * k2, p.gaussian_action + i * k2 * n, v2);
      const float ess1 = p.ess_policy[i], ess2 = p.ess_gaussian[i];
      const float share = p.mixture == Mixture::gaussian ? 0.0f
                          : p.mixture == Mixture::half   ? 0.5f
                                                         : ess1 / (ess1 + ess2 + 1e-10f);
      p.share[i] = share;
      for (int64_t j = 0; j < n; ++j) v[j] = share * v1[j] + (1.0f - share) * v2[j];
    }
  });
}

void soft_target(const SoftTargetArguments& s) {
  const IsaKernels& isa = active();
  const int64_t m = s.atoms;
  const float alpha = *s.alpha;
  for_states(s.batch, 16 * m, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float entropy = alpha * s.log_prob[i], reward = s.reward[i], mask = s.mask[i], *z = s.z;
      const auto position = [&](int64_t j) { return reward + s.discount * (mask * (z[j] - entropy)); };
      float *const where = s.positions + i * m, *const chosen = s.chosen + i * m;
      for (int64_t j = 0; j < m; ++j) {
        const float at = position(j);
        where[j] = at < s.v_min ? s.v_min : at > s.v_max ? s.v_max : at;
      }
      // The masses of the two, first in the place of the first projection and of the choice.
      float *const first = s.projected[0] + i * m, *const second = s.projected[1] + i * m;
      isa.softmax(1, m, s.logits[0] + i * m, first);
      isa.softmax(1, m, s.logits[1] + i * m, chosen);
      const auto mass = [&](int64_t j) { return 0.5f * (first[j] + chosen[j]); };
      s.clipped_low[i] = sum_in_lanes(m, [&](int64_t j) { return position(j) < s.v_min ? mass(j) : 0.0f; });
      s.clipped_high[i] = sum_in_lanes(m, [&](int64_t j) { return s.v_max < position(j) ? mass(j) : 0.0f; });
      c51_project(1, m, s.v_min, s.v_max, chosen, where, second);
      copy_row(first, m, chosen);
      c51_project(1, m, s.v_min, s.v_max, chosen, where, first);
      for (int c : {0, 1}) {
        const float* const p = s.projected[c] + i * m;
        s.mean[c][i] = sum_in_lanes(m, [=](int64_t j) { return p[j] * z[j]; });
      }
      const float* const choice = s.mean[0][i] < s.mean[1][i] ? first : second;
      for (int64_t j = 0; j < m; ++j) chosen[j] = s.smaller ? choice[j] : 0.5f * (first[j] + second[j]);
    }
  });
}

void hutchinson(int64_t batch, int64_t actions, int64_t probes, const float* probe, const float* derivative, float* y) {
  const int64_t n = actions * probes;
  for (int64_t i = 0; i < batch; ++i, probe += n, derivative += n) {
    float sum = 0;
    for (int64_t e = 0; e < n; ++e) sum += probe[e] * derivative[e];
    y[i] = sum / static_cast<float>(probes);
  }
}

}  // namespace meander::kernels
