#include <meander/core/elements.h>
#include <meander/core/operations.h>
#include <meander/kernels/dense.h>

namespace meander {
namespace {

void check(const char* what, bool fits, Tensor a, Tensor b) {
  if (!fits || a.dtype != b.dtype)
    throw Error(message(what, ": ", detail::shape(a), " ", name(a.dtype), " and ", detail::shape(b), " ",
                        name(b.dtype), " do not fit"));
}

// Calls f with scratch of the kernels' wish, given back afterwards.
template <class F>
void with_workspace(int64_t m, int64_t n, int64_t k, F f) {
  ArenaScope scope;
  f(empty(1, kernels::current().product_workspace(m, n, k)).f32());
}

// y = a b
struct Product {
  static constexpr int inputs = 2, outputs = 1;
  static constexpr unsigned row_inputs = 0b01;
  Tensors<1> value(Tensors<2> in) const {
    const Tensor a = in[0], b = in[1];
    check("product", a.cols == b.rows, a, b);
    const Tensor y = empty(a.rows, b.cols, a.dtype);
    if (a.dtype == DType::float32)
      with_workspace(a.rows, b.cols, a.cols, [&](float* w) {
        kernels::current().dense(a.rows, a.cols, b.cols, a.f32(), b.f32(), nullptr, y.f32(), w);
      });
    else
      kernels::dense_reference<double>(a.rows, a.cols, b.cols, a.as<double>(), b.as<double>(), nullptr, y.as<double>());
    return {y};
  }
  Values<1> pushforward(Values<2> in, Values<1>, Values<2> d) const {
    return {product(d[0], in[1]) + product(in[0], d[1])};
  }
  void pullback(Values<2> in, Values<1>, Values<1> dy, Cotangents c) const {
    if (c.wants(0)) c.add(0, product_nt(dy[0], in[1]));
    if (c.wants(1)) c.add(1, product_tn(in[0], dy[0]));
  }
};

// y = a b'
struct ProductNt {
  static constexpr int inputs = 2, outputs = 1;
  static constexpr unsigned row_inputs = 0b01;
  Tensors<1> value(Tensors<2> in) const {
    const Tensor a = in[0], b = in[1];
    check("product_nt", a.cols == b.cols, a, b);
    const Tensor y = empty(a.rows, b.rows, a.dtype);
    if (a.dtype == DType::float32)
      with_workspace(a.rows, b.rows, a.cols, [&](float* w) {
        kernels::current().product_nt(a.rows, b.rows, a.cols, a.f32(), b.f32(), y.f32(), false, w);
      });
    else
      kernels::product_nt_reference<double>(a.rows, b.rows, a.cols, a.as<double>(), b.as<double>(), y.as<double>(), false);
    return {y};
  }
  Values<1> pushforward(Values<2> in, Values<1>, Values<2> d) const {
    return {product_nt(d[0], in[1]) + product_nt(in[0], d[1])};
  }
  void pullback(Values<2> in, Values<1>, Values<1> dy, Cotangents c) const {
    if (c.wants(0)) c.add(0, product(dy[0], in[1]));
    if (c.wants(1)) c.add(1, product_tn(dy[0], in[0]));
  }
};

// y = a' b
struct ProductTn {
  static constexpr int inputs = 2, outputs = 1;
  static constexpr unsigned row_inputs = 0;
  Tensors<1> value(Tensors<2> in) const {
    const Tensor a = in[0], b = in[1];
    check("product_tn", a.rows == b.rows, a, b);
    const Tensor y = empty(a.cols, b.cols, a.dtype);
    if (a.dtype == DType::float32)
      with_workspace(a.cols, b.cols, a.rows, [&](float* w) {
        kernels::current().product_tn(a.cols, b.cols, a.rows, a.f32(), b.f32(), y.f32(), false, w);
      });
    else
      kernels::product_tn_reference<double>(a.cols, b.cols, a.rows, a.as<double>(), b.as<double>(), y.as<double>(), false);
    return {y};
  }
  Values<1> pushforward(Values<2> in, Values<1>, Values<2> d) const {
    return {product_tn(d[0], in[1]) + product_tn(in[0], d[1])};
  }
  void pullback(Values<2> in, Values<1>, Values<1> dy, Cotangents c) const {
    if (c.wants(0)) c.add(0, product_nt(in[1], dy[0]));
    if (c.wants(1)) c.add(1, product(in[0], dy[0]));
  }
};

// y = x W + b      x [n, in]   W [in, out]   b [1, out]
struct Dense {
  static constexpr int inputs = 3, outputs = 1;
  static constexpr unsigned row_inputs = 0b001;
  Tensors<1> value(Tensors<3> in) const {
    const Tensor x = in[0], weight = in[1], bias = in[2];
    check("dense", x.cols == weight.rows, x, weight);
    check("dense: bias", bias.rows == 1 && bias.cols == weight.cols, weight, bias);
    const Tensor y = empty(x.rows, weight.cols, x.dtype);
    if (x.dtype == DType::float32)
      with_workspace(x.rows, weight.cols, x.cols, [&](float* w) {
        kernels::current().dense(x.rows, x.cols, weight.cols, x.f32(), weight.f32(), bias.f32(), y.f32(), w);
      });
    else
      kernels::dense_reference<double>(x.rows, x.cols, weight.cols, x.as<double>(), weight.as<double>(),
                                       bias.as<double>(), y.as<double>());
    return {y};
  }
  Values<1> pushforward(Values<3> in, Values<1> y, Values<3> d) const {
    const Value dy = product(d[0], in[1]) + product(in[0], d[1]) + d[2];
    return {broadcast_to(dy, y[0].rows(), y[0].cols())};
  }
  void pullback(Values<3> in, Values<1>, Values<1> dy, Cotangents c) const {
    if (c.wants(0)) c.add(0, product_nt(dy[0], in[1]));
    if (c.wants(1)) c.add(1, product_tn(in[0], dy[0]));
    if (c.wants(2)) c.add(2, sum_column(dy[0]));
  }
};

}  // namespace

Value product(Value a, Value b) { return a && b ? perform(Product{}, {a, b})[0] : Value(); }
Value product_nt(Value a, Value b) { return a && b ? perform(ProductNt{}, {a, b})[0] : Value(); }
Value product_tn(Value a, Value b) { return a && b ? perform(ProductTn{}, {a, b})[0] : Value(); }
Value dense(Value x, Value weight, Value bias) { return perform(Dense{}, {x, weight, bias})[0]; }

}  // namespace meander
