#pragma once

#include <algorithm>
#include <array>
#include <new>
#include <tuple>
#include <utility>

#include <meander/core/arena.h>
#include <meander/kernels/error.h>
#include <meander/core/tensor.h>

// Forward- and reverse-mode differentiation that compose to any depth, on one mechanism: a stack of levels.
//
// A Value is a tensor, or a value one level up that carries a tangent (forward level) or a node of a tape (reverse
// level). jvp opens a forward level, vjp a reverse level. An operation looks at the highest level among its arguments:
// there a forward level calls the operation's pushforward and a reverse level records its pullback, both written with
// operations on the values of the level below. So grad of jvp, jvp of grad, grad of grad and jvp of jvp need no code of
// their own.
//
// Symbolic zeros: a tangent or cotangent that is zero is an absent Value, not a tensor of zeros. A tangent may also have
// fewer rows than its primal: it then belongs to the LAST rows, and the rows before them have none. Row-wise operations
// carry such a tangent along at the cost of its rows only.
//
// An operation is a small struct (its fields are its constants, such as the first column of a slice) with
//     static constexpr int inputs, outputs;
//     static constexpr unsigned row_inputs;    bit i: input i has one row for each row of the result (or 1, broadcast);
//                                              0: the operation is not row-wise
//     Tensors<outputs> value(Tensors<inputs> in) const;
//     Values<outputs>  pushforward(Values<inputs> in, Values<outputs> out, Values<inputs> tangent) const;
//     void             pullback(Values<inputs> in, Values<outputs> out, Values<outputs> cotangent, Cotangents c) const;
// and, where one pass gives both,
//     std::pair<Values<outputs>, Values<outputs>> value_and_tangent(Values<inputs> in, Values<inputs> tangent) const;
// or, where the pullback wants more kept than the value needs, a field `bool keep`, set when the operation is recorded.

namespace meander {

struct Lift;

struct Value {
  Tensor detached;             // the numbers without their derivatives, whatever the level
  const Lift* lift = nullptr;  // null: a plain tensor

  Value() = default;           // absent: a symbolic zero
  Value(Tensor t) : detached(t) {}
  explicit operator bool() const { return detached.data != nullptr; }
  bool plain() const { return lift == nullptr; }
  int64_t rows() const { return detached.rows; }
  int64_t cols() const { return detached.cols; }
  DType dtype() const { return detached.dtype; }
};

template <int N> using Values = std::array<Value, N>;
template <int N> using Tensors = std::array<Tensor, N>;

struct Node;

// What a value is at one level.
struct Lift {
  uint64_t level;
  Value primal;                // the value one level below
  Value tangent;               // forward level
  Node* node = nullptr;        // reverse level: the node that made it, and which of its outputs it is
  int output = 0;
};

// One recorded operation, in arena memory. All values belong to the level below the tape's.
struct Node {
  Node* previous = nullptr;    // in order of recording
  void (*pull)(Node&) = nullptr;  // null: a leaf
  void* operation = nullptr;
  Value* in = nullptr;
  Value* out = nullptr;
  Node** parent = nullptr;     // for each input the node it came from, null for a constant
  int* parent_output = nullptr;
  Value* cotangent = nullptr;  // for each output, absent until something arrives
  bool* owned = nullptr;       // the cotangent's memory is this node's alone: more may be added in place
  int outputs = 0;
};

// Where a pullback puts the cotangents of its inputs.
class Cotangents {
 public:
  explicit Cotangents(Node& node) : node_(node) {}
  bool wants(int input) const { return node_.parent[input] != nullptr; }
  void add(int input, Value cotangent);            // no effect if not wanted or absent
  // Memory of the input's shape to add a plain cotangent to in place: for the flat parameter buffer, of which every
  // operation fills a part only. Only where in_place: what has arrived so far has no derivatives of its own.
  Tensor accumulator(int input);
  bool in_place(int input) const { return node_.parent[input]->cotangent[node_.parent_output[input]].plain(); }

