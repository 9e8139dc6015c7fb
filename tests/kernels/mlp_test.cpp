#include <meander/kernels/mlp.h>

#include <string>
#include <utility>

#include <meander/kernels/dense.h>
#include <meander/kernels/elementwise.h>
#include <meander/kernels/rows.h>

#include "helpers.h"

using namespace meander::kernels;

namespace {

struct Network {
  MlpShape shape;
  Floats params;
};

// A network of these widths with normal parameters of the usual size.
Network network(const std::vector<int64_t>& width, Activation activation, Norm norm) {
  Network net;
  MlpShape& s = net.shape;
  s.layers = static_cast<int>(width.size()) - 1;
  s.activation = activation;
  s.norm = norm;
  s.norm_eps = 1e-3f;
  std::copy(width.begin(), width.end(), s.width);
  int64_t size = 0;
  const auto place = [&](int64_t n) { return std::exchange(size, size + n); };
  for (int l = 0; l < s.layers; ++l) {
    s.weight[l] = place(s.width[l] * s.width[l + 1]);
    s.bias[l] = place(s.width[l + 1]);
    s.scale[l] = place(s.width[l + 1]);
    s.shift[l] = place(s.width[l + 1]);
  }
  net.params = normals(size, 99);
  for (int l = 0; l < s.layers; ++l) {
    for (int64_t i = 0; i < s.width[l] * s.width[l + 1]; ++i)
      net.params[s.weight[l] + i] /= std::sqrt(static_cast<float>(s.width[l]));
    for (int64_t j = 0; j < s.width[l + 1]; ++j) net.params[s.scale[l] + j] = 1 + 0.2f * net.params[s.scale[l] + j];
  }
  return net;
}

const std::vector<std::vector<int64_t>> shapes = {{23, 64, 64, 5}, {17, 31, 1},     {3, 5, 7, 101},
                                                  {457, 300, 17},  {6, 600, 40, 3}, {9, 4}};
const Norm norms[] = {Norm::none, Norm::before_activation, Norm::after_activation};

bool large(const std::vector<int64_t>& width) { return *std::max_element(width.begin(), width.end()) > 128; }

// Every shape with every activation and norm, or with each activation once (large shapes with one) and the norms in
// turns.
template <class F>
void for_networks(F&& f) {
  for (const auto& width : shapes)
    for (Activation activation : activations)
      for (Norm norm : norms) {
        if (MEANDER_FEW_CASES && (&width - shapes.data() + static_cast<int>(activation)) % 3 != static_cast<int>(norm))
          continue;
        if (MEANDER_FEW_CASES && large(width) && activation != Activation::gelu) continue;
        INFO("inputs ", width[0], ", activation ", std::string(activation_name(activation)), ", norm ",
             static_cast<int>(norm));
        f(network(width, activation, norm));
      }
}

// The inputs of rows that share some: [own, shared] or [shared, own].
Floats assembled(int64_t rows, const Floats& own, int64_t group, const Floats& shared, bool own_leads) {
  const int64_t own_cols = static_cast<int64_t>(own.size()) / rows;
  const int64_t shared_cols = static_cast<int64_t>(shared.size()) / (rows / group);
  Floats x;
  for (int64_t i = 0; i < rows; ++i) {
    const auto own_row = own.begin() + i * own_cols, shared_row = shared.begin() + i / group * shared_cols;
    if (own_leads) x.insert(x.end(), own_row, own_row + own_cols);
    x.insert(x.end(), shared_row, shared_row + shared_cols);
    if (!own_leads) x.insert(x.end(), own_row, own_row + own_cols);
  }
  return x;
}

double dot(const Floats& a, const Doubles& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

// Protects values and tangents of every kind of layer, at odd widths and row counts and any number of tangent rows,
// against the readable form in double.
TEST_CASE("forward and tangent against the reference") {
  for_networks([](const Network& net) {
    const MlpShape& s = net.shape;
    const int64_t in = s.width[0], out = s.width[s.layers];
    for (int64_t rows : {1, 2, 7, 40})
      for (int64_t tangent_rows : {int64_t{0}, rows / 3, rows}) {
        CAPTURE(rows);
        CAPTURE(tangent_rows);
        const Floats x = normals(rows * in, 1), dx = normals(rows * in, 2);
        Doubles y(rows * out), dy(rows * out);
        mlp_reference<double>(s, in_double(net.params).data(), rows, in_double(x).data(), in_double(dx).data(),
                              y.data(), dy.data());
        Floats plain(rows * out);
        const int64_t tape_size = mlp_tape_size(s, rows);
        const Floats got = same_on_every_path([&] {
          Floats workspace(mlp_workspace(s, rows), NAN), tape(tape_size), other(tape_size), again(rows * out);
          Floats both((rows + tangent_rows) * out, NAN);
          mlp_value_and_tangent(s, net.params.data(), rows, x.data(), tangent_rows,
                                dx.data() + (rows - tangent_rows) * in, both.data(), both.data() + rows * out,
                                tape.data(), workspace.data());
          mlp_forward(s, net.params.data(), rows, x.data(), plain.data(), other.data(), workspace.data());
          mlp_forward(s, net.params.data(), rows, x.data(), again.data(), nullptr, workspace.data());
          CHECK(same_bits(plain, again));
          CHECK(same_bits(tape, other));
          CHECK(std::equal(plain.begin(), plain.end(), both.begin()));
          return both;
        });
        Doubles want = y;
        want.insert(want.end(), dy.begin() + (rows - tangent_rows) * out, dy.end());
        // Rounding of up to 457 terms through three layers; LayerNorm of the 4- to 7-wide rows amplifies it.
        CHECK(largest_error(got, want) < 1e-4);
      }
  });
}

namespace {

// x rounded to 8 significant bits, ties to even.
double to_bfloat16(double x) {
  int exponent;
  const double mantissa = std::frexp(x, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(mantissa, 8)), exponent - 8);
}

}  // namespace

// Protects bfloat16 products: on integers, where sums are exact, both factors are rounded to the nearest bfloat16 (ties
// to even) and nothing else is; at odd widths and row counts.
TEST_CASE("bfloat16 products on integers") {
  for (const int64_t hidden : {1, 16, 33, 70, 512})
    for (const int64_t rows : {1, 2, 5, 14, 61}) {
      CAPTURE(hidden);
      CAPTURE(rows);
      constexpr int64_t in = 3, out = 37;
      Network net = network({in, hidden, out}, Activation::relu, Norm::none);
      const MlpShape& s = net.shape;
      for (float& p : net.params) p = std::round(p * 700);  // many above 256, where bfloat16 has gaps
      Floats x = normals(rows * in, 1);
      for (float& v : x) v = std::round(2 * v);
      const Floats got = same_on_every_path([&] {
        Floats y(rows * out), workspace(mlp_workspace(s, rows), NAN);
        mlp_forward(s, net.params.data(), rows, x.data(), y.data(), nullptr, workspace.data(), Precision::bfloat16);
        return y;
      });
      Doubles want(rows * out), h(hidden);
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < hidden; ++j) {
          double sum = net.params[s.bias[0] + j];
          for (int64_t k = 0; k < in; ++k) sum += x[i * in + k] * net.params[s.weight[0] + k * hidden + j];
          h[j] = to_bfloat16(sum > 0 ? sum : 0);
        }
        for (int64_t j = 0; j < out; ++j) {
          want[i * out + j] = net.params[s.bias[1] + j];
          for (int64_t k = 0; k < hidden; ++k)
            want[i * out + j] += h[k] * to_bfloat16(net.params[s.weight[1] + k * out + j]);
        }
      }
      // Up to 16 terms every sum is below 2^24 / 1; more terms round the sum of float32.
      CHECK(largest_error(got, want) <= (hidden <= 16 ? 1e-7 : 1e-5));
    }
}

