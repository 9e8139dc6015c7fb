// Protects MVP's own: both losses in each of their forms against a computation in double, which rows have which times,
// what the policy regresses on when, its one step, and the measure of how far that is from the flow. (The chunks and
// their critics: qc_test.cpp.)
#include <meander/algos/mvp.h>

#include <cmath>

#include "batches.h"

using namespace meander;
using namespace meander::testing;

namespace {

constexpr int S = 3, A = 2, h = 2;
constexpr uint64_t seed = 3;

MvpSettings small() {
  MvpSettings s;
  s.chunk.batch_size = 8;
  s.chunk.horizon = h;
  s.chunk.actor_width = s.chunk.critic_width = 16;
  s.chunk.actor_layers = s.chunk.critic_layers = 2;
  s.chunk.candidates = 4;
  return s;
}

Mvp made(auto change) {
  MvpSettings s = small();
  change(s);
  return Mvp(S, A, s, seed);
}

const FlowNetwork& shape() {
  static const FlowNetwork net(S, h * A, {16, 2, kernels::Activation::gelu, kernels::Norm::none}, h * A, Times::plain);
  return net;
}

// Networks of two hidden layers in float32 keep about six digits.
constexpr double rounding = 1e-5;

}  // namespace

// t is the larger and r the smaller of two draws; the constraint's rows have r = t, and in the other block the leading
// share of equal times.
TEST_CASE("which rows have which times") {
  ArenaScope scope;
  struct Case {
    const char* constraint;
    double lambda, share_equal;
    int64_t batch, all, first, unequal;
  };
  for (const Case& c : {Case{"split", 1, 0, 8, 8, 4, 4}, Case{"split", 1, 0, 5, 5, 2, 3},
                        Case{"split", 1, 0.5, 8, 8, 4, 2}, Case{"split", 0, 0, 8, 8, 4, 4},
                        Case{"separate", 0.5, 0, 5, 10, 5, 5}, Case{"separate", 0.5, 0.75, 4, 8, 4, 1},
                        Case{"separate", 0, 0, 8, 16, 8, 8}, Case{"split", 1, 0, 1, 1, 0, 1}})
    for (const bool uniform : {false, true}) {
      CAPTURE(c.constraint);
      CAPTURE(c.lambda);
      CAPTURE(c.batch);
      const Mvp agent = made([&](MvpSettings& s) {
        s.constraint = c.constraint, s.lambda = c.lambda, s.share_equal_times = c.share_equal;
        if (uniform) s.times = "uniform";
      });
      REQUIRE(agent.row_count(c.batch) == c.all);
      const Tensor state = single(random_matrix(c.batch, S, 1)), action = single(random_matrix(c.batch, h * A, 2));
      const Tensor noise = single(random_matrix(c.all, h * A, 3));
      Tensor a = single(random_matrix(c.all, 1, 4)), b = single(random_matrix(c.all, 1, 5));
      if (uniform) a = sigmoid(a).detached, b = sigmoid(b).detached;   // in [0, 1]
      const Tensor valid = full(c.batch, h * A, 1);
      const Mvp::Rows rows = agent.rows(state, action, valid, noise, a, b);
      CHECK(rows.constraint == c.first);
      CHECK(rows.time.unequal == c.unequal);
      CHECK(rows.noise.data == noise.data);
      for (const Tensor& t : {rows.state, rows.action, rows.valid, rows.time.t, rows.time.r}) CHECK(t.rows == c.all);
      const auto drawn = [&](const Tensor& x, int64_t i) {
        return uniform ? double(x.f32()[i]) : 1 / (1 + std::exp(0.4 - double(x.f32()[i])));
      };
      for (int64_t i = 0; i < c.all; ++i) {
        for (int j = 0; j < S; ++j) CHECK(rows.state.f32()[i * S + j] == state.f32()[i % c.batch * S + j]);
        for (int j = 0; j < h * A; ++j)
          CHECK(rows.action.f32()[i * h * A + j] == action.f32()[i % c.batch * h * A + j]);
        // Split, the constraint's rows have the times t of the others, in order.
        const bool split = c.first > 0 && c.all == c.batch;
        const int64_t from = split && i < c.first ? c.first + i : i;
        const double larger = std::max(drawn(a, from), drawn(b, from));
        const double smaller = std::min(drawn(a, from), drawn(b, from));
        const bool equal = i < c.all - c.unequal;
        CHECK(rows.time.t.f32()[i] == doctest::Approx(larger).epsilon(1e-6));
        CHECK(rows.time.r.f32()[i] == doctest::Approx(equal ? larger : smaller).epsilon(1e-6));
      }
    }
}

