#include "bench/mlp_description.h"

#include <algorithm>
#include <charconv>
#include <sstream>

#include <meander/kernels/error.h>

namespace meander::bench {
namespace {

using kernels::MlpShape;
using kernels::Norm;
using kernels::Precision;

constexpr int64_t most_width = 16384, most_rows = int64_t{1} << 20;

std::vector<std::string> split(const std::string& text, char by) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, by);) parts.push_back(part);
  return parts;
}

int64_t number(const char* what, const std::string& text, int64_t most) {
  int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < 1 || value > most)
    throw Error(message(what, " '", text, "': a number from 1 to ", most, " is wanted"));
  return value;
}

template <class T>
T choose(const char* what, const std::string& text, std::initializer_list<std::pair<const char*, T>> known) {
  std::string names;
  for (const auto& [name, value] : known) {
    if (text == name) return value;
    names += std::string(names.empty() ? "" : ", ") + name;
  }
  throw Error(message("no ", what, " '", text, "': there are ", names));
}

}  // namespace

MlpDescription::MlpDescription(const std::string& name) {
  const std::vector<std::string> part = split(name, '/');
  if (part.size() != 7 || part[0] != "mlp") throw Error(message("no case '", name, "'"));
  for (const std::string& width : split(part[1], '-')) widths.push_back(number("layers", width, most_width));
  if (widths.size() < 2 || std::ssize(widths) > MlpShape::max_layers + 1)
    throw Error(message("layers ", part[1], ": 2 to ", MlpShape::max_layers + 1, " widths are wanted"));
  const auto* const found = std::ranges::find_if(kernels::activations, [&](kernels::Activation a) {
    return kernels::activation_name(a) == part[2];
  });
  if (found == std::end(kernels::activations)) throw Error(message("no activation '", part[2], "'"));
  activation = *found;
  norm = choose<Norm>("norm", part[3], {{"layer", Norm::before_activation}, {"layer-after", Norm::after_activation},
                                        {"none", Norm::none}});
  pass = part[4];
  if (std::ranges::find(mlp_passes, pass) == mlp_passes.end()) throw Error(message("no pass '", pass, "'"));
  rows = number("rows", part[5], most_rows);
  precision = choose<Precision>("precision", part[6], {{"float32", Precision::float32}, {"tf32", Precision::tf32},
                                                       {"bfloat16", Precision::bfloat16}});
  if (precision != Precision::float32 && pass != "forward" && pass != "candidates")
    throw Error(message("products of ", pass, " do not round"));
  if (pass == "candidates" && widths[0] < 2) throw Error("candidates of a network of one input share nothing");
}

double MlpDescription::flop() const {
  double all = 0;   // one pass through the products
  for (size_t l = 0; l + 1 < widths.size(); ++l) all += 2.0 * double(widths[l] * widths[l + 1]) * double(rows);
  const double first = 2.0 * double(widths[0] * widths[1]) * double(rows);
  if (pass == "forward") return all;
  if (pass == "jvp" || pass == "input-gradient") return 2 * all;
  // Values, gradients of the weights, and of the inputs of all layers but the first.
  if (pass == "backward") return 3 * all - first;
  if (pass == "jvp+backward") return 4 * all - first;
  // These and their tangents, each of which is two products but where the first layer's inputs, which stand still, are
  // a factor or would be differentiated.
  if (pass == "hvp") return 9 * all - 5 * first;
  return double(mlp_candidates) * all;
}

double MlpDescription::bytes() const {
  double parameters = 0;
  for (size_t l = 0; l + 1 < widths.size(); ++l) {
    const bool normed = norm != Norm::none && l + 2 < widths.size();
    parameters += double(widths[l + 1]) * double(widths[l] + (normed ? 3 : 1));
  }
  const double in = double(rows * widths.front()), out = double(rows * widths.back());
  const auto numbers = [&] {
    if (pass == "forward") return parameters + in + out;
    if (pass == "jvp") return parameters + 2 * in + 2 * out;
    if (pass == "backward") return 2 * parameters + in + out;
    if (pass == "jvp+backward") return 2 * parameters + 2 * in + 3 * out;
    if (pass == "hvp") return 3 * parameters + in + out;
    if (pass == "input-gradient") return parameters + 2 * in + out;
    return parameters + double(rows * (widths[0] - own() + mlp_candidates * own() + 1));
  };
  return 4 * numbers();
}

}  // namespace meander::bench