// Protects the rest of a bfloat16 pass: every kind of layer and shape, shared inputs, the width at which it stays in
// float32, and that NaN stays NaN.
TEST_CASE("forward in bfloat16") {
  for_networks([](const Network& net) {
    const MlpShape& s = net.shape;
    const int64_t in = s.width[0], out = s.width[s.layers], rows = 40, own = 1;
    const Floats x = normals(rows * in, 1);
    Doubles y(rows * out);
    mlp_reference<double>(s, in_double(net.params).data(), rows, in_double(x).data(), nullptr, y.data(), nullptr);
    bool wide = s.layers == 1;
    for (int l = 1; l < s.layers; ++l) wide |= s.width[l] > 512;
    const auto forward = [&](const Floats& x, Precision precision) {
      Floats z(rows * out), workspace(mlp_workspace(s, rows), NAN);
      mlp_forward(s, net.params.data(), rows, x.data(), z.data(), nullptr, workspace.data(), precision);
      return z;
    };
    const Floats got = same_on_every_path([&] { return forward(x, Precision::bfloat16); });
    CHECK(same_bits(got, forward(x, Precision::float32)) == wide);
    // Two roundings of 2^-9 a factor, through at most two products; LayerNorm of 5 and 7 wide rows amplifies it.
    double sum = 0, scale = 0;
    for (size_t i = 0; i < y.size(); ++i) sum += (got[i] - y[i]) * (got[i] - y[i]), scale += y[i] * y[i];
    CHECK(std::sqrt(sum / scale) < 0.03);

    Floats spoilt = x;
    spoilt[3 * in] = NAN;
    const Floats with_nan = forward(spoilt, Precision::bfloat16);
    CHECK((std::isnan(with_nan[3 * out]) || s.activation == Activation::relu));
    CHECK(std::equal(got.begin(), got.begin() + 3 * out, with_nan.begin()));

    // As [own, shared] with a group of one, the first layer's sum is taken in another order.
    Floats first(rows * own), rest(rows * (in - own));
    for (int64_t i = 0; i < rows; ++i) {
      first[i] = x[i * in];
      std::copy_n(x.begin() + i * in + own, in - own, rest.begin() + i * (in - own));
    }
    const Floats shared = same_on_every_path([&] {
      Floats z(rows * out), workspace(mlp_workspace(s, rows), NAN);
      mlp_forward_shared(s, net.params.data(), rows, own, first.data(), 1, rest.data(), true, z.data(),
                         workspace.data(), Precision::bfloat16);
      return z;
    });
    sum = 0;
    for (size_t i = 0; i < y.size(); ++i) sum += (shared[i] - y[i]) * (shared[i] - y[i]);
    CHECK(std::sqrt(sum / scale) < 0.03);
  });
}