// L_MF + lambda L_IVC in double, du/dt by central differences; the gradient with target and weights held.
TEST_CASE("both losses in all their forms") {
  const int64_t B = 6;
  for (const std::string constraint : {"split", "separate"})
    for (const double lambda : {0.0, 0.5, 1.0})
      for (const bool adaptive : {true, false})
        for (const bool validity : {true, false}) {
          ArenaScope scope;
          CAPTURE(constraint);
          CAPTURE(lambda);
          CAPTURE(adaptive);
          CAPTURE(validity);
          Mvp agent = made([&](MvpSettings& s) {
            s.constraint = constraint, s.lambda = lambda, s.adaptive_weight = adaptive, s.share_equal_times = 0.5;
          });
          const int64_t all = agent.row_count(B);
          Tensor valid;
          if (validity) {
            valid = full(B, h * A, 1);
            for (int i : {2, 3, 10, 11, 22}) valid.f32()[i] = 0;
          }
          const Mvp::Rows rows = agent.rows(
              single(random_matrix(B, S, 1)), single(random_matrix(B, h * A, 2)), valid,
              single(random_matrix(all, h * A, 3)), single(random_matrix(all, 1, 4)), single(random_matrix(all, 1, 5)));
          const auto loss = agent.actor_loss(rows);

          const Tensor params = in_double(agent, "actor/"), state = twofold(rows.state);
          const Value t = twofold(rows.time.t), r = twofold(rows.time.r);
          const Value action = twofold(rows.action), noise = twofold(rows.noise);
          const Value x = (1 - t) * action + t * noise, v = noise - action;
          const auto u = [&](Value x, Value t, Value r) { return shape()(params, state, x, t, r); };
          const Tensor target = mean_flow_target(u, x, t, r, v), value = u(x, t, r).detached;
          const Tensor weight = empty(all, h * A, DType::float64);   // of each squared error in the total
          double sum[2] = {};
          for (int64_t i = 0; i < all; ++i)
            for (int64_t j = i * h * A; j < (i + 1) * h * A; ++j) {
              const bool first = i < rows.constraint;
              const double error = std::pow(value.as<double>()[j] - target.as<double>()[j], 2);
              const int64_t count = (first ? rows.constraint : all - rows.constraint) * h * A;
              const double w = (adaptive ? 1 / std::sqrt(error + 1e-3) : 1) *
                               (validity ? double(rows.valid.f32()[j]) : 1) / double(count);
              sum[first] += w * error;
              weight.as<double>()[j] = (first ? lambda : 1) * w;
            }
          // The root of small errors, and du/dt, magnify float32's rounding.
          CHECK(loss.mean_flow == doctest::Approx(sum[0]).epsilon(10 * rounding));
          CHECK(loss.constraint == doctest::Approx(sum[1]).epsilon(10 * rounding));
          CHECK(loss.loss == doctest::Approx(sum[0] + lambda * sum[1]).epsilon(10 * rounding));
          const Value gradient = grad(
              [&](Value p) { return sum_all(Value(weight) * square(shape()(p, state, x, t, r) - target)); }, params);
          CHECK(difference(loss.gradient, gradient) < 10 * rounding);
        }
}

// Split, with lambda = 1, the constraint adds nothing that the mean flow lacks: the two means over half of the rows are
// twice the mean over all of them, which is the mean-flow loss of a batch half of whose rows have r = t.
TEST_CASE("the split constraint at lambda 1 is the mean-flow loss with half of its rows at r = t, twice") {
  ArenaScope scope;
  constexpr int64_t B = 8;
  const auto mean_flow_alone = [&](const Mvp::Rows& rows) {
    // The same rows as one block: of a batch of twice the rows, those that the mean-flow loss is of.
    Mvp agent = made([](MvpSettings& s) { s.constraint = "split", s.lambda = 0; });
    Mvp::Rows one = rows;
    one.constraint = 0;
    return agent.actor_loss(one);
  };
  Mvp agent = made([](MvpSettings& s) { s.constraint = "split", s.lambda = 1; });
  const Mvp::Rows rows = agent.rows(single(random_matrix(B, S, 1)), single(random_matrix(B, h * A, 2)),
                                    full(B, h * A, 1), single(random_matrix(B, h * A, 3)),
                                    single(random_matrix(B, 1, 4)), single(random_matrix(B, 1, 5)));
  REQUIRE(rows.time.unequal == B / 2);
  const auto both = agent.actor_loss(rows), one = mean_flow_alone(rows);
  CHECK(both.loss == doctest::Approx(2 * one.loss).epsilon(rounding));
  CHECK(difference(both.gradient, 2 * Value(one.gradient)) < rounding);
}

