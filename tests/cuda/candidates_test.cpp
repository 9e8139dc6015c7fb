#include <algorithm>
#include <utility>

#include "against_cpu.h"
#include <meander/kernels/cuda/candidates_plan.h>
#include <meander/kernels/cuda/emulator/executor.h>
#include <meander/kernels/rows.h>

// kernels/cuda/candidates.cu against the same steps by the CPU's functions: one launch that draws, integrates, scores and
// chooses. 3e-6: a product sums 8 parts of k, the CPU all of k in order; through six layers of numbers near 1.
namespace meander {
namespace {

using kernels::Activation;
using kernels::MlpShape;
using kernels::Norm;

// A network of `hidden` layers with its parameters, small enough that no layer saturates.
struct Network {
  MlpShape shape;
  Floats params;

  Network(int64_t inputs, const std::vector<int64_t>& hidden, int64_t outputs, Activation activation, Norm norm,
          uint64_t seed) {
    shape.layers = static_cast<int>(hidden.size()) + 1;
    shape.activation = activation;
    shape.norm = norm;
    shape.norm_eps = 1e-3f;
    shape.width[0] = inputs;
    int64_t size = 0;
    const auto take = [&](int64_t n) { return std::exchange(size, size + n); };
    for (int l = 0; l < shape.layers; ++l) {
      const bool last = l + 1 == shape.layers;
      const int64_t out = last ? outputs : hidden[static_cast<size_t>(l)];
      shape.width[l + 1] = out;
      shape.weight[l] = take(shape.width[l] * out);
      shape.bias[l] = take(out);
      if (!last && norm != Norm::none) shape.scale[l] = take(out), shape.shift[l] = take(out);
    }
    params = normals(size, seed);
    for (int l = 0; l < shape.layers; ++l)
      for (int64_t i = 0; i < shape.width[l] * shape.width[l + 1]; ++i)
        params[static_cast<size_t>(shape.weight[l] + i)] /= std::sqrt(static_cast<float>(shape.width[l]));
  }
};

struct Case {
  int64_t candidates, observations, actions, steps;
  std::vector<int64_t> flow, critic;
  int64_t outputs;   // of the critic; 0: none
  Activation activation;
  Norm flow_norm, critic_norm;
  bool squash, smaller;
};

struct Outcome {
  Floats all, q, action;
};

// The emulated device has other figures while it lives.
class WithRoom {
 public:
  explicit WithRoom(const kernels::DeviceRoom& room) : before_(std::exchange(kernels::emulated::emulated_room, room)) {}
  ~WithRoom() { kernels::emulated::emulated_room = before_; }