// Protects several directions from one row: the bits of that row repeated, each with one direction that is zero in the
// inputs that stand still.
TEST_CASE("value and directions") {
  for_networks([](const Network& net) {
    const MlpShape& s = net.shape;
    const int64_t in = s.width[0], out = s.width[s.layers], first = 1, moving = in - 2;
    for (int64_t rows : {1, 13})
      for (int64_t directions : {1, 2, 60}) {
        if (rows * directions > 60) continue;
        CAPTURE(rows);
        CAPTURE(directions);
        const int64_t all = rows * directions;
        const Floats x = normals(rows * in, 1), dx = normals(all * moving, 2);
        Floats want_y(rows * out), want_dy(all * out);
        const Floats got = same_on_every_path([&] {
          Floats workspace(mlp_workspace(s, 2 * all), NAN), result((rows + all) * out, NAN);
          mlp_value_and_directions(s, net.params.data(), rows, x.data(), directions, first, moving, dx.data(),
                                   result.data(), result.data() + rows * out, workspace.data());
          Floats repeated(all * in), padded(all * in), y(all * out);
          for (int64_t i = 0; i < all; ++i) {
            std::copy_n(x.begin() + i / directions * in, in, repeated.begin() + i * in);
            std::copy_n(dx.begin() + i * moving, moving, padded.begin() + i * in + first);
          }
          mlp_value_and_tangent(s, net.params.data(), all, repeated.data(), all, padded.data(), y.data(),
                                want_dy.data(), nullptr, workspace.data());
          for (int64_t i = 0; i < rows; ++i)
            std::copy_n(y.begin() + i * directions * out, out, want_y.begin() + i * out);
          return result;
        });
        CHECK(std::equal(want_y.begin(), want_y.end(), got.begin()));
        CHECK(std::equal(want_dy.begin(), want_dy.end(), got.begin() + rows * out));
      }
  });
}

// Protects weights made ready beforehand: the same bits as without, in both precisions, for few rows and for many.
TEST_CASE("prepared weights") {
  for_networks([](const Network& net) {
    const MlpShape& s = net.shape;
    for (Precision precision : {Precision::float32, Precision::bfloat16})
      for (int64_t rows : {1, 2, 10, 300}) {
        if (rows > 10 && s.activation != Activation::relu) continue;
        CAPTURE(rows);
        const Floats x = normals(rows * s.width[0], 1);
        Floats plain(rows * s.width[s.layers]);
        const Floats got = same_on_every_path([&] {
          Floats ready(mlp_prepared_size(s), NAN), y(plain), workspace(mlp_workspace(s, rows), NAN);
          mlp_prepare(s, net.params.data(), precision, ready.data());
          mlp_forward(s, net.params.data(), rows, x.data(), y.data(), nullptr, workspace.data(),
                      {precision, ready.data()});
          mlp_forward(s, net.params.data(), rows, x.data(), plain.data(), nullptr, workspace.data(), precision);
          return y;
        });
        CHECK(same_bits(got, plain));
      }
  });
}

