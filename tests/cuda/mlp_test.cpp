#include <meander/kernels/mlp.h>

#include <algorithm>
#include <utility>

#include "against_cpu.h"

// Multi-layer perceptrons on a device, each function against its CPU twin.
namespace meander {
namespace {

using namespace kernels;
Floats numbers(int64_t n) { return Floats(static_cast<size_t>(n), NAN); }

struct Network {
  MlpShape shape;
  Floats params;
  int64_t in() const { return shape.width[0]; }
  int64_t out() const { return shape.width[shape.layers]; }
};

// A network of these widths with normal parameters of the usual size. first: where its parameters begin, of which the
// alignment depends.
Network network(const std::vector<int64_t>& width, Activation activation, Norm norm, int64_t first = 0) {
  Network net;
  MlpShape& s = net.shape;
  s.layers = static_cast<int>(width.size()) - 1;
  s.activation = activation;
  s.norm = norm;
  s.norm_eps = 1e-3f;
  std::copy(width.begin(), width.end(), s.width);
  int64_t size = first;
  const auto place = [&](int64_t n) { return std::exchange(size, size + n); };
  for (int l = 0; l < s.layers; ++l) {
    s.weight[l] = place(s.width[l] * s.width[l + 1]);
    s.bias[l] = place(s.width[l + 1]);
    if (l + 1 == s.layers || norm == Norm::none) continue;
    s.scale[l] = place(s.width[l + 1]);
    s.shift[l] = place(s.width[l + 1]);
  }
  net.params = normals(size, 99);
  for (int l = 0; l < s.layers; ++l) {
    for (int64_t i = 0; i < s.width[l] * s.width[l + 1]; ++i)
      net.params[s.weight[l] + i] /= std::sqrt(static_cast<float>(s.width[l]));
    if (l + 1 == s.layers || norm == Norm::none) continue;
    for (int64_t j = 0; j < s.width[l + 1]; ++j) net.params[s.scale[l] + j] = 1 + 0.2f * net.params[s.scale[l] + j];
  }
  return net;
}

const Norm norms[] = {Norm::none, Norm::before_activation, Norm::after_activation};

// Every kind of layer at small odd widths, and one kind each at the widths where the kernels change: the least, several
// tiles of columns, one that is cut off, parameters that are not aligned, wide inputs and outputs, 256, more than 256,
// and more than the kernels of whole networks hold.
template <class F>
void for_networks(F&& f) {
  const auto one = [&](const std::vector<int64_t>& width, Activation activation, Norm norm, int64_t first = 0) {
    std::string name;
    for (int64_t w : width) name += std::to_string(w) + " ";
    INFO("widths ", name, ", activation ", static_cast<int>(activation), ", norm ", static_cast<int>(norm));
    f(network(width, activation, norm, first));
  };
  for (Activation activation : activations)
    for (Norm norm : norms)
      if (!MEANDER_FEW_CASES || static_cast<int>(activation) % 3 == static_cast<int>(norm))
        one({11, 17, 33, 5}, activation, norm);
  one({3, 1}, Activation::relu, Norm::none);
  one({4, 3, 1}, Activation::gelu, Norm::none);
  one({376, 64, 64, 1}, Activation::gelu, Norm::before_activation);
  one({20, 64, 101}, Activation::mish, Norm::before_activation, 3);
  one({24, 72, 21}, Activation::relu, Norm::none, 1);
  one({9, 256, 6}, Activation::gelu, Norm::before_activation);
  one({3, 100, 290}, Activation::relu, Norm::none);
  one({5, 300, 2}, Activation::tanh, Norm::after_activation);
  one({5, 600, 12, 2}, Activation::gelu, Norm::before_activation);
}

// The largest error in units of the largest value.
double error(const Floats& got, const Floats& want) {
  double largest = 0;
  for (float v : want) largest = std::max(largest, std::abs(double{v}));
  return largest_error(got, want, largest);
}

Floats workspace(const Network& net, int64_t rows) {
  return numbers(mlp_workspace(net.shape, rows));
}
OnDevice::Array<float> workspace(OnDevice& d, const Network& net, int64_t rows) {
  return d.room(static_cast<size_t>(d.k.mlp_workspace(net.shape, rows)));
}

// Float32 on both sides, sums of some hundred terms through up to three layers in another order; LayerNorm of few
// columns amplifies what comes in.
constexpr double tolerance = 2e-5;

}  // namespace

// Protects the plain forms, with which the others can be compared where there is no CPU twin at hand: values, tangents
// and pullback of every kind of layer.
TEST_CASE("mlp: the plain forms") {
  on_each_device([](OnDevice& d) {
    double worst = 0;
    for (const Activation activation : activations)
      for (const Norm norm : norms) {
        const Network net = network({6, 17, 33, 5}, activation, norm);
        const MlpShape& s = net.shape;
        INFO("activation ", static_cast<int>(activation), ", norm ", static_cast<int>(norm));
        const int64_t rows = 5, tangent_rows = 2;
        const Floats x = normals(rows * 6, 1), dx = normals(tangent_rows * 6, 2), dy = normals(rows * 5, 3);
        Floats y = numbers(rows * 5), tangent = numbers(tangent_rows * 5), back = numbers(rows * 6);
        Floats tape = numbers(mlp_tape_size(s, rows)), gradient(net.params.size());
        mlp_value_and_tangent(s, net.params.data(), rows, x.data(), tangent_rows, dx.data(), y.data(), tangent.data(),
                              tape.data(), workspace(net, 2 * rows).data());
        mlp_backward(s, net.params.data(), rows, x.data(), tape.data(), dy.data(), back.data(), gradient.data(),
                     workspace(net, rows).data());

        const auto params = d.up(net.params), on_x = d.up(x), scratch = d.room(d.k.mlp_reference_workspace(s, rows));
        const auto on_y = d.room(y.size()), on_tangent = d.room(tangent.size()), on_back = d.room(back.size());
        const auto on_tape = d.room(d.k.mlp_tape_size(s, rows)), on_gradient = d.up(Floats(gradient.size()));
        d.k.mlp_forward_reference(s, params, rows, on_x, on_y, nullptr, scratch, {});
        CHECK(error(d.down(on_y), y) < tolerance);
        d.k.mlp_value_and_tangent_reference(s, params, rows, on_x, tangent_rows, d.up(dx), on_y, on_tangent, on_tape,
                                            scratch);
        d.k.mlp_backward_reference(s, params, rows, on_x, on_tape, d.up(dy), on_back, on_gradient, scratch);
        for (const double e : {error(d.down(on_y), y), error(d.down(on_tangent), tangent), error(d.down(on_back), back),
                               error(d.down(on_gradient), gradient)}) {
          CHECK(e < tolerance);
          worst = std::max(worst, e);
        }
      }
    MESSAGE(std::string(d.k.name), ": plain forms ", worst);
  });
}

// Protects values with and without a tape, which must not change a bit, and tangents of none, some and all rows, in
// full tiles of rows and in such as are cut off. The sizes of tiles change at 16 and 64 rows on the emulator.
TEST_CASE("mlp: value and tangent") {
  on_each_device([](OnDevice& d) {
    double worst = 0, worst_tangent = 0;
    for_networks([&](const Network& net) {
      const MlpShape& s = net.shape;
      const auto params = d.up(net.params);
      const bool small = net.params.size() < 2000;
      for (const int64_t rows : small ? std::vector<int64_t>{1, 37, 70} : std::vector<int64_t>{3, 18}) {
        CAPTURE(rows);
        const Floats x = normals(rows * net.in(), 1);
        const auto on_x = d.up(x), y = d.room(rows * net.out()), scratch = workspace(d, net, 2 * rows);
        Floats want = numbers(rows * net.out());
        mlp_forward(s, net.params.data(), rows, x.data(), want.data(), nullptr, workspace(net, rows).data());
        d.k.mlp_forward(s, params, rows, on_x, y, nullptr, scratch, {});
        const Floats got = d.down(y);
        CHECK(error(got, want) < tolerance);
        worst = std::max(worst, error(got, want));

        const auto tape = d.room(static_cast<size_t>(d.k.mlp_tape_size(s, rows)));
        for (const int64_t tangent_rows : small ? std::vector<int64_t>{0, rows / 3, rows}
                                                : std::vector<int64_t>{std::min<int64_t>(rows, 7)}) {
          CAPTURE(tangent_rows);
          const Floats dx = normals(tangent_rows * net.in(), 2);
          Floats dy = numbers(tangent_rows * net.out());
          mlp_value_and_tangent(s, net.params.data(), rows, x.data(), tangent_rows, dx.data(), want.data(), dy.data(),
                                nullptr, workspace(net, 2 * rows).data());
          const auto y2 = d.room(rows * net.out()), on_dy = d.room(tangent_rows * net.out());
          d.k.mlp_value_and_tangent(s, params, rows, on_x, tangent_rows, d.up(dx), y2, on_dy, tape, scratch);
          CHECK(d.down(y2) == got);
          const Floats got_dy = d.down(on_dy);
          CHECK(error(got_dy, dy) < tolerance);
          worst_tangent = std::max(worst_tangent, error(got_dy, dy));
        }
      }
    });
    MESSAGE(std::string(d.k.name), ": value ", worst, ", tangent ", worst_tangent);
  });
}

// Protects several directions from each row, along some of the inputs: few, as many as a tile of rows holds, and more.
TEST_CASE("mlp: value and directions") {
  on_each_device([](OnDevice& d) {
    double worst = 0;
    for (const Norm norm : norms)
      for (const auto& size : {std::pair<int64_t, int64_t>{1, 1}, {5, 3}, {2, 21}, {1, 70}, {35, 2}}) {
        const int64_t rows = size.first, directions = size.second;
        const Network net = network({9, 17, 33, 5}, Activation::gelu, norm);
        const MlpShape& s = net.shape;
        CAPTURE(rows);
        CAPTURE(directions);
        const int64_t all = rows * directions, first = 2, moving = 5;
        const Floats x = normals(rows * net.in(), 1), dx = normals(all * moving, 2);
        Floats y = numbers(rows * net.out()), dy = numbers(all * net.out());
        mlp_value_and_directions(s, net.params.data(), rows, x.data(), directions, first, moving, dx.data(), y.data(),
                                 dy.data(), workspace(net, rows + all).data());
        const auto on_y = d.room(y.size()), on_dy = d.room(dy.size());
        d.k.mlp_value_and_directions(s, d.up(net.params), rows, d.up(x), directions, first, moving, d.up(dx), on_y,
                                     on_dy, workspace(d, net, rows + all));
        CHECK(error(d.down(on_y), y) < tolerance);
        const Floats got = d.down(on_dy);
        CHECK(error(got, dy) < tolerance);
        worst = std::max(worst, error(got, dy));
      }
    MESSAGE(std::string(d.k.name), ": directions ", worst);
  });
}

// Protects inputs that rows share, on either side of their own, groups that end within a tile of rows, and a first sum
// that is given.
TEST_CASE("mlp: shared and projected inputs") {
  on_each_device([](OnDevice& d) {
    double worst = 0;
    for (const int64_t wide : {17, 64, 600})
      for (const auto& size : {std::pair<int64_t, int64_t>{1, 1}, {39, 13}, {70, 35}}) {
        const int64_t rows = size.first, group = size.second;
        const Network net = network({11, wide, 8, 3}, Activation::mish, Norm::before_activation);
        const MlpShape& s = net.shape;
        CAPTURE(wide);
        CAPTURE(rows);
        const int64_t own_cols = 4, shared_cols = net.in() - own_cols, groups = rows / group;
        const Floats own = normals(rows * own_cols, 1), shared = normals(groups * shared_cols, 2);
        const Floats start = normals(groups * wide, 3);
        const auto params = d.up(net.params), on_own = d.up(own), scratch = workspace(d, net, rows);
        const auto y = d.room(rows * net.out());
        Floats want = numbers(rows * net.out());
        const auto compare = [&] {
          const Floats got = d.down(y);
          CHECK(error(got, want) < tolerance);
          worst = std::max(worst, error(got, want));
        };
        for (const bool own_leads : {false, true}) {
          mlp_forward_shared(s, net.params.data(), rows, own_cols, own.data(), group, shared.data(), own_leads,
                             want.data(), workspace(net, rows).data());
          d.k.mlp_forward_shared(s, params, rows, own_cols, on_own, group, d.up(shared), own_leads, y, scratch, {});
          compare();
        }
        mlp_forward_projected(s, net.params.data(), rows, own_cols, own.data(), 5, group, start.data(), want.data(),
                              workspace(net, rows).data());
        d.k.mlp_forward_projected(s, params, rows, own_cols, on_own, 5, group, d.up(start), y, scratch, {});
        compare();
      }
    MESSAGE(std::string(d.k.name), ": shared ", worst);
  });
}

// Protects value and gradient by the own inputs in one pass, for every kind of layer, several tiles of rows, and more
// own inputs than a tile has columns.
TEST_CASE("mlp: value and gradient by the own inputs") {
  on_each_device([](OnDevice& d) {
    double worst = 0;
    const auto one = [&](const Network& net, int64_t own_cols, int64_t rows, int64_t group) {
      const MlpShape& s = net.shape;
      INFO("first width ", s.width[1], ", activation ", static_cast<int>(s.activation), ", norm ",
           static_cast<int>(s.norm), ", rows ", rows);
      const Floats own = normals(rows * own_cols, 1), shared = normals(rows / group * (net.in() - own_cols), 2);
      for (const bool own_leads : {false, true}) {
        Floats y = numbers(rows), gradient = numbers(rows * own_cols);
        mlp_value_and_gradient_shared(s, net.params.data(), rows, own_cols, own.data(), group, shared.data(), own_leads,
                                      y.data(), gradient.data(), workspace(net, rows).data());
        const auto on_y = d.room(y.size()), on_gradient = d.room(gradient.size());
        d.k.mlp_value_and_gradient_shared(s, d.up(net.params), rows, own_cols, d.up(own), group, d.up(shared),
                                          own_leads, on_y, on_gradient, workspace(d, net, rows));
        CHECK(error(d.down(on_y), y) < tolerance);
        const Floats got = d.down(on_gradient);
        CHECK(error(got, gradient) < tolerance);
        worst = std::max(worst, error(got, gradient));
      }
    };
    for (const Activation activation : activations)
      for (const Norm norm : norms) one(network({9, 17, 12, 1}, activation, norm), 4, 21, 7);
    one(network({5, 1}, Activation::relu, Norm::none), 2, 3, 1);
    one(network({30, 64, 64, 1}, Activation::gelu, Norm::before_activation, 1), 21, 1, 1);
    one(network({280, 256, 1}, Activation::mish, Norm::after_activation), 270, 17, 17);
    one(network({7, 300, 1}, Activation::relu, Norm::before_activation), 3, 6, 2);
    one(network({7, 100, 36, 1}, Activation::relu, Norm::before_activation), 3, 6, 2);
    one(network({7, 600, 1}, Activation::relu, Norm::before_activation), 3, 6, 2);
    MESSAGE(std::string(d.k.name), ": gradient ", worst);
  });
}

// Protects the pullback: dx, and dparams, which is added to what is there, for one row, several tiles of rows and, at
// small widths, several chunks of rows; the same bits if one of the two is not wanted.
TEST_CASE("mlp: backward") {
  on_each_device([](OnDevice& d) {
    double worst_dx = 0, worst_dparams = 0;
    for_networks([&](const Network& net) {
      const MlpShape& s = net.shape;
      const auto params = d.up(net.params);
      const bool small = net.params.size() < 2000, tiny = net.params.size() < 50;
      for (const int64_t rows : tiny    ? std::vector<int64_t>{1, 600}
                                : small ? std::vector<int64_t>{1, 37}
                                        : std::vector<int64_t>{18}) {
        CAPTURE(rows);
        const Floats x = normals(rows * net.in(), 1), dy = normals(rows * net.out(), 2);
        const Floats before = normals(static_cast<int64_t>(net.params.size()), 3);
        Floats y = numbers(rows * net.out()), tape = numbers(mlp_tape_size(s, rows)), dx = numbers(rows * net.in());
        Floats dparams = before;
        mlp_forward(s, net.params.data(), rows, x.data(), y.data(), tape.data(), workspace(net, rows).data());
        mlp_backward(s, net.params.data(), rows, x.data(), tape.data(), dy.data(), dx.data(), dparams.data(),
                     workspace(net, rows).data());

        const auto on_x = d.up(x), on_dy = d.up(dy), scratch = workspace(d, net, rows), on_y = d.room(y.size());
        const auto on_tape = d.room(static_cast<size_t>(d.k.mlp_tape_size(s, rows)));
        d.k.mlp_forward(s, params, rows, on_x, on_y, on_tape, scratch, {});
        const auto backward = [&](bool with_dx, bool with_dparams) {
          const auto on_dx = d.room(dx.size()), on_dparams = d.up(before);
          d.k.mlp_backward(s, params, rows, on_x, on_tape, on_dy, with_dx ? on_dx.data : nullptr,
                           with_dparams ? on_dparams.data : nullptr, scratch);
          return std::pair(d.down(on_dx), d.down(on_dparams));
        };
        const auto [got_dx, got_dparams] = backward(true, true);
        CHECK(error(got_dx, dx) < tolerance);
        CHECK(error(got_dparams, dparams) < tolerance);
        worst_dx = std::max(worst_dx, error(got_dx, dx));
        worst_dparams = std::max(worst_dparams, error(got_dparams, dparams));
        if (!small) return;
        CHECK(backward(true, false).first == got_dx);
        CHECK(backward(false, true).second == got_dparams);
      }
    });
    MESSAGE(std::string(d.k.name), ": dx ", worst_dx, ", dparams ", worst_dparams);
  });
}

// Protects bfloat16 products, with weights made ready and without. The same roundings as the CPU's, but a number close
// to the middle between two bfloat16 may fall to the other side: 2^-8 of a term of the next sum, now and then.
TEST_CASE("mlp: forward in bfloat16") {
  on_each_device([](OnDevice& d) {
    double worst = 0, to_float32 = 0;
    for_networks([&](const Network& net) {
      const MlpShape& s = net.shape;
      if (net.params.size() > 2000 && s.width[1] != 300 && s.width[1] != 72) return;
      const int64_t rows = 21;
      const Floats x = normals(rows * net.in(), 1);
      Floats want = numbers(rows * net.out()), precise = want;
      mlp_forward(s, net.params.data(), rows, x.data(), want.data(), nullptr, workspace(net, rows).data(),
                  Precision::bfloat16);
      mlp_forward(s, net.params.data(), rows, x.data(), precise.data(), nullptr, workspace(net, rows).data());
      const auto params = d.up(net.params), on_x = d.up(x), y = d.room(want.size()), scratch = workspace(d, net, rows);
      d.k.mlp_forward(s, params, rows, on_x, y, nullptr, scratch, Precision::bfloat16);
      const Floats got = d.down(y);
      CHECK(error(got, want) < 5e-3);
      worst = std::max(worst, error(got, want));
      to_float32 = std::max(to_float32, error(got, precise));
      const auto ready = d.room(static_cast<size_t>(d.k.mlp_prepared_size(s)));
      d.k.mlp_prepare(s, params, Precision::bfloat16, ready);
      d.k.mlp_forward(s, params, rows, on_x, y, nullptr, scratch, {Precision::bfloat16, ready});
      CHECK(d.down(y) == got);
    });
    MESSAGE(std::string(d.k.name), ": bfloat16 ", worst, ", from float32 ", to_float32);
  });
}

// Protects tf32 products. 10 bits of mantissa of either factor: 2^-11 of each term, some hundreds of terms, two layers of
// sums near 1. That they are not float32 after all is seen by the difference.
TEST_CASE("mlp: forward in tf32") {
  on_each_device([](OnDevice& d) {
    double worst = 0;
    for_networks([&](const Network& net) {
      const MlpShape& s = net.shape;
      if (net.params.size() > 2000 && s.width[1] != 300 && s.width[1] != 72) return;
      for (const int64_t rows : {1, 21, 70}) {   // a tile, and enough for large ones in the emulator
        const Floats x = normals(rows * net.in(), 1);
        Floats want = numbers(rows * net.out());
        mlp_forward(s, net.params.data(), rows, x.data(), want.data(), nullptr, workspace(net, rows).data(), Precision::tf32);
        const auto params = d.up(net.params), on_x = d.up(x), y = d.room(want.size()), scratch = workspace(d, net, rows);
        d.k.mlp_forward(s, params, rows, on_x, y, nullptr, scratch, Precision::tf32);
        const Floats got = d.down(y);
        CHECK(error(got, want) < 2e-3);
        worst = std::max(worst, error(got, want));
        const auto ready = d.room(static_cast<size_t>(d.k.mlp_prepared_size(s)));
        d.k.mlp_prepare(s, params, Precision::tf32, ready);
        d.k.mlp_forward(s, params, rows, on_x, y, nullptr, scratch, {Precision::tf32, ready});
        CHECK(d.down(y) == got);
      }
    });
    MESSAGE(std::string(d.k.name), ": tf32, from float32 ", worst);
    CHECK(worst > 1e-5);
  });
}

// Protects weights made ready in float32: the same bits as without.
TEST_CASE("mlp: prepared weights") {
  on_each_device([](OnDevice& d) {
    for_networks([&](const Network& net) {
      if (net.params.size() > 2000) return;
      const int64_t rows = 5;
      const auto params = d.up(net.params), x = d.up(normals(rows * net.in(), 1)), y = d.room(rows * net.out());
      const auto scratch = workspace(d, net, rows);
      const auto ready = d.room(static_cast<size_t>(d.k.mlp_prepared_size(net.shape)));
      d.k.mlp_forward(net.shape, params, rows, x, y, nullptr, scratch, {});
      const Floats plain = d.down(y);
      d.k.mlp_prepare(net.shape, params, Precision::float32, ready);
      d.k.mlp_forward(net.shape, params, rows, x, y, nullptr, scratch, {Precision::float32, ready});
      CHECK(d.down(y) == plain);
    });
  });
}

// Protects what is not finite from being lost on the way, and the row below from it.
TEST_CASE("mlp: NaN stays NaN in its row") {
  on_each_device([](OnDevice& d) {
    for (const Activation activation : activations)
      for (const Precision precision : {Precision::float32, Precision::tf32, Precision::bfloat16}) {
        const Network net = network({6, 17, 33, 2}, activation, Norm::none);
        Floats x = normals(18 * 6, 1);
        x[3 * 6 + 2] = NAN;
        const auto y = d.room(18 * 2);
        d.k.mlp_forward(net.shape, d.up(net.params), 18, d.up(x), y, nullptr, workspace(d, net, 18), precision);
        const Floats got = d.down(y);
        for (size_t i = 0; i < got.size(); ++i) CHECK(std::isnan(got[i]) == (i / 2 == 3));
      }
  });
}

}  // namespace meander
