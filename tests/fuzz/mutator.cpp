// Changes to a file of tensors that leave most of it right, so that they reach what is read last: a number or a word of
// the header by itself, a tensor's length with its data and all places after it, a number of the data.

#include <algorithm>
#include <cmath>
#include <iterator>
#include <random>
#include <vector>

#include "target.h"
#include "tensors.h"
#include <meander/core/json.h>
#include <meander/core/safetensors_header.h>

using namespace meander;

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t most);

namespace {

using Random = std::minstd_rand;

size_t below(Random& random, size_t n) { return random() % std::max<size_t>(n, 1); }

const char* const numbers[] = {"0", "1", "-1", "2", "3", "0.5", "-0.0", "255", "256", "4096", "65536", "1000000",
                               "1000000000000", "2147483647", "2147483648", "4294967296", "9007199254740993",
                               "9223372036854775807", "9223372036854775808", "18446744073709551615", "1e3", "1e300",
                               "1e999", "-1e300", "null", "true", "\"\"", "[]", "{}"};

// Where the pieces of a kind begin and end.
std::vector<std::pair<size_t, size_t>> pieces(const std::string& text, bool (*inside)(char)) {
  std::vector<std::pair<size_t, size_t>> all;
  for (size_t i = 0; i < text.size();) {
    size_t end = i;
    while (end < text.size() && inside(text[end])) ++end;
    if (end > i) all.emplace_back(i, end - i);
    i = end + 1;
  }
  return all;
}
bool of_number(char c) { return (c >= '0' && c <= '9') || c == '-' || c == '.'; }
bool of_word(char c) {
  return of_number(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '/';
}

void change_text(std::string& text, Random& random) {
  const size_t what = below(random, 4);
  const auto all = pieces(text, what == 0 ? of_number : of_word);
  if (all.empty()) return;
  const auto [at, size] = all[below(random, all.size())];
  const auto [other, other_size] = all[below(random, all.size())];
  switch (what) {
    case 0: text.replace(at, size, numbers[below(random, std::size(numbers))]); break;
    case 1: text.replace(at, size, text.substr(other, other_size)); break;     // the word of another
    case 2: if (other > at) text.erase(at, other - at); break;                 // what is between two
    default: if (other > at && other - at < 400) text.insert(other, text.substr(at, other - at)); break;  // twice
  }
}

void grow(std::string& bytes, size_t most, size_t from, size_t size) {
  std::vector<uint8_t> room(bytes.begin() + from, bytes.begin() + from + size);
  room.resize(std::max<size_t>(1, most - bytes.size() + size));
  room.resize(LLVMFuzzerMutate(room.data(), size, room.size()));
  bytes.replace(from, size, std::string(room.begin(), room.end()));
}

// One more or fewer of the first dimension, in the shape, the data and all places after it.
void change_length(std::string& header, std::string& body, Random& random) {
  Json::Object all;
  try {
    all = Json::parse(header).object();
    all.erase("__metadata__");
    if (all.empty()) return;
    auto chosen = std::next(all.begin(), static_cast<std::ptrdiff_t>(below(random, all.size())));
    std::vector<int64_t> shape = chosen->second.at("shape").wholes();
    const std::vector<int64_t> place = chosen->second.at("data_offsets").wholes();
    if (shape.empty() || place.size() != 2 || shape[0] < 1 || place[0] < 0 || place[1] > std::ssize(body)) return;
    const int64_t one = (place[1] - place[0]) / shape[0];
    const bool more = random() % 2;
    if (one < 1 || place[0] + one > place[1]) return;
    shape[0] += more ? 1 : -1;
    const auto begin = static_cast<size_t>(place[0]), end = static_cast<size_t>(place[1]), n = static_cast<size_t>(one);
    if (more) body.insert(end, body.substr(begin, n));
    else body.erase(end - n, n);
    Json::Object changed = Json::parse(header).object();
    for (auto& [name, member] : changed) {
      if (name == "__metadata__") continue;
      Json::Object entry = member.object();
      std::vector<int64_t> offsets = entry.at("data_offsets").wholes();
      const int64_t by = more ? one : -one;
      if (name == chosen->first) entry["shape"] = shape, offsets[1] += by;
      else for (int64_t& offset : offsets) if (offset >= place[1] && offset < INT64_MAX - one) offset += by;
      entry["data_offsets"] = offsets;
      member = entry;
    }
    header = Json(changed).dump();
  } catch (const std::exception&) {
  }
}

// Where a number of a tensor lies in the body and its type: each tensor as often as any other, however long it is.
std::pair<size_t, DType> any_number(const std::string& header, const std::string& body, Random& random) {
  const size_t somewhere = below(random, body.size());
  try {
    const uint64_t length = header.size();
    const std::string file = std::string(reinterpret_cast<const char*>(&length), 8) + header + body;
    const auto tensors = parse_safetensors_header(std::as_bytes(std::span(file))).tensors;
    if (tensors.empty()) return {somewhere, DType::uint8};
    const HeaderTensor& tensor = tensors[below(random, tensors.size())];
    const auto size = static_cast<size_t>(tensor.dtype->bytes);
    const size_t count = (tensor.end - tensor.begin) / size;
    if (count == 0 || !tensor.dtype->known) return {somewhere, DType::uint8};
    return {tensor.begin - 8 - header.size() + size * below(random, count), tensor.dtype->dtype};
  } catch (const Error&) {
    return {somewhere, DType::float64};
  }
}

void change_number(const std::string& header, std::string& body, Random& random) {
  static const double values[] = {0, 1, -1, 0.5, 2, 3, 1e300, -1e300, 1e9, 9007199254740992.0, NAN, INFINITY,
                                  -INFINITY};
  if (body.empty()) return;
  const double x = values[below(random, std::size(values))];
  const auto [at, dtype] = any_number(header, body, random);
  const auto put = [&, at = at](const auto& number) {
    if (at + sizeof number <= body.size()) std::memcpy(body.data() + at, &number, sizeof number);
  };
  switch (dtype) {
    case DType::float64: put(x); break;
    case DType::float32: put(static_cast<float>(std::isfinite(x) ? std::clamp(x, -3e38, 3e38) : x)); break;
    case DType::uint8: put(static_cast<uint8_t>(random())); break;
    default: put(static_cast<uint32_t>(random())); break;
  }
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most, unsigned seed) {
  Random random(seed);
  const size_t prefix = fuzz::first_byte_says ? 1 : 0;
  if (size < prefix || random() % 32 == 0) return LLVMFuzzerMutate(data, size, most);
  std::string input(reinterpret_cast<char*>(data) + prefix, size - prefix);
  // Now and then from what is right, since most of what is kept has been refused.
  if (prefix && size && (input.empty() || random() % 4 == 0)) input = fuzz::whole_input(data[0]);
  uint64_t length = 0;
  const bool text = prefix && fuzz::is_text(data[0]);
  if (!text) {
    if (input.size() >= 8) std::memcpy(&length, input.data(), 8);
    if (input.size() < 8 || length > input.size() - 8) return LLVMFuzzerMutate(data, size, most);
  }
  std::string header = text ? input : input.substr(8, length), body = text ? "" : input.substr(8 + length);
  for (size_t times = 1 + below(random, 3); times > 0; --times)
    switch (random() % (text ? 4 : 8)) {
      case 0: if (most > input.size() + 64) grow(header, header.size() + 64, 0, header.size()); break;
      case 1: case 2: case 3: change_text(header, random); break;
      case 4: change_length(header, body, random); break;
      case 5: if (!body.empty()) grow(body, body.size(), 0, body.size()); break;
      default: change_number(header, body, random); break;
    }
  std::string out(reinterpret_cast<char*>(data), prefix);
  length = header.size();
  if (!text) out.append(reinterpret_cast<const char*>(&length), 8);
  out += header + body;
  if (out.size() > most) return LLVMFuzzerMutate(data, size, most);
  std::copy(out.begin(), out.end(), data);
  return out.size();
}
