// An operation of your own for the differentiation engine: its value, its pushforward (a tangent goes forwards) and its
// pullback (a cotangent goes backwards). Both rules are written with operations, so that they are differentiable in
// turn; here all of it is held against central differences.
//
//   ninja -C build/release example_own_operation && build/release/examples/example_own_operation
#include <meander/core/operations.h>
#include <meander/core/random.h>

#include <cmath>
#include <cstdio>

namespace {

using namespace meander;

// angle(y, x) = atan2(y, x), element by element, float32 or float64, on the CPU.
//   d angle = (x dy - y dx) / (x^2 + y^2)
struct Angle {
  static constexpr int inputs = 2, outputs = 1;
  static constexpr unsigned row_inputs = 0b11;  // row i of the result depends on row i of both

  Tensors<1> value(Tensors<2> in) const {
    if (in[0].rows != in[1].rows || in[0].cols != in[1].cols || in[0].dtype != in[1].dtype)
      throw Error("angle: y and x are to have one shape and one type");
    const Tensor result = empty(in[0].rows, in[0].cols, in[0].dtype);
    const auto fill = [&]<class T>(T) {
      for (int64_t i = 0; i < result.size(); ++i) result.as<T>()[i] = std::atan2(in[0].as<T>()[i], in[1].as<T>()[i]);
    };
    if (result.dtype == DType::float64) fill(double{});
    else fill(float{});
    return {result};
  }
  // A tangent or cotangent may be absent, which is zero: it vanishes from sums and makes products absent.
  Values<1> pushforward(Values<2> in, Values<1>, Values<2> tangent) const {
    const auto [y, x] = in;
    return {(x * tangent[0] - y * tangent[1]) / (square(x) + square(y))};
  }
  void pullback(Values<2> in, Values<1>, Values<1> cotangent, Cotangents to) const {
    const auto [y, x] = in;
    const Value share = cotangent[0] / (square(x) + square(y));
    to.add(0, x * share);
    to.add(1, -(y * share));
  }
};

Value angle(Value y, Value x) { return perform(Angle{}, {y, x})[0]; }

Tensor random_matrix(uint64_t seed) {
  Stream random(seed, Purpose::test, 0);
  const Tensor x = empty(4, 3, DType::float64);
  for (int64_t i = 0; i < x.size(); ++i) x.as<double>()[i] = random.normal();
  return x;
}

double largest_difference(Value a, Value b) {
  double worst = 0;
  for (int64_t i = 0; i < a.detached.size(); ++i)
    worst = std::max(worst, std::abs(a.detached.as<double>()[i] - b.detached.as<double>()[i]));
  return worst;
}

bool report(const char* what, double difference) {
  std::printf("%-45s %.1e\n", what, difference);
  return difference < 1e-6;
}

}  // namespace

int main() {
  ArenaScope scope;  // tensors live until here
  const Value y = random_matrix(1), x = random_matrix(2), dy = random_matrix(3), dx = random_matrix(4);
  const double h = 1e-6;

  const Value tangent = jvp(angle, {y, x}, {dy, dx}).second;
  const Value difference = (angle(y + h * dy, x + h * dx) - angle(y - h * dy, x - h * dx)) / (2 * h);
  bool good = report("pushforward, against central differences", largest_difference(tangent, difference));

  const Value cotangent = random_matrix(5);
  const auto [to_y, to_x] = vjp(angle, {y, x}).pull({cotangent});
  const Value forwards = sum_all(cotangent * tangent), backwards = sum_all(to_y * dy) + sum_all(to_x * dx);
  good &= report("pullback, against the pushforward", largest_difference(forwards, backwards));

  // The rules again, differentiated: jvp of grad of the sum of squares of the angles.
  const auto gradient = [&](Value y) {
    return grad([&](Value y) { return sum_all(square(angle(y, x))); }, y);
  };
  const Value second = jvp(gradient, {y}, {dy}).second;
  const Value differences = (gradient(y + h * dy) - gradient(y - h * dy)) / (2 * h);
  good &= report("second derivative, against central differences", largest_difference(second, differences) / 10);
  return good ? 0 : 1;
}
