#include <meander/kernels/mfpo.h>

#include "against_cpu.h"
#include <meander/kernels/rows.h>

// kernels/cuda/mfpo.cu against the CPU: formulas and the order of every sum are the CPU's, hence equal bits. One state,
// one action and 21, and numbers of proposals and atoms that fill no group of 16 lanes and no warp.
namespace meander {
namespace {

Floats softmax_of(int64_t rows, int64_t cols, uint64_t seed) {
  Floats x = normals(rows * cols, seed), y(x.size());
  kernels::softmax(rows, cols, x.data(), y.data());
  return y;
}
Floats times(int64_t n) {
  Floats t = normals(n, 90);
  for (float& v : t) v = 1 / (1 + std::exp(-v));
  return t;
}
Floats actions_of(int64_t n, uint64_t seed) {
  Floats a = normals(n, seed);
  for (float& v : a) v = std::tanh(v);
  return a;
}
struct Sizes {
  int64_t batch, actions, k1, k2;
};
constexpr Sizes sizes[] = {{1, 1, 1, 1}, {3, 6, 16, 32}, {2, 21, 5, 33}, {5, 17, 40, 1}, {2, 3, 2, 0}};

// Host and device memory of the same results.
struct Results {
  OnDevice& d;
  struct Pair {
    Floats host;
    OnDevice::Array<float> there;
  };
  std::vector<Pair> pairs;
  size_t add(int64_t n) {
    const size_t size = static_cast<size_t>(n);
    pairs.push_back({Floats(size), d.room(size)});
    return pairs.size() - 1;
  }
  float* at(size_t i, bool there) { return there ? pairs[i].there.data : pairs[i].host.data(); }
  void check() {
    for (size_t i = 0; i < pairs.size(); ++i) {
      CAPTURE(i);
      CHECK(same_numbers(d.down(pairs[i].there), pairs[i].host));
    }
  }
};

}  // namespace

TEST_CASE("Gaussian proposals are the CPU's") {
  on_each_device([](OnDevice& d) {
    for (const Sizes s : sizes) {
      if (s.k2 == 0) continue;
      CAPTURE(s.actions);
      const int64_t n = s.batch * s.actions;
      const Floats x = normals(n, 1), t = times(s.batch);
      Floats uniform(static_cast<size_t>(n * s.k2));
      kernels::philox_uniform({.seed = 2}, nullptr, n * s.k2, uniform.data());
      Results r{d, {}};
      const size_t lower = r.add(n), upper = r.add(n), noise = r.add(n * s.k2), action = r.add(n * s.k2);
      kernels::gaussian_proposals(s.batch, s.actions, s.k2, x.data(), t.data(), uniform.data(), r.at(lower, false),
                                  r.at(upper, false), r.at(noise, false), r.at(action, false));
      d.k.gaussian_proposals(s.batch, s.actions, s.k2, d.up(x), d.up(t), d.up(uniform), r.at(lower, true),
                             r.at(upper, true), r.at(noise, true), r.at(action, true));
      r.check();
    }
  });
}

TEST_CASE("weights of the proposals are the CPU's") {
  on_each_device([](OnDevice& d) {
    for (const Sizes s : sizes) {
      CAPTURE(s.actions);
      CAPTURE(s.k1);
      CAPTURE(s.k2);
      const Floats x = normals(s.batch * s.actions, 1), t = times(s.batch), a = actions_of(s.batch * s.k1 * s.actions, 2);
      const Floats log_prob = normals(s.batch * s.k1, 3), q = normals(s.batch * (s.k1 + s.k2), 4), alpha = {0.3f};
      Results r{d, {}};
      const size_t one = s.batch * s.k1, two = s.batch * s.k2;
      const size_t log_policy = r.add(one), log_gaussian = r.add(two), policy = r.add(one), gaussian = r.add(two);
      const auto call = [&](auto function, bool there, auto up) {
        function({s.batch, s.actions, s.k1, s.k2, up(x), up(t), up(a), up(log_prob), up(q), up(alpha),
                  r.at(log_policy, there), r.at(log_gaussian, there), r.at(policy, there), r.at(gaussian, there)});
      };
      call(kernels::proposal_weights, false, [](const Floats& v) { return v.data(); });
      call(d.k.proposal_weights, true, [&](const Floats& v) -> const float* { return d.up(v); });
      r.check();
    }
  });
}

TEST_CASE("the velocity of the proposals is the CPU's") {
  on_each_device([](OnDevice& d) {
    for (const Sizes s : sizes)
      for (const auto mixture : {kernels::Mixture::ess, kernels::Mixture::half, kernels::Mixture::gaussian}) {
        CAPTURE(s.actions);
        CAPTURE(s.k2);
        CAPTURE(int(mixture));
        const int64_t n = s.batch * s.actions;
        const Floats x = normals(n, 1), t = times(s.batch), w1 = softmax_of(s.batch, s.k1, 2);
        const Floats a1 = actions_of(n * s.k1, 3), w2 = s.k2 ? softmax_of(s.batch, s.k2, 4) : Floats();
        const Floats a2 = actions_of(n * s.k2, 5);
        Results r{d, {}};
        size_t result[6];
        for (int i = 0; i < 6; ++i) result[i] = r.add(i < 3 ? n : s.batch);
        const auto call = [&](auto function, bool there, auto up) {
          function({s.batch, s.actions, s.k1, s.k2, mixture, up(x), up(t), up(w1), up(a1), up(w2), up(a2),
                    r.at(result[0], there), r.at(result[1], there), r.at(result[2], there), r.at(result[3], there),
                    r.at(result[4], there), r.at(result[5], there)});
        };
        call(kernels::proposal_velocity, false, [](const Floats& v) { return v.data(); });
        call(d.k.proposal_velocity, true, [&](const Floats& v) -> const float* { return d.up(v); });
        r.check();
      }
  });
}

TEST_CASE("Hutchinson's estimate is the CPU's") {
  on_each_device([](OnDevice& d) {
    for (const Sizes s : sizes) {
      CAPTURE(s.actions);
      const int64_t n = s.batch * s.k1 * s.actions;
      const Floats probe = normals(n, 1), derivative = normals(n, 2);
      Results r{d, {}};
      const size_t y = r.add(s.batch);
      kernels::hutchinson(s.batch, s.actions, s.k1, probe.data(), derivative.data(), r.at(y, false));
      d.k.hutchinson(s.batch, s.actions, s.k1, d.up(probe), d.up(derivative), r.at(y, true));
      r.check();
    }
  });
}

TEST_CASE("the soft distributional target is the CPU's") {
  on_each_device([](OnDevice& d) {
    for (const Shape shape : {Shape{1, 2}, {3, 11}, {2, 33}, {4, 101}, {1, 129}})
      for (const bool smaller : {true, false}) {
        CAPTURE(shape.rows);
        CAPTURE(shape.cols);
        const int64_t batch = shape.rows, n = shape.rows * shape.cols;
        const Floats logits1 = normals(n, 1), logits2 = normals(n, 2), reward = normals(batch, 3), alpha = {0.5f};
        Floats z(static_cast<size_t>(shape.cols)), mask(static_cast<size_t>(batch), 1), log_prob = normals(batch, 4);
        for (int64_t j = 0; j < shape.cols; ++j)
          z[static_cast<size_t>(j)] = static_cast<float>(-3 + 5.0 * double(j) / double(shape.cols - 1));
        if (batch > 1) mask[1] = 0, log_prob[0] = -20;   // all mass at the reward; most beyond the upper end
        Results r{d, {}};
        size_t result[8];
        for (int i = 0; i < 8; ++i) result[i] = r.add(i < 4 ? n : batch);
        const auto call = [&](auto function, bool there, auto up) {
          const auto at = [&](int i) { return r.at(result[i], there); };
          function({batch, shape.cols, -3.0f, 2.0f, 0.99f, smaller, {up(logits1), up(logits2)}, up(z), up(reward),
                    up(mask), up(log_prob), up(alpha), at(0), {at(1), at(2)}, {at(4), at(5)}, at(3), at(6), at(7)});
        };
        call(kernels::soft_target, false, [](const Floats& v) { return v.data(); });
        call(d.k.soft_target, true, [&](const Floats& v) -> const float* { return d.up(v); });
        r.check();
      }
  });
}

}  // namespace meander