// Protects the pullback: <dy, J dx> = <J' dy, dx> for the inputs, and central differences in double for the parameters.
TEST_CASE("backward against the tangent and against differences") {
  for_networks([](const Network& net) {
    const MlpShape& s = net.shape;
    const int64_t in = s.width[0], out = s.width[s.layers], rows = 13;
    const int64_t size = static_cast<int64_t>(net.params.size());
    const Floats x = normals(rows * in, 1), dx = normals(rows * in, 2), cotangent = normals(rows * out, 3);
    const Floats got = same_on_every_path([&] {
      Floats workspace(mlp_workspace(s, rows), NAN), tape(mlp_tape_size(s, rows)), y(rows * out),
          result(rows * in + size);
      mlp_forward(s, net.params.data(), rows, x.data(), y.data(), tape.data(), workspace.data());
      mlp_backward(s, net.params.data(), rows, x.data(), tape.data(), cotangent.data(), result.data(),
                   result.data() + rows * in, workspace.data());
      Floats only_x(rows * in), only_params(size);
      mlp_backward(s, net.params.data(), rows, x.data(), tape.data(), cotangent.data(), only_x.data(), nullptr,
                   workspace.data());
      mlp_backward(s, net.params.data(), rows, x.data(), tape.data(), cotangent.data(), nullptr, only_params.data(),
                   workspace.data());
      CHECK(std::equal(only_x.begin(), only_x.end(), result.begin()));
      CHECK(std::equal(only_params.begin(), only_params.end(), result.begin() + rows * in));
      return result;
    });
    const Doubles params = in_double(net.params), xd = in_double(x);
    Doubles y(rows * out), dy(rows * out);
    mlp_reference<double>(s, params.data(), rows, xd.data(), in_double(dx).data(), y.data(), dy.data());
    double sum = 0, scale = 0;
    for (int64_t i = 0; i < rows * in; ++i) sum += double{got[i]} * dx[i];
    for (int64_t i = 0; i < rows * out; ++i) scale += std::fabs(cotangent[i] * dy[i]);
    CHECK(std::fabs(sum - dot(cotangent, dy)) < 1e-5 * (1 + scale));

    // Smaller steps where a ReLU could cross its corner within one.
    const double h = s.activation == Activation::relu ? 1e-8 : 1e-5;
    const Floats direction = normals(size, 4);
    Doubles up = params, down = params, y_up(y), y_down(y);
    for (size_t i = 0; i < up.size(); ++i) up[i] += h * direction[i], down[i] -= h * direction[i];
    mlp_reference<double>(s, up.data(), rows, xd.data(), nullptr, y_up.data(), nullptr);
    mlp_reference<double>(s, down.data(), rows, xd.data(), nullptr, y_down.data(), nullptr);
    double difference = 0, along = 0;
    scale = 0;
    for (size_t i = 0; i < y.size(); ++i) {
      const double d = cotangent[i] * (y_up[i] - y_down[i]) / (2 * h);
      difference += d, scale += std::fabs(d);
    }
    for (size_t i = 0; i < params.size(); ++i) along += double{got[static_cast<size_t>(rows * in) + i]} * direction[i];
    CHECK(std::fabs(along - difference) < 3e-5 * (1 + scale));
  });
}

TEST_CASE("backward adds to the gradient") {
  const Network net = network({5, 17, 3}, Activation::gelu, Norm::before_activation);
  const int64_t rows = 4, size = static_cast<int64_t>(net.params.size());
  const Floats x = normals(rows * 5, 1), dy = normals(rows * 3, 2);
  Floats workspace(mlp_workspace(net.shape, rows)), tape(mlp_tape_size(net.shape, rows)), y(rows * 3), once(size),
      twice(size);
  mlp_forward(net.shape, net.params.data(), rows, x.data(), y.data(), tape.data(), workspace.data());
  for (Floats* gradient : {&once, &twice, &twice})
    mlp_backward(net.shape, net.params.data(), rows, x.data(), tape.data(), dy.data(), nullptr, gradient->data(),
                 workspace.data());
  for (size_t i = 0; i < once.size(); ++i) CHECK(twice[i] == doctest::Approx(2 * once[i]).epsilon(1e-5));
}