 private:
  kernels::DeviceRoom before_;
};

// The composite: one function after another on the CPU, candidates one by one.
Outcome step_by_step(const Case& c, const Network& flow, const Network (&critic)[2], const Floats& state,
                     const Floats& times, const Floats& atoms, const kernels::RandomKey& noise) {
  Outcome o{Floats(static_cast<size_t>(c.candidates * c.actions)), Floats(static_cast<size_t>(c.candidates)), {}};
  kernels::philox_normal(noise, nullptr, c.candidates * c.actions, o.all.data());
  const int64_t T = c.steps, width = flow.shape.width[1], extra = flow.shape.width[0] - c.actions - c.observations;
  for (int64_t k = 0; k < c.candidates; ++k) {
    float* const x = o.all.data() + k * c.actions;
    for (int64_t t = 0; t < T; ++t) {
      // The times are given by their share of the first layer: as a bias.
      Floats params = flow.params;
      for (int64_t j = 0; j < width; ++j)
        params[static_cast<size_t>(flow.shape.bias[0] + j)] += times[static_cast<size_t>(t * width + j)];
      Floats input(x, x + c.actions);
      input.insert(input.end(), state.begin(), state.end());
      input.resize(input.size() + static_cast<size_t>(extra));
      Floats u(static_cast<size_t>(c.actions));
      kernels::mlp_reference<float>(flow.shape, params.data(), 1, input.data(), nullptr, u.data(), nullptr);
      for (int64_t i = 0; i < c.actions; ++i) x[i] -= u[static_cast<size_t>(i)] / static_cast<float>(T);
    }
    for (int64_t i = 0; i < c.actions; ++i) x[i] = c.squash ? std::tanh(x[i]) : std::min(1.0f, std::max(-1.0f, x[i]));
    if (c.outputs == 0) continue;
    float q[2];
    for (int n : {0, 1}) {
      Floats input = state, y(static_cast<size_t>(c.outputs));
      input.insert(input.end(), x, x + c.actions);
      kernels::mlp_reference<float>(critic[n].shape, critic[n].params.data(), 1, input.data(), nullptr, y.data(), nullptr);
      q[n] = y[0];
      if (c.outputs > 1) kernels::softmax_expectation(1, c.outputs, y.data(), atoms.data(), &q[n]);
    }
    o.q[static_cast<size_t>(k)] = c.smaller ? std::min(q[0], q[1]) : (q[0] + q[1]) / 2;
  }
  return o;
}

}  // namespace

// Protects acting: every kind of network and critic the algorithms have; one candidate and 33, one action and 21, three
// observations and 376, also where a row of activations has less room; widths that no block's share divides, and blocks
// without a share; state and action in the device's memory and in the host's.
TEST_CASE("the best candidate in one launch is that of single steps") {
  const Case cases[] = {
      {1, 3, 1, 1, {16, 16}, {}, 0, Activation::gelu, Norm::before_activation, Norm::none, false, true},
      {1, 90, 2, 1, {16}, {}, 0, Activation::gelu, Norm::before_activation, Norm::none, false, true},
      {10, 17, 6, 2, {64, 64, 64}, {64, 64, 64}, 101, Activation::gelu, Norm::before_activation, Norm::before_activation,
       false, true},
      {33, 376, 21, 2, {40, 24}, {56, 72}, 11, Activation::gelu, Norm::before_activation, Norm::before_activation, false,
       false},
      {5, 11, 3, 1, {32}, {20}, 1, Activation::mish, Norm::none, Norm::none, true, true},
      {4, 8, 15, 1, {30, 50}, {9, 33}, 1, Activation::gelu, Norm::none, Norm::after_activation, false, false},
  };
  // The emulator as itself, and with so little that candidates go in turns, weights are fetched again, or both.
  int in_turns = 0, fetched = 0;
  const kernels::DeviceRoom rooms[] = {{4, 227 * 1024}, {6, 24 * 1024}, {8, 12 * 1024}, {2, 40 * 1024}};
  const auto with_room = [&](OnDevice& d, const kernels::DeviceRoom& room) {
    const WithRoom emulated(room);
    CAPTURE(room.multiprocessors);
    for (const Case& c : cases) {
      CAPTURE(c.candidates);
      CAPTURE(c.actions);
      const int64_t extra = 2;
      const Network flow(c.actions + c.observations + extra, c.flow, c.actions, c.activation, c.flow_norm, 1);
      const Network critic[2] = {
          {c.observations + c.actions, c.critic, std::max<int64_t>(1, c.outputs), c.activation, c.critic_norm, 2},
          {c.observations + c.actions, c.critic, std::max<int64_t>(1, c.outputs), c.activation, c.critic_norm, 3}};
      const Floats state = normals(c.observations, 4), times = normals(c.steps * flow.shape.width[1], 5);
      Floats atoms;
      for (int64_t j = 0; j < c.outputs; ++j) atoms.push_back(-3 + 6 * static_cast<float>(j) / static_cast<float>(c.outputs));
      const kernels::RandomKey noise{7, 3, 123456789012};
      const Outcome expected = step_by_step(c, flow, critic, state, times, atoms, noise);

      const auto params1 = d.up(critic[0].params), params2 = d.up(critic[1].params);
      const auto all = d.room(expected.all.size()), q = d.room(expected.q.size());
      const auto action = d.room(static_cast<size_t>(c.actions));
      const auto flow_params = d.up(flow.params), state_there = d.up(state), times_there = d.up(times);
      const auto atoms_there = d.up(atoms);
      kernels::CandidatesArguments of{
          .candidates = c.candidates, .observations = c.observations, .actions = c.actions, .state = state_there,
          .noise = noise, .flow = &flow.shape, .flow_params = flow_params, .steps = c.steps, .times = times_there,
          .squash = c.squash, .critic = c.outputs ? &critic[0].shape : nullptr, .critic_params = {params1, params2},
          .atoms = c.outputs > 1 ? atoms_there.data : nullptr, .smaller = c.smaller, .all = all, .q = q,
          .action = action};
      const kernels::CandidatesPlan plan = plan_candidates(of, room);
      in_turns += plan.rows < c.candidates;
      for (int l = 1; l < flow.shape.layers; ++l) fetched += plan.flow.slice[l] < 0;
      const int64_t size = d.k.candidates_workspace(of);
      if (room.shared_bytes < 64 * 1024 && size == 0) continue;   // not even a row has room
      REQUIRE(size > 0);
      const auto workspace = d.room(static_cast<size_t>(size));
      for (int again = 0; again < 2; ++again) {   // nothing of the first launch is left in the way of the second
        std::vector<float> chosen(static_cast<size_t>(c.actions));
        if (again) {
          float* const host = static_cast<float*>(d.k.allocate_host((state.size() + chosen.size()) * sizeof(float)));
          of.state = std::copy(state.begin(), state.end(), host) - state.size();
          of.action = host + state.size();
          d.k.best_candidate(of, workspace);
          d.k.synchronise();
          std::copy_n(of.action, chosen.size(), chosen.begin());
          d.k.deallocate_host(host);
        } else {
          d.k.best_candidate(of, workspace);
          chosen = d.down(action);
        }
        CHECK(largest_error(d.down(all), expected.all) < 3e-6);
        size_t best = 0;
        if (c.outputs) {
          const Floats values = d.down(q);
          CHECK(largest_error(values, expected.q) < 3e-6);
          best = static_cast<size_t>(std::max_element(values.begin(), values.end()) - values.begin());
        }
        for (size_t i = 0; i < chosen.size(); ++i)
          CHECK(chosen[i] == d.down(all)[best * static_cast<size_t>(c.actions) + i]);
      }
    }
  };
  on_each_device([&](OnDevice& d) {
    for (const kernels::DeviceRoom& room : rooms) with_room(d, room);
  });
  CHECK(in_turns > 0);
  CHECK(fetched > 0);
}

// MFPO's networks as people run them on other cards: multiprocessors and shared memory of an Orin Nano (8; 163 KB), an AGX
// Orin (16; 163), a slice of an H100 (16; 227), RTX 3060 and 4090 (28 and 128; 99), H200 (132; 227). With any number of
// candidates from 1 to 128 each acts in one launch; up to so many all weights stay in shared memory, and up to so many go
// through the networks together.
TEST_CASE("which plan each card gets") {
  const Network flow(6 + 17 + 2, {256, 256, 256}, 6, Activation::gelu, Norm::before_activation, 1);
  const Network critic(17 + 6, {256, 256, 256}, 101, Activation::gelu, Norm::before_activation, 2);
  constexpr int64_t kb = 1024;
  struct Card { kernels::DeviceRoom room; int blocks; int64_t kept, together; };
  const Card cards[] = {{{8, 163 * kb}, 8, 0, 126}, {{16, 163 * kb}, 16, 33, 126}, {{16, 227 * kb}, 16, 82, 128},
                        {{28, 99 * kb}, 28, 1, 76}, {{128, 99 * kb}, 32, 26, 76},  {{132, 227 * kb}, 32, 126, 128}};
  for (const Card& card : cards) {
    CAPTURE(card.room.multiprocessors);
    CAPTURE(card.room.shared_bytes);
    int64_t kept = 0, together = 0;
    for (int64_t k = 1; k <= 128; ++k) {
      CAPTURE(k);
      kernels::CandidatesArguments c{};
      c.candidates = k, c.observations = 17, c.actions = 6, c.steps = 2, c.flow = &flow.shape, c.critic = &critic.shape;
      const kernels::CandidatesPlan p = plan_candidates(c, card.room);
      REQUIRE(p.blocks == card.blocks);
      REQUIRE(p.shared_bytes() <= card.room.shared_bytes);
      REQUIRE((p.rows == k || p.rows % 8 == 0));
      bool all_kept = true;
      for (int l = 1; l <= 3; ++l) all_kept = all_kept && p.flow.slice[l] >= 0 && p.critic.slice[l] >= 0;
      if (all_kept && kept == k - 1) kept = k;
      if (p.rows == k && together == k - 1) together = k;
    }
    CHECK(kept == card.kept);
    CHECK(together == card.together);
  }
}

// Protects networks that no device has room for: they go step by step.
TEST_CASE("networks too large for one launch are declined") {
  const Network wide(7, {600, 600}, 3, Activation::gelu, Norm::none, 1);
  on_each_device([&](OnDevice& d) {
    kernels::CandidatesArguments c{};
    c.candidates = 1, c.observations = 4, c.actions = 3, c.steps = 1, c.flow = &wide.shape;
    CHECK(d.k.candidates_workspace(c) == 0);
  });
}

}  // namespace meander