// e - u(e, t = 1, r = 0), clipped; and the same place by 64 Euler steps of u(x, t, t), whose distance is the gap.
TEST_CASE("one step, and how far it is from the flow") {
  ArenaScope scope;
  Mvp agent = made([](MvpSettings& s) { s.chunk.learning_rate = 0.01; });
  // which the gap is measured from
  const Tensor noise = twofold(agent_normals(seed, Purpose::gap_noise, 0, 4, h * A));
  const Tensor state = random_matrix(4, S, 1), states = single(state);
  const std::span<const float> of_host(states.f32(), 4 * S);
  const auto column = [](double t) { return full(4, 1, t, DType::float64); };
  const auto check = [&] {
    // Before anything is read from the networks, which outdates what is kept.
    const Tensor found = agent.best_candidate(single(state), single(noise)).action;
    const double found_gap = agent.one_step_gap(of_host);
    const Tensor params = in_double(agent, "actor/");
    const auto u = [&](Value x, double t, double r) { return shape()(params, state, x, column(t), column(r)); };
    const Value one = clip(Value(noise) - u(noise, 1, 0), -1, 1);
    CHECK(difference(found, one) < rounding);
    Value x = noise;
    for (int i = 64; i > 0; --i) x = x - u(x, i / 64.0, i / 64.0) / 64;
    const Value many = clip(x, -1, 1);
    double gap = 0;
    for (int i = 0; i < 4 * h * A; ++i) gap += std::abs(element(one, i) - element(many, i)) / (4 * h * A);
    CHECK(found_gap == doctest::Approx(gap).epsilon(1e-3));   // a difference of numbers ten times as large
    return gap;
  };
  CHECK(check() > 1e-3);
  network(agent, "actor/").train_state->params.data()[0] += 0.5f;
  check();
  update(agent, random_batch(8, S, A, 5, h, h).batch);   // what is kept of the parameters is outdated too
  check();
  Mvp constant = made([](MvpSettings&) {});
  make_constant(constant, "actor/", 0.3);
  CHECK(constant.one_step_gap(of_host) < 3e-6);   // 64 roundings of 1/64
}

// Offline on the data's chunk, as far as it is valid; then on the best of its own candidates, all of it, or on the
// replay's chunk if that is asked for.
TEST_CASE("what the policy regresses on") {
  const auto loss = [](const char* target, bool offline, bool other_actions, bool half_valid) {
    Mvp agent = made([&](MvpSettings& s) { s.target = target; });
    Data data = random_batch(8, S, A, 5, h, h);
    data.batch.offline = offline;
    if (other_actions) data.batch.action.f32()[3] += 0.5f;
    if (half_valid)
      for (int i = 0; i < 8; ++i) data.batch.valid.f32()[h * i + 1] = 0;
    return metric(agent, update(agent, data.batch), "actor_loss");
  };
  const float best = loss("best", false, false, false), replay = loss("replay", false, false, false);
  CHECK(best != replay);
  CHECK(loss("best", false, true, true) == best);
  CHECK(loss("best", true, false, false) == replay);
  CHECK(loss("replay", true, false, false) == replay);
  for (const char* target : {"best", "replay"}) {
    CHECK(loss(target, true, true, false) != replay);
    CHECK(loss(target, true, false, true) < replay);
  }

  // The best candidate for the state of the batch, by the critics and the actor before the update.
  ArenaScope scope;
  Mvp agent = made([](MvpSettings&) {}), before = made([](MvpSettings&) {});
  const Data data = random_batch(8, S, A, 5, h, h);
  const auto normals = [&](Purpose purpose, int64_t rows, int64_t cols) {
    return agent_normals(seed, purpose, 1, rows, cols);
  };
  const Choice choice = before.best_candidate(data.batch.state, normals(Purpose::candidate_noise, 8 * 4, h * A));
  const auto expected = before.actor_loss(before.rows(
      data.batch.state, choice.chosen, {}, normals(Purpose::interpolation_noise, 8, h * A),
      normals(Purpose::interval_a, 8, 1), normals(Purpose::interval_b, 8, 1)));
  const std::vector<float> metrics = update(agent, data.batch);
  CHECK(metric(agent, metrics, "actor_loss") == expected.loss);
  CHECK(metric(agent, metrics, "mean_flow_loss") == expected.mean_flow);
  CHECK(metric(agent, metrics, "constraint_loss") == expected.constraint);
}

// The identity needs only data: after imitating one chunk everywhere, the one step goes there from any noise.
TEST_CASE("offline the policy learns the data") {
  Mvp agent = made([](MvpSettings& s) { s.chunk.learning_rate = 3e-3, s.chunk.batch_size = 32; });
  const float chunk[h * A] = {0.5f, -0.25f, 0.1f, -0.6f};
  const auto far = [&] {
    ArenaScope scope;
    const Tensor state = single(random_matrix(50, S, 1)), noise = single(random_matrix(50, h * A, 2));
    const Tensor action = agent.best_candidate(state, noise).action;
    double sum = 0;
    for (int i = 0; i < 50 * h * A; ++i) sum += std::abs(double(action.f32()[i]) - chunk[i % (h * A)]) / (50 * h * A);
    return sum;
  };
  const double at_first = far();
  for (uint64_t u = 1; u <= 300; ++u) {
    Data data = random_batch(32, S, A, u, h, h);
    data.batch.offline = true;
    for (int i = 0; i < 32; ++i) std::copy_n(chunk, h * A, data.batch.action.f32() + i * h * A);
    update(agent, data.batch, u);
  }
  CHECK(far() < 0.4 * at_first);
}