// Protects the passage of a long backward through several blocks of rows: the gradient is the sum over the rows.
TEST_CASE("backward of more rows than a block") {
  const Network net = network({6, 40, 33, 2}, Activation::gelu, Norm::before_activation);
  const int64_t rows = 1300, size = static_cast<int64_t>(net.params.size());
  const Floats x = normals(rows * 6, 1), dy = normals(rows * 2, 2);
  const auto gradient = [&](int64_t first, int64_t count, Floats& dparams, float* dx) {
    Floats workspace(mlp_workspace(net.shape, count), NAN), tape(mlp_tape_size(net.shape, count)), y(count * 2);
    mlp_forward(net.shape, net.params.data(), count, x.data() + first * 6, y.data(), tape.data(), workspace.data());
    mlp_backward(net.shape, net.params.data(), count, x.data() + first * 6, tape.data(), dy.data() + first * 2, dx,
                 dparams.data(), workspace.data());
  };
  const Floats whole = same_on_every_path([&] {
    Floats dparams(size), result(rows * 6);
    gradient(0, rows, dparams, result.data());
    result.insert(result.end(), dparams.begin(), dparams.end());
    return result;
  });
  Floats parts(rows * 6), sum(size);
  for (int64_t first = 0; first < rows; first += 100) gradient(first, 100, sum, parts.data() + first * 6);
  parts.insert(parts.end(), sum.begin(), sum.end());
  CHECK(same_bits(whole, parts));  // sums over the rows in row order: where they are cut does not matter
}

// Protects the shared first layer: the same network on the assembled rows. With the shared columns first, the same
// bits.
TEST_CASE("rows that share inputs") {
  for_networks([](const Network& net) {
    const MlpShape& s = net.shape;
    const int64_t in = s.width[0], out = s.width[s.layers], own_cols = in / 3, shared_cols = in - own_cols;
    const int64_t group = 4, rows = 24;
    const Floats own = normals(rows * own_cols, 1), shared = normals(rows / group * shared_cols, 2);
    for (bool own_leads : {false, true}) {
      const Floats x = assembled(rows, own, group, shared, own_leads);
      Floats whole(rows * out), workspace(mlp_workspace(s, rows));
      mlp_forward(s, net.params.data(), rows, x.data(), whole.data(), nullptr, workspace.data());
      const Floats got = same_on_every_path([&] {
        Floats y(rows * out), scratch(mlp_workspace(s, rows), NAN);
        mlp_forward_shared(s, net.params.data(), rows, own_cols, own.data(), group, shared.data(), own_leads, y.data(),
                           scratch.data());
        return y;
      });
      if (own_leads) CHECK(largest_error(got, in_double(whole)) < 1e-4);
      else CHECK(same_bits(got, whole));
    }
  });
}

namespace {

// dy / dx [rows, count] of the inputs first, ...: the tangent along each in double.
Doubles reference_gradient(const Network& net, int64_t rows, const Floats& x, int64_t first, int64_t count) {
  const int64_t in = net.shape.width[0];
  Doubles gradient(rows * count), y(rows), dy(rows);
  for (int64_t j = 0; j < count; ++j) {
    Doubles along(rows * in);
    for (int64_t i = 0; i < rows; ++i) along[i * in + first + j] = 1;
    mlp_reference<double>(net.shape, in_double(net.params).data(), rows, in_double(x).data(), along.data(), y.data(),
                          dy.data());
    for (int64_t i = 0; i < rows; ++i) gradient[i * count + j] = dy[i];
  }
  return gradient;
}

void check_value_and_gradient(const Network& net, int64_t rows, int64_t group, bool own_leads) {
  const MlpShape& s = net.shape;
  const float* const p = net.params.data();
  const int64_t in = s.width[0], own_cols = in / 3 + 1, shared_cols = in - own_cols;
  const int64_t first = own_leads ? 0 : shared_cols;
  const Floats own = normals(rows * own_cols, 1), shared = normals(rows / group * shared_cols, 2);
  const Floats x = assembled(rows, own, group, shared, own_leads);
  const Floats got = same_on_every_path([&] {
    Floats workspace(mlp_workspace(s, rows), NAN), y(rows, NAN), same_y(rows), gradient(rows * own_cols, NAN);
    mlp_value_and_gradient_shared(s, p, rows, own_cols, own.data(), group, shared.data(), own_leads, y.data(),
                                  gradient.data(), workspace.data());
    mlp_forward_shared(s, p, rows, own_cols, own.data(), group, shared.data(), own_leads, same_y.data(),
                       workspace.data());
    CHECK(same_bits(y, same_y));
    return gradient;
  });
  CHECK(largest_error(got, reference_gradient(net, rows, x, first, own_cols)) < 1e-4);
  if (own_leads) return;
  Floats tape(mlp_tape_size(s, rows)), workspace(mlp_workspace(s, rows)), ones(rows, 1), y(rows), dx(rows * in), down;
  mlp_forward(s, p, rows, x.data(), y.data(), tape.data(), workspace.data());
  mlp_backward(s, p, rows, x.data(), tape.data(), ones.data(), dx.data(), nullptr, workspace.data());
  for (int64_t i = 0; i < rows; ++i)
    down.insert(down.end(), dx.begin() + i * in + first, dx.begin() + i * in + first + own_cols);
  CHECK(same_bits(got, down));
}

}  // namespace

