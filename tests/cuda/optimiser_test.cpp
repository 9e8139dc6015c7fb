#include <meander/kernels/optimiser.h>

#include "against_cpu.h"

// kernels/cuda/optimiser.cu against the CPU.
namespace meander {
namespace {

constexpr int64_t lengths[] = {1, 3, 4, 7, 1029};

struct State {
  Floats params, m, v;
  explicit State(int64_t n) : params(normals(n, 1)), m(normals(n, 2)), v(normals(n, 3)) {
    for (float& x : v) x *= x;
    if (n > 2) m[1] = 1e-38f, m[2] = -3e-39f;   // what falls below the normal range
  }
};

}  // namespace

// Protects the whole step where the host gives its number: equal bits, for the formula is the CPU's and so are the bias
// corrections. Where the number is read from device memory the device's own pow decides: a correction may then differ in
// its last place, and with it a parameter by a few units in the last place of the step; m and v do not depend on it.
TEST_CASE("Adam takes the CPU's step") {
  on_each_device([](OnDevice& d) {
    const kernels::AdamConstants constants{.learning_rate = 1e-2};
    for (const int64_t n : lengths)
      for (const int64_t step : {1, 2, 1000, 5000000})
        for (const bool in_memory : {false, true})
          for (const size_t shift : {0, 1}) {
            CAPTURE(n);
            CAPTURE(step);
            CAPTURE(in_memory);
            OnDevice here{d.k, {}};
            State state(n + 1);
            Floats gradient = normals(n + 1, 4);
            if (n > 2) gradient[2] = 0;
            const auto p = here.up(state.params), m = here.up(state.m), v = here.up(state.v), g = here.up(gradient);
            const auto number = here.up(std::vector<uint64_t>{static_cast<uint64_t>(step)});
            const kernels::AdamArguments alone[] = {{n, gradient.data() + shift, state.params.data() + shift,
                                              state.m.data() + shift, state.v.data() + shift, nullptr}};
            kernels::adam(alone, constants, 0, step, nullptr, nullptr);
            // Beside it another network of another length, whose target follows.
            const int64_t others = 5;
            const auto p2 = here.up(normals(others, 5)), m2 = here.up(Floats(5)), v2 = here.up(Floats(5));
            const auto g2 = here.up(normals(others, 6)), target = here.up(normals(others, 7));
            const std::vector<kernels::AdamArguments> networks = {
                {n, g + shift, p + shift, m + shift, v + shift, nullptr}, {others, g2, p2, m2, v2, target}};
            d.k.adam(networks, constants, 0.25f, in_memory ? 999 : step, in_memory ? number.data : nullptr, nullptr);
            Floats want = normals(others, 7);
            kernels::exponential_average(others, 0.25f, here.down(p2).data(), want.data(), nullptr);
            CHECK(same_numbers(here.down(target), want));
            CHECK(here.down(p2) != normals(others, 5));
            CHECK(same_numbers(here.down(m), state.m));
            CHECK(same_numbers(here.down(v), state.v));
            if (in_memory)
              CHECK(largest_error(here.down(p), state.params) < 1e-7);
            else
              CHECK(same_numbers(here.down(p), state.params));
          }
  });
}

TEST_CASE("the exponential average has the CPU's bits") {
  on_each_device([](OnDevice& d) {
    for (const int64_t n : lengths)
      for (const size_t shift : {0, 1}) {
        const Floats source = normals(n + 1, 5);
        Floats target = normals(n + 1, 6);
        const auto from = d.up(source), to = d.up(target);
        kernels::exponential_average(n, 0.005f, source.data() + shift, target.data() + shift, nullptr);
        d.k.exponential_average(n, 0.005f, from + shift, to + shift, nullptr);
        CHECK(same_numbers(d.down(to), target));
      }
  });
}

// Protects the last good parameters after a loss that is not finite; and that a flag which is not set stops nothing.
TEST_CASE("nothing changes where the stop flag is set") {
  on_each_device([](OnDevice& d) {
    const State state(9);
    const Floats gradient = normals(9, 4);
    for (const uint32_t set : {1u, 0u}) {
      const auto stop = d.up(std::vector<uint32_t>{set});
      const auto p = d.up(state.params), m = d.up(state.m), v = d.up(state.v);
      const auto g = d.up(gradient), target = d.up(gradient);
      const auto step = d.up(std::vector<uint64_t>{3});
      const auto led = d.up(gradient);
      const std::vector<kernels::AdamArguments> networks = {{9, g, p, m, v, led}};
      d.k.adam(networks, {}, 0.5f, 0, step, stop);
      d.k.exponential_average(9, 0.5f, p, target, stop);
      CHECK((d.down(led) == gradient) == (set == 1));
      CHECK((d.down(p) == state.params) == (set == 1));
      CHECK((d.down(m) == state.m) == (set == 1));
      CHECK((d.down(v) == state.v) == (set == 1));
      CHECK((d.down(target) == gradient) == (set == 1));
    }
  });
}

}  // namespace meander