 private:
  Node& node_;
};

Value add(Value a, Value b);                       // core/arithmetic.cpp
Value slice_rows(Value x, int64_t first, int64_t count);

namespace detail {

enum class LevelKind { forward, reverse };

// An open level; closing is leaving the scope, also by an exception.
class Level {
 public:
  explicit Level(LevelKind kind);
  ~Level();
  Level(const Level&) = delete;
  uint64_t id;
  LevelKind kind;
  Node* last = nullptr;
};

// The open level that `id` names. Throws Error if it is closed: the value outlived the jvp or vjp it belongs to.
Level& open_level(uint64_t id);

inline uint64_t level_of(const Value& v) { return v.lift ? v.lift->level : 0; }
inline Value primal_at(uint64_t level, const Value& v) { return level_of(v) == level ? v.lift->primal : v; }
inline Value tangent_at(uint64_t level, const Value& v) { return level_of(v) == level ? v.lift->tangent : Value(); }

Value lift_forward(uint64_t level, Value primal, Value tangent);
Value lift_reverse(uint64_t level, Value primal, Node* node, int output);
Node* make_node(Level& level, int inputs, int outputs);
// Runs the tape backwards from `last`; cotangents of the nodes are set before.
void pull_back(Node* last);

template <class Op>
Values<Op::outputs> apply_forward(const Op& op, uint64_t level, const Values<Op::inputs>& in);
template <class Op>
Values<Op::outputs> apply_reverse(Op op, Level& level, const Values<Op::inputs>& in);

}  // namespace detail

// Applies an operation at the highest level among its inputs.
template <class Op>
Values<Op::outputs> perform(const Op& op, const Values<Op::inputs>& in) {
  uint64_t highest = 0;
  for (const Value& v : in) highest = std::max(highest, detail::level_of(v));
  if (highest == 0) {
    Tensors<Op::inputs> tensors;
    for (int i = 0; i < Op::inputs; ++i) tensors[i] = in[i].detached;
    const Tensors<Op::outputs> result = op.value(tensors);
    Values<Op::outputs> out;
    for (int i = 0; i < Op::outputs; ++i) out[i] = result[i];
    return out;
  }
  detail::Level& level = detail::open_level(highest);
  return level.kind == detail::LevelKind::forward ? detail::apply_forward(op, highest, in)
                                                  : detail::apply_reverse(op, level, in);
}

namespace detail {

template <class Op>
Values<Op::outputs> apply_forward(const Op& op, uint64_t level, const Values<Op::inputs>& in) {
  Values<Op::inputs> primal, tangent;
  bool any = false, last_rows = false;
  for (int i = 0; i < Op::inputs; ++i) {
    primal[i] = primal_at(level, in[i]);
    tangent[i] = tangent_at(level, in[i]);
    any = any || tangent[i];
    last_rows = last_rows || (tangent[i] && tangent[i].rows() < primal[i].rows());
  }
  Values<Op::outputs> out, dout;
  if constexpr (requires { op.value_and_tangent(primal, tangent); }) {
    if (any) std::tie(out, dout) = op.value_and_tangent(primal, tangent);
  }
  if (!out[0]) {
    out = perform(op, primal);
    Values<Op::outputs> at = out;
    if (last_rows) {
      // Tangents of the last rows only: the pushforward sees just those rows.
      int64_t rows = 0;
      for (int i = 0; i < Op::inputs; ++i)
        if (tangent[i] && tangent[i].rows() < primal[i].rows()) rows = tangent[i].rows();
      const int64_t all = out[0].rows();
      for (int i = 0; i < Op::inputs; ++i) {
        const bool by_row = (Op::row_inputs >> i & 1) && primal[i] && primal[i].rows() == all;
        if (tangent[i] && !by_row)
          throw Error("a tangent of the last rows met an operation, or a parameter with a tangent, that mixes rows");
        if (!by_row) continue;
        primal[i] = slice_rows(primal[i], all - rows, rows);
        if (tangent[i] && tangent[i].rows() == all) tangent[i] = slice_rows(tangent[i], all - rows, rows);
      }
      for (Value& v : at) v = slice_rows(v, all - rows, rows);
    }
    if (any) dout = op.pushforward(primal, at, tangent);
  }
  for (int i = 0; i < Op::outputs; ++i)
    if (dout[i]) out[i] = lift_forward(level, out[i], dout[i]);
  return out;
}

template <class Op>
Values<Op::outputs> apply_reverse(Op op, Level& level, const Values<Op::inputs>& in) {
  static_assert(std::is_trivially_destructible_v<Op>);
  if constexpr (requires { op.keep; }) op.keep = true;
  Node* node = make_node(level, Op::inputs, Op::outputs);
  Values<Op::inputs> primal;
  for (int i = 0; i < Op::inputs; ++i) {
    const bool here = level_of(in[i]) == level.id;
    primal[i] = node->in[i] = primal_at(level.id, in[i]);
    node->parent[i] = here ? in[i].lift->node : nullptr;
    node->parent_output[i] = here ? in[i].lift->output : 0;
  }
  node->operation = new (arena_array<Op>(1)) Op(op);
  node->pull = [](Node& n) {
    Values<Op::inputs> in;
    Values<Op::outputs> out, cotangent;
    std::copy_n(n.in, Op::inputs, in.begin());
    std::copy_n(n.out, Op::outputs, out.begin());
    std::copy_n(n.cotangent, Op::outputs, cotangent.begin());
    static_cast<const Op*>(n.operation)->pullback(in, out, cotangent, Cotangents(n));
  };
  Values<Op::outputs> out = perform(op, primal);
  for (int i = 0; i < Op::outputs; ++i) {
    node->out[i] = out[i];
    if (out[i]) out[i] = lift_reverse(level.id, out[i], node, i);
  }
  return out;
}

// Functions return a Value or an array of Values; inside, both are arrays.
template <size_t N> std::array<Value, N> as_array(const std::array<Value, N>& v) { return v; }
inline std::array<Value, 1> as_array(const Value& v) { return {v}; }
template <size_t N> std::array<Value, N> shaped_like(const std::array<Value, N>&, const std::array<Value, N>& v) { return v; }
inline Value shaped_like(const Value&, const std::array<Value, 1>& v) { return v[0]; }

}  // namespace detail

// The value again without derivatives, at any level.
inline Value stop_gradient(Value v) { return v.detached; }

// { f(primals), the derivative of f along the tangents }, as in jvp(f, {x, t}, {dx, dt}). f takes N Values and returns a
// Value or an array of Values. An absent tangent is zero; one with fewer rows than its primal belongs to the last rows.
template <class F, size_t N>
auto jvp(F&& f, const Value (&primals)[N], const Value (&tangents)[N]) {
  detail::Level level(detail::LevelKind::forward);
  std::array<Value, N> x;
  for (size_t i = 0; i < N; ++i)
    x[i] = tangents[i] ? detail::lift_forward(level.id, primals[i], tangents[i]) : primals[i];
  const auto result = std::apply(f, x);
  auto out = detail::as_array(result), tangent = out;
  for (size_t k = 0; k < out.size(); ++k) {
    tangent[k] = detail::tangent_at(level.id, out[k]);
    out[k] = detail::primal_at(level.id, out[k]);
  }
  return std::pair(detail::shaped_like(result, out), detail::shaped_like(result, tangent));
}

// f at its primals, and the map from cotangents of the results to cotangents of the primals.
template <size_t N, size_t M>
struct Vjp {
  std::array<Value, M> out;
  // Cotangents of the N primals (absent: f does not depend on it). May be called again with others.
  std::array<Value, N> pull(const std::array<Value, M>& cotangent) const {
    for (Node* n = last; n; n = n->previous)
      for (int i = 0; i < n->outputs; ++i) n->cotangent[i] = Value(), n->owned[i] = false;
    for (size_t i = 0; i < M; ++i)
      if (maker[i] && cotangent[i]) {
        Value& c = maker[i]->cotangent[maker_output[i]];
        c = add(c, cotangent[i]);
      }
    detail::pull_back(last);
    std::array<Value, N> result;
    for (size_t i = 0; i < N; ++i) result[i] = leaf[i]->cotangent[0];
    return result;
  }

