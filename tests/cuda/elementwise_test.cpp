#include <meander/kernels/elementwise.h>

#include <functional>

#include "against_cpu.h"

// kernels/cuda/elementwise.cu against the CPU. The formulas are the same and every operation in them is rounded exactly:
// hence equal bits.
namespace meander {
namespace {

// Numbers of every size and sign, the special ones, and what stands at the formulas' branches.
Floats inputs() {
  Floats x{0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1e-40f, -1e-40f, 1e-38f, 3e38f, -3e38f, 0.625f, -0.625f, 20, -10, 10,
           -87.3365402f, -87.34f, 88.7228394f, -104, 1, -1};
  const Floats random = normals(600, 1);
  for (size_t i = 0; i < random.size(); ++i) x.push_back(random[i] * (i % 3 == 0 ? 1.0f : i % 3 == 1 ? 10.0f : 60.0f));
  for (uint32_t bits = 12345; bits < 0xfff00000u; bits += 0x00812345u) {
    float v;
    std::memcpy(&v, &bits, sizeof v);
    x.push_back(v);
  }
  return x;
}

}  // namespace

// Protects the equality of bits on CPU and GPU, for any length and alignment, and in place.
TEST_CASE("functions of one variable have the CPU's bits") {
  on_each_device([](OnDevice& d) {
    using Function = std::function<void(int64_t, const float*, float*)>;
    struct Pair {
      std::string name;
      Function on_device, on_cpu;
    };
    std::vector<Pair> functions = {{"exp", d.k.exp, kernels::exp},          {"log", d.k.log, kernels::log},
                     {"tanh", d.k.tanh, kernels::tanh},       {"sigmoid", d.k.sigmoid, kernels::sigmoid}};
    for (const auto which : kernels::activations) {
      const auto of = [which](auto function) {
        return [=](int64_t n, const float* x, float* y) { function(which, n, x, y); };
      };
      const std::string name = kernels::activation_name(which);
      functions.push_back({name, of(d.k.activation), of(kernels::activation)});
      functions.push_back({name + " slope", of(d.k.activation_slope), of(kernels::activation_slope)});
    }
    const Floats x = inputs();
    const int64_t n = std::ssize(x);
    for (const auto& f : functions) {
      CAPTURE(f.name);
      Floats want(x.size());
      f.on_cpu(n, x.data(), want.data());
      const auto from = d.up(x), to = d.room(x.size());
      f.on_device(n, from, to);
      CHECK(same_numbers(d.down(to), want));

      const auto odd = d.room(x.size());   // from an address that is no multiple of 16
      f.on_device(n - 2, from + 1, odd + 1);
      const Floats got = d.down(odd);
      CHECK(std::isnan(got.front()));
      CHECK(std::isnan(got.back()));
      CHECK(same_numbers({got.begin() + 1, got.end() - 1}, {want.begin() + 1, want.end() - 1}));

      f.on_device(n, from, from);
      CHECK(same_numbers(d.down(from), want));
      f.on_device(0, from, to);
    }
  });
}

TEST_CASE("sine and cosine have the CPU's bits") {
  on_each_device([](OnDevice& d) {
    const Floats x = inputs();
    Floats sine(x.size()), cosine(x.size());
    kernels::sincos(std::ssize(x), x.data(), sine.data(), cosine.data());
    const auto s = d.room(x.size()), c = d.room(x.size());
    d.k.sincos(std::ssize(x), d.up(x), s, c);
    CHECK(same_numbers(d.down(s), sine));
    CHECK(same_numbers(d.down(c), cosine));
  });
}

}  // namespace meander
