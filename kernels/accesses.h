#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include <meander/kernels/device.h>

// What each function of kernels/device.h reads and writes, known before it runs: recorded work then waits only for what
// it needs (kernels/dependencies.h), and the bytes of an update can be counted.
namespace meander::kernels {

struct Access {
  const std::byte *begin, *end;   // from the first byte touched to the last; all memory there is: null, null
  size_t bytes;                   // moved; none for scratch, which nobody reads afterwards
  bool written;
};

// Where a network's parameters lie in its flat buffer: [first, last).
struct ParameterRange {
  int64_t first = INT64_MAX, last = 0;
  void add(int64_t at, int64_t n) { first = std::min(first, at), last = std::max(last, at + n); }
  int64_t size() const { return last - first; }
};
inline ParameterRange parameters_of(const MlpShape& s) {
  ParameterRange range;
  for (int l = 0; l < s.layers; ++l) {
    range.add(s.weight[l], s.width[l] * s.width[l + 1]), range.add(s.bias[l], s.width[l + 1]);
    if (s.norm == Norm::none || l + 1 == s.layers) continue;
    range.add(s.scale[l], s.width[l + 1]), range.add(s.shift[l], s.width[l + 1]);
  }
  return range;
}
inline ParameterRange parameters_of(const EmbeddingShape& s) {
  ParameterRange range;
  if (!s.fixed) range.add(s.frequency, s.frequencies);
  range.add(s.weight0, 2 * s.frequencies * s.hidden), range.add(s.bias0, s.hidden);
  range.add(s.weight1, s.hidden * s.width), range.add(s.bias1, s.width);
  return range;
}

// Those of one call, entered by Touched's functions. n counts elements; behind null and what is no pointer
// there is nothing.
class Accesses {
 public:
  explicit Accesses(const DeviceKernels& device) : device_(device) {}

  template <class... P>
  void operator()(int64_t n, P... p) { (enter(p, n, 1), ...); }
  template <class... P>
  void changed(int64_t n, P... p) { (enter(p, n, 2), ...); }   // read and written
  template <class P>
  void scratch(int64_t n, P p) { enter(p, n, 0); }
  // Rows of a matrix that begin `stride` elements after one another.
  template <class P>
  void strided(int64_t rows, int64_t cols, int64_t stride, P p) { enter(p, rows ? (rows - 1) * stride + cols : 0, 1); }
  // A network's parameters, or, not const, their gradients, to which is added.
  template <class Shape, class T>
  void network(const Shape& s, T* params) {
    const ParameterRange range = parameters_of(s);
    if (params) enter(params + range.first, range.size(), std::is_const_v<T> ? 1 : 2);
    if constexpr (std::is_const_v<T> && requires { s.fixed; }) enter(s.fixed, s.frequencies, 1);
  }
  // What cannot be known from the arguments.
  void everything() { all_.push_back({nullptr, nullptr, 0, true}); }

  const DeviceKernels& device() const { return device_; }       // for sizes
  auto begin() const { return all_.begin(); }
  auto end() const { return all_.end(); }

 private:
  template <class T>
  void enter(T* p, int64_t n, size_t times) {
    if (!p || n <= 0) return;
    const std::byte* const at = reinterpret_cast<const std::byte*>(p);
    const size_t size = static_cast<size_t>(n) * sizeof(T);
    all_.push_back({at, at + size, times * size, !std::is_const_v<T>});
  }
  void enter(float, int64_t, size_t) {}
  const DeviceKernels& device_;
  std::vector<Access> all_;
};

// A function of the table, as a value that a template can be called with.
template <auto member>
struct Function {};

// visit(Function<&DeviceKernels::f>(), "f", touched) for each function that queues work; touched(a, arguments...)
// enters what a call touches into `a`.
template <class Visit>
void for_each_function(Visit visit) {
  const auto of_memory = [](Accesses& a, void* to, auto from, size_t bytes) {
    const auto n = static_cast<int64_t>(bytes);
    a(n, static_cast<std::byte*>(to));
    if constexpr (std::is_pointer_v<decltype(from)>) a(n, static_cast<const std::byte*>(from));
  };
  visit(Function<&DeviceKernels::copy>(), "copy", of_memory);
  visit(Function<&DeviceKernels::fill>(), "fill", of_memory);
#define MEANDER_VISIT(name) visit(Function<&DeviceKernels::name>(), #name, Touched::name);
  MEANDER_DEVICE_FUNCTIONS(MEANDER_VISIT, MEANDER_VISIT)
  MEANDER_GPU_FUNCTIONS(MEANDER_VISIT)
#undef MEANDER_VISIT
}

}  // namespace meander::kernels