// Protects value and gradient in one pass: the bits of mlp_forward_shared, the gradient against the reference in double
// and, where the first layer's sums run in the same order, the bits of mlp_backward. In groups of any size, blocks that
// are not full, and layers so wide that blocks have fewer rows.
TEST_CASE("value and gradient by the own inputs") {
  for (const auto& width : std::vector<std::vector<int64_t>>{{5, 7, 33, 1}, {11, 48, 40, 1}, {4, 1}, {3, 2600, 1}})
    for (Activation activation : activations)
      for (Norm norm : norms)
        for (const auto& size : {std::pair<int64_t, int64_t>{1, 1}, {15, 5}, {68, 34}}) {
          const int64_t rows = size.first, group = size.second;
          if (width[1] > 1000 && (activation != Activation::relu || rows < 40)) continue;
          INFO("inputs ", width[0], ", activation ", std::string(activation_name(activation)), ", norm ",
               static_cast<int>(norm));
          CAPTURE(rows);
          for (bool own_leads : {false, true})
            check_value_and_gradient(network(width, activation, norm), rows, group, own_leads);
        }
}

// Protects the fused chain's bits: dense, layer norm and GELU one after another give exactly the same.
TEST_CASE("the chain equals its parts bit for bit") {
  const Network net = network({87, 256, 6}, Activation::gelu, Norm::before_activation);
  const MlpShape& s = net.shape;
  const float* const p = net.params.data();
  const int64_t rows = 33;
  const Floats x = normals(rows * 87, 1);
  Floats whole(rows * 6), parts(rows * 6), hidden(rows * 256);
  Floats workspace(std::max(mlp_workspace(s, rows), product_workspace(rows, 256, 256)));
  mlp_forward(s, p, rows, x.data(), whole.data(), nullptr, workspace.data());
  dense(rows, 87, 256, x.data(), p + s.weight[0], p + s.bias[0], hidden.data(), workspace.data());
  layer_norm(rows, 256, s.norm_eps, hidden.data(), p + s.scale[0], p + s.shift[0], hidden.data(), nullptr, nullptr);
  activation(Activation::gelu, rows * 256, hidden.data(), hidden.data());
  dense(rows, 256, 6, hidden.data(), p + s.weight[1], p + s.bias[1], parts.data(), workspace.data());
  CHECK(same_bits(whole, parts));
}

// Protects batches large enough for several blocks and threads: each row is computed as if alone.
TEST_CASE("a row does not depend on its neighbours") {
  const Network net = network({20, 96, 96, 7}, Activation::gelu, Norm::before_activation);
  const int64_t rows = 1000;
  const Floats x = normals(rows * 20, 1);
  const Floats all = same_on_every_path([&] {
    Floats y(rows * 7), workspace(mlp_workspace(net.shape, rows));
    mlp_forward(net.shape, net.params.data(), rows, x.data(), y.data(), nullptr, workspace.data());
    return y;
  });
  Floats workspace(mlp_workspace(net.shape, 1)), one(7);
  for (int64_t i = 0; i < rows; i += 37) {
    mlp_forward(net.shape, net.params.data(), 1, x.data() + i * 20, one.data(), nullptr, workspace.data());
    CHECK(std::equal(one.begin(), one.end(), all.begin() + i * 7));
  }
}
