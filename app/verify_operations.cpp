#include <cmath>
#include <functional>
#include <set>

#include <meander/app/verify_reference.h>
#include <meander/core/operations.h>
#include <meander/kernels/device.h>

namespace meander {
namespace {

constexpr double tolerance = 1e-5;   // of the largest value: float32 against float64

// Tensors of one recorded operation, as float32 matrices (recorded in float64 on inputs that float32 holds exactly).
class Recording {
 public:
  Recording(const SafetensorsFile& file, std::string operation) : file_(file), operation_(std::move(operation)) {}

  Tensor get(const std::string& part, const std::string& name) const {
    const std::string path = operation_ + "/" + part + "/" + name;
    const FileTensor& t = file_.at(path);
    const std::span<const double> numbers = file_.values<double>(path);
    const int64_t cols = t.shape.empty() ? 1 : t.shape.back();
    const int64_t rows = static_cast<int64_t>(numbers.size()) / std::max<int64_t>(cols, 1);
    Tensor single;
    {
      const kernels::DeviceScope on_host(kernels::Device::cpu);
      single = cast(view(numbers.data(), rows, cols), DType::float32);
    }
    return placed(single);
  }
  double constant(const std::string& name) const {
    return file_.values<double>(operation_ + "/const/" + name, 1)[0];
  }
  std::span<const double> expected(const std::string& part, const std::string& name, int64_t size) const {
    return file_.values<double>(operation_ + "/" + part + "/" + name, size);
  }
  const std::string& operation() const { return operation_; }

 private:
  const SafetensorsFile& file_;
  std::string operation_;
};

struct Operation {
  const char* name;                     // a recording's name starts with it
  std::vector<std::string> inputs;
  std::function<Value(const Recording&, const std::vector<Value>&)> f;
};

const std::vector<Operation>& operations() {
  const auto one = [](Value (*f)(Value)) {
    return [f](const Recording&, const std::vector<Value>& x) { return f(x[0]); };
  };
  static const std::vector<Operation> all = {
      {"dense", {"x", "kernel", "bias"}, [](auto&, auto& x) { return dense(x[0], x[1], x[2]); }},
      {"layer_norm", {"x", "scale", "bias"}, [](auto&, auto& x) { return layer_norm(x[0], x[1], x[2]); }},
      {"layer", {"x", "kernel", "bias", "scale", "shift"},
       [](auto&, auto& x) { return gelu(layer_norm(dense(x[0], x[1], x[2]), x[3], x[4])); }},
      {"gelu_tanh", {"x"}, one(gelu)},
      {"mish", {"x"}, one(mish)},
      {"softmax", {"x"}, one(softmax)},
      {"log_softmax", {"x"}, one(log_softmax)},
      {"logsumexp", {"x"}, one(log_sum_exp)},
      {"expected_value", {"x"},
       [](auto& r, auto& x) { return softmax_expectation(x[0], r.get("const", "atoms")); }},
      {"fourier", {"t", "freq"}, [](auto&, auto& x) { return fourier_features(x[0], x[1]); }},
      {"c51", {"prob"},
       [](auto& r, auto& x) {
         return c51_project(x[0], r.get("const", "where"), r.constant("v_min"), r.constant("v_max"));
       }},
      {"truncated_normal", {"lower", "upper", "f"},
       [](auto&, auto& x) { return truncated_normal(x[0], x[1], x[2]); }},
  };
  return all;
}

// The operation whose name is the longest start of the recording's.
const Operation& find_operation(const SafetensorsFile& file, const std::string& recorded) {
  const Operation* found = nullptr;
  for (const Operation& o : operations())
    if (recorded.starts_with(o.name) && (!found || std::string(o.name).size() > std::string(found->name).size()))
      found = &o;
  if (!found) throw Error(message(file.path(), ": no operation is known for the recording '", recorded, "'"));
  return *found;
}

CheckLine compare(const std::string& quantity, Value mine, std::span<const double> expected) {
  double worst = 0, largest = 0;
  const Tensor numbers = fetched(mine.detached);
  for (size_t i = 0; i < expected.size(); ++i) {
    const double x = mine ? double(numbers.f32()[i]) : 0;
    worst = std::max(worst, std::isfinite(x) ? std::abs(x - expected[i]) : INFINITY);
    largest = std::max(largest, std::abs(expected[i]));
  }
  return {quantity, largest > 0 ? worst / largest : worst, tolerance, ""};
}

// vjp takes its primals as an array of known length.
template <size_t N>
void verify_one(const Operation& operation, const Recording& recording, std::vector<CheckLine>& lines) {
  Value x[N], dx[N];
  for (size_t i = 0; i < N; ++i) {
    x[i] = recording.get("in", operation.inputs[i]);
    dx[i] = recording.get("tan", operation.inputs[i]);
  }
  const auto f = [&](auto... v) { return operation.f(recording, std::vector<Value>{v...}); };
  const auto [y, dy] = jvp(f, x, dx);
  const std::string& name = recording.operation();
  const int64_t size = y.detached.size();
  lines.push_back(compare(name + " value", y, recording.expected("out", "y", size)));
  lines.push_back(compare(name + " jvp", dy, recording.expected("jvp", "y", size)));
  const auto v = vjp(f, x);
  recording.expected("cot", "y", size);   // its size is checked before it is read under another shape
  const auto gradients = v.pull({reshape(recording.get("cot", "y"), y.rows(), y.cols())});
  for (size_t i = 0; i < N; ++i)
    lines.push_back(compare(name + " vjp " + operation.inputs[i], gradients[i],
                            recording.expected("vjp", operation.inputs[i], x[i].detached.size())));
}

}  // namespace

bool is_operation_reference(const SafetensorsFile& file) {
  for (const auto& [name, tensor] : file.tensors()) {
    const size_t slash = name.find("/in/");
    if (slash != std::string::npos && file.contains(name.substr(0, slash) + "/out/y")) return true;
  }
  return false;
}

std::vector<CheckLine> verify_operations(const SafetensorsFile& file) {
  std::set<std::string> names;
  for (const auto& [name, tensor] : file.tensors()) names.insert(name.substr(0, name.find('/')));
  std::vector<CheckLine> lines;
  for (const std::string& name : names) {
    ArenaScope scope;
    const Operation& operation = find_operation(file, name);
    const Recording recording(file, name);
    switch (operation.inputs.size()) {
      case 1: verify_one<1>(operation, recording, lines); break;
      case 2: verify_one<2>(operation, recording, lines); break;
      case 3: verify_one<3>(operation, recording, lines); break;
      case 5: verify_one<5>(operation, recording, lines); break;
    }
  }
  return lines;
}

}  // namespace meander