  std::array<Node*, N> leaf{};
  std::array<Node*, M> maker{};
  std::array<int, M> maker_output{};
  Node* last = nullptr;
};

template <class F, size_t N>
auto vjp(F&& f, const Value (&primals)[N]) {
  detail::Level level(detail::LevelKind::reverse);
  std::array<Node*, N> leaf;
  std::array<Value, N> x;
  for (size_t i = 0; i < N; ++i) {
    leaf[i] = detail::make_node(level, 0, 1);
    leaf[i]->out[0] = primals[i];
    x[i] = detail::lift_reverse(level.id, primals[i], leaf[i], 0);
  }
  const auto out = detail::as_array(std::apply(f, x));
  Vjp<N, std::tuple_size_v<std::remove_cvref_t<decltype(out)>>> result;
  result.leaf = leaf;
  result.last = level.last;
  for (size_t k = 0; k < out.size(); ++k) {
    result.out[k] = detail::primal_at(level.id, out[k]);
    if (detail::level_of(out[k]) == level.id) {
      result.maker[k] = out[k].lift->node;
      result.maker_output[k] = out[k].lift->output;
    }
  }
  return result;
}

// { f(x), df/dx } for a function with one number [1, 1] as its (first) result; further results are carried along
// without derivative. The gradient is absent if f does not depend on x.
template <class F>
auto value_and_grad(F&& f, const Value& x) {
  const auto v = vjp(f, {x});
  if (v.out[0].rows() != 1 || v.out[0].cols() != 1)
    throw Error(message("grad needs a function with one number as its result, got [", v.out[0].rows(), ", ",
                        v.out[0].cols(), "]"));
  auto cotangent = v.out;
  cotangent.fill(Value());
  cotangent[0] = full(1, 1, 1.0, v.out[0].dtype());
  return std::pair(v.out, v.pull(cotangent)[0]);
}

template <class F>
Value grad(F&& f, const Value& x) {
  return value_and_grad(std::forward<F>(f), x).second;
}

}  // namespace meander
