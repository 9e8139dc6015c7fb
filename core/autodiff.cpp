#include <meander/core/autodiff.h>

namespace meander {
namespace detail {
namespace {
constexpr int most_levels = 16;
thread_local Level* open_levels[most_levels];
thread_local int open_count = 0;
thread_local uint64_t next_id = 1;
}  // namespace

Level::Level(LevelKind k) : id(next_id++), kind(k) {
  if (open_count == most_levels) throw Error(message("more than ", most_levels, " levels of differentiation are open"));
  open_levels[open_count++] = this;
}

Level::~Level() { --open_count; }

Level& open_level(uint64_t id) {
  for (int i = open_count - 1; i >= 0; --i)
    if (open_levels[i]->id == id) return *open_levels[i];
  throw Error("a value was used after the jvp or vjp it belongs to had returned");
}

Value lift_forward(uint64_t level, Value primal, Value tangent) {
  Value v = primal.detached;
  v.lift = new (arena_array<Lift>(1)) Lift{level, primal, tangent, nullptr, 0};
  return v;
}

Value lift_reverse(uint64_t level, Value primal, Node* node, int output) {
  Value v = primal.detached;
  v.lift = new (arena_array<Lift>(1)) Lift{level, primal, Value(), node, output};
  return v;
}

Node* make_node(Level& level, int inputs, int outputs) {
  const auto values = [](int n) {
    Value* v = arena_array<Value>(n);
    for (int i = 0; i < n; ++i) new (v + i) Value();
    return v;
  };
  Node* node = new (arena_array<Node>(1)) Node;
  node->previous = level.last;
  level.last = node;
  node->in = values(inputs);
  node->out = values(outputs);
  node->parent = arena_array<Node*>(inputs);
  node->parent_output = arena_array<int>(inputs);
  node->cotangent = values(outputs);
  node->owned = arena_array<bool>(outputs);
  for (int i = 0; i < outputs; ++i) node->owned[i] = false;
  node->outputs = outputs;
  return node;
}

void pull_back(Node* last) {
  for (Node* n = last; n; n = n->previous) {
    bool any = false;
    for (int i = 0; i < n->outputs; ++i) any = any || n->cotangent[i];
    if (any && n->pull) n->pull(*n);
  }
}

}  // namespace detail

void Cotangents::add(int input, Value cotangent) {
  Node* parent = node_.parent[input];
  if (!parent || !cotangent) return;
  const int output = node_.parent_output[input];
  Value& sum = parent->cotangent[output];
  sum = meander::add(sum, cotangent);
  parent->owned[output] = false;
}

Tensor Cotangents::accumulator(int input) {
  Node* parent = node_.parent[input];
  const int output = node_.parent_output[input];
  Value& sum = parent->cotangent[output];
  if (!sum) {
    const Value& primal = parent->out[output];
    sum = zeros(primal.rows(), primal.cols(), primal.dtype());
  } else if (!parent->owned[output]) {
    sum = copy(sum.detached);
  }
  parent->owned[output] = true;
  return sum.detached;
}

}  // namespace meander
