#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include <meander/kernels/dense.h>
#include <meander/kernels/elementwise.h>
#include <meander/kernels/mlp.h>
#include <meander/kernels/optimiser.h>
#include <meander/kernels/rows.h>
#include <meander/kernels/truncated_normal.h>

#include "helpers.h"

using namespace meander::kernels;

namespace {

// FNV-1a over the bytes of the words, low byte first.
template <class T>
uint64_t hash(const std::vector<T>& values) {
  uint64_t h = 0xcbf29ce484222325ull;
  for (T value : values) {
    uint32_t word;
    std::memcpy(&word, &value, sizeof word);
    for (int byte = 0; byte < 4; ++byte) h = (h ^ (word >> (8 * byte) & 0xff)) * 0x100000001b3ull;
  }
  return h;
}

struct Kernel {
  const char* name;
  uint64_t bits;
  std::function<Floats()> compute;
};

template <Activation which>
void value(int64_t n, const float* x, float* y) { activation(which, n, x, y); }
template <Activation which>
void slope(int64_t n, const float* x, float* y) { activation_slope(which, n, x, y); }
Floats unary(void (*function)(int64_t, const float*, float*), float factor, bool positive = false) {
  Floats x = normals(5003, 1), y(x.size());
  for (float& v : x) v = positive ? std::fabs(v * factor) : v * factor;
  function(static_cast<int64_t>(x.size()), x.data(), y.data());
  return y;
}
Floats of_rows(int64_t size, const std::function<void(const float*, float*)>& kernel) {
  const Floats x = normals(37 * 101, 2);
  Floats y(static_cast<size_t>(size));
  kernel(x.data(), y.data());
  return y;
}

MlpShape small_network(Activation activation, Norm norm) {
  MlpShape s;
  s.layers = 3;
  s.activation = activation;
  s.norm = norm;
  int64_t size = 0;
  const int64_t width[] = {19, 70, 33, 5};
  for (int l = 0; l <= 3; ++l) s.width[l] = width[l];
  for (int l = 0; l < 3; ++l) {
    s.weight[l] = size, size += width[l] * width[l + 1];
    s.bias[l] = size, size += width[l + 1];
    s.scale[l] = size, size += width[l + 1];
    s.shift[l] = size, size += width[l + 1];
  }
  return s;
}
// Value, tangent, shared form and gradients, one after another.
Floats of_network(Activation activation, Norm norm) {
  const MlpShape s = small_network(activation, norm);
  const int64_t rows = 29, in = 19, out = 5, tangents = 11, size = s.shift[2] + 5;
  Floats params = normals(size, 3);
  for (float& p : params) p *= 0.3f;
  const Floats x = normals(rows * in, 4), dx = normals(tangents * in, 5), cotangent = normals(rows * out, 6);
  Floats y(rows * out), dy(tangents * out), shared(rows * out), dinput(rows * in), dparams(size);
  Floats tape(mlp_tape_size(s, rows)), workspace(mlp_workspace(s, rows));
  mlp_value_and_tangent(s, params.data(), rows, x.data(), tangents, dx.data(), y.data(), dy.data(), tape.data(),
                        workspace.data());
  mlp_backward(s, params.data(), rows, x.data(), tape.data(), cotangent.data(), dinput.data(), dparams.data(),
               workspace.data());
  mlp_forward_shared(s, params.data(), rows, 7, x.data(), 3, dx.data(), true, shared.data(), workspace.data());
  Floats all;
  for (const Floats* part : {&y, &dy, &shared, &dinput, &dparams, &tape})
    all.insert(all.end(), part->begin(), part->end());
  return all;
}
Floats of_gradient(Activation activation, Norm norm) {
  MlpShape s = small_network(activation, norm);
  s.width[3] = 1;
  const int64_t rows = 87, own = 7, group = 3;
  Floats params = normals(s.shift[2] + 5, 3);
  for (float& p : params) p *= 0.3f;
  Floats all(rows * (1 + own)), workspace(mlp_workspace(s, rows));
  mlp_value_and_gradient_shared(s, params.data(), rows, own, normals(rows * own, 4).data(), group,
                                normals(rows / group * (19 - own), 5).data(), true, all.data(), all.data() + rows,
                                workspace.data());
  return all;
}

const Kernel kernels[] = {
    {"exp", 0xebaf25bea5b73dca, [] { return unary(meander::kernels::exp, 20); }},
    {"tanh", 0x4f0c5c085c0b5258, [] { return unary(meander::kernels::tanh, 2); }},
    {"gelu", 0xb475a8dbf94eb8b3, [] { return unary(value<Activation::gelu>, 3); }},
    {"gelu_slope", 0xbe85eaabd4fa950a, [] { return unary(slope<Activation::gelu>, 3); }},
    {"mish", 0x8e67bbdd3d824f30, [] { return unary(value<Activation::mish>, 6); }},
    {"mish_slope", 0x7cdc11dd48db7b9c, [] { return unary(slope<Activation::mish>, 6); }},
    {"silu", 0x91df0423abb007a8, [] { return unary(value<Activation::silu>, 6); }},
    {"silu_slope", 0x039ac1d722750046, [] { return unary(slope<Activation::silu>, 6); }},
    {"sigmoid", 0xc265aa2eb6038b4a, [] { return unary(sigmoid, 8); }},
    {"log", 0x35f6bb3cf6698870, [] { return unary(meander::kernels::log, 100, true); }},
    {"sincos", 0x22a2d3516708bd39,
     [] {
       Floats x = normals(5003, 1), y(2 * x.size());
       for (float& v : x) v *= 100;
       sincos(5003, x.data(), y.data(), y.data() + 5003);
       return y;
     }},
    {"philox_uniform", 0x3d17bc38fa6d6434, [] { return uniforms(5003, 1); }},
    {"philox_normal", 0xad3f3cff1b373ae1, [] { return normals(5003, 1); }},
    {"sum_row", 0x4b226cd27845c88f,
     [] { return of_rows(37, [](const float* x, float* y) { sum_row(37, 101, x, y); }); }},
    {"sum_column", 0xff7faab2cc46e710,
     [] { return of_rows(101, [](const float* x, float* y) { sum_column(37, 101, x, y); }); }},
    {"softmax", 0x4dd7e9278a758ee1,
     [] { return of_rows(37 * 101, [](const float* x, float* y) { softmax(37, 101, x, y); }); }},
    {"log_sum_exp", 0xa6be3f85e1b4d4ba,
     [] { return of_rows(37, [](const float* x, float* y) { log_sum_exp(37, 101, x, y); }); }},
    {"softmax_expectation", 0x5936897ae312efb4,
     [] { return of_rows(37, [](const float* x, float* y) { softmax_expectation(37, 101, x, x + 500, y); }); }},
    {"layer_norm", 0xaebfff5382fc1102,
     [] {
       return of_rows(37 * 101, [](const float* x, float* y) {
         layer_norm(37, 101, 1e-6f, x, x + 7, x + 300, y, nullptr, nullptr);
       });
     }},
    {"c51_project", 0x23f4efbc7c141626,
     [] { return of_rows(36 * 101, [](const float* x, float* y) { c51_project(36, 101, -1, 1, x, x + 101, y); }); }},
    {"c51_project_transpose", 0x11251afd2148f9e3,
     [] {
       return of_rows(36 * 101, [](const float* x, float* y) { c51_project_transpose(36, 101, -1, 1, x, x + 101, y); });
     }},
    {"adam", 0xc0ecb1d5233f4bef,
     [] {
       Floats p = normals(5003, 1), m = normals(5003, 2), v = uniforms(5003, 3);
       adam(std::array{AdamArguments{5003, normals(5003, 4).data(), p.data(), m.data(), v.data(), nullptr}}, {}, 0, 7,
            nullptr, nullptr);
       return p;
     }},
    {"exponential_average", 0x7e933148454df4cc,
     [] {
       Floats p = normals(5003, 1);
       exponential_average(5003, 0.005f, normals(5003, 2).data(), p.data(), nullptr);
       return p;
     }},
    {"truncated_normal", 0x7f83b67d95368438,
     [] {
       Floats low = normals(5003, 1), up = uniforms(5003, 2), y(5003);
       for (size_t i = 0; i < 5003; ++i) low[i] *= 5, up[i] = low[i] + 8 * up[i];
       truncated_normal(5003, low.data(), up.data(), uniforms(5003, 3).data(), y.data());
       return y;
     }},
    {"normal_mass_ratio", 0xd61e93add30a4acb,
     [] {
       Floats low = normals(5003, 1), up = uniforms(5003, 2), y(5003);
       for (size_t i = 0; i < 5003; ++i) low[i] *= 5, up[i] = low[i] + 8 * up[i];
       normal_mass_ratio(5003, low.data(), up.data(), low.data(), y.data());
       return y;
     }},
    {"dense", 0xb0b7c742dc175fdc,
     [] {
       Floats y(37 * 45), w(product_workspace(37, 45, 87));
       dense(37, 87, 45, normals(37 * 87, 1).data(), normals(87 * 45, 2).data(), normals(45, 3).data(), y.data(),
             w.data());
       return y;
     }},
    {"product_nt", 0x3376122da4d9ea82,
     [] {
       Floats y(37 * 45), w(product_workspace(37, 45, 87));
       product_nt(37, 45, 87, normals(37 * 87, 1).data(), normals(87 * 45, 2).data(), y.data(), false, w.data());
       return y;
     }},
    {"product_tn", 0x90c09e12e99b7d80,
     [] {
       Floats y(37 * 45), w(product_workspace(37, 45, 87));
       product_tn(37, 45, 87, normals(37 * 87, 1).data(), normals(87 * 45, 2).data(), y.data(), false, w.data());
       return y;
     }},
    {"mlp relu, norm none", 0x9268c69ea675c574, [] { return of_network(Activation::relu, Norm::none); }},
    {"mlp relu, norm before activation", 0x14b0691fc7d49cf7,
     [] { return of_network(Activation::relu, Norm::before_activation); }},
    {"mlp relu, norm after activation", 0xf447c60e7b66004e,
     [] { return of_network(Activation::relu, Norm::after_activation); }},
    {"mlp gelu, norm none", 0x392c2cbd8d783c6b, [] { return of_network(Activation::gelu, Norm::none); }},
    {"mlp gelu, norm before activation", 0xe48d8c969c9a382e,
     [] { return of_network(Activation::gelu, Norm::before_activation); }},
    {"mlp gelu, norm after activation", 0xd41604b0f5477ff3,
     [] { return of_network(Activation::gelu, Norm::after_activation); }},
    {"mlp mish, norm none", 0x1d319c4f8a2f68c4, [] { return of_network(Activation::mish, Norm::none); }},
    {"mlp mish, norm before activation", 0xc7570c6ea222e261,
     [] { return of_network(Activation::mish, Norm::before_activation); }},
    {"mlp mish, norm after activation", 0x1e131c4c665f017f,
     [] { return of_network(Activation::mish, Norm::after_activation); }},
    {"mlp tanh, norm none", 0x0ae75e220d080158, [] { return of_network(Activation::tanh, Norm::none); }},
    {"mlp tanh, norm before activation", 0x52aaf115ecbd84e0,
     [] { return of_network(Activation::tanh, Norm::before_activation); }},
    {"mlp tanh, norm after activation", 0x4da640e8ed473432,
     [] { return of_network(Activation::tanh, Norm::after_activation); }},
    {"mlp silu, norm none", 0x872605a105e309ff, [] { return of_network(Activation::silu, Norm::none); }},
    {"mlp silu, norm before activation", 0x0b6c8d75b99ecb0b,
     [] { return of_network(Activation::silu, Norm::before_activation); }},
    {"mlp silu, norm after activation", 0x12fda8bd6f5fe52d,
     [] { return of_network(Activation::silu, Norm::after_activation); }},
    {"gradient relu, norm after activation", 0x56babf412a7c2ff2,
     [] { return of_gradient(Activation::relu, Norm::after_activation); }},
    {"gradient gelu, norm before activation", 0xc5f515310682425b,
     [] { return of_gradient(Activation::gelu, Norm::before_activation); }},
    {"gradient mish, norm none", 0xd4134915ea42f3f8, [] { return of_gradient(Activation::mish, Norm::none); }},
    {"gradient silu, norm none", 0x19dedc0149a455ae, [] { return of_gradient(Activation::silu, Norm::none); }},
    {"gradient tanh, norm none", 0xf0fbd38ba1869d50, [] { return of_gradient(Activation::tanh, Norm::none); }},
};

}  // namespace

// Protects the promise that a seed means the same run on every machine: all kernels, on fixed inputs, hashed. The
// constants were made on AVX2; AVX-512 meets them, and so does NEON when this test runs there (or in an emulator).
// A change of arithmetic on purpose changes them: set MEANDER_PRINT_BITS and take the new ones.
TEST_CASE("the bits of every kernel") {
  const Isa before = isa();
  for (Isa which : available()) {
    set_isa(which);
    for (const Kernel& kernel : kernels) {
      const uint64_t bits = hash(kernel.compute());
      if (std::getenv("MEANDER_PRINT_BITS"))
        std::printf("%s|0x%016llx\n", kernel.name, static_cast<unsigned long long>(bits));
      INFO(isa_name(which), ", ", std::string(kernel.name));
      CHECK(bits == kernel.bits);
    }
  }
  set_isa(before);
}
