#include <meander/core/json.h>

#include <nlohmann/json.hpp>

#include <meander/kernels/error.h>

namespace meander {
namespace {

using Document = nlohmann::json;

// Builds the value while the text is read.
class Reader : public nlohmann::json_sax<Document> {
 public:
  bool null() override { return put(Json()); }
  bool boolean(bool x) override { return put(x); }
  bool number_integer(int64_t x) override { return put(x); }
  bool number_unsigned(uint64_t x) override {
    if (x > INT64_MAX) throw Error(message("the whole number ", x, " is too large"));
    return put(static_cast<int64_t>(x));
  }
  bool number_float(double x, const std::string&) override { return put(x); }
  bool string(std::string& x) override { return put(std::move(x)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return open(false); }
  bool start_array(size_t) override { return open(true); }
  bool key(std::string& name) override {
    if (open_.back().object.contains(name))
      throw Error(message("the name ", quoted(name), " stands twice in one object"));
    open_.back().name = std::move(name);
    return true;
  }
  bool end_object() override { return close(std::move(open_.back().object)); }
  bool end_array() override { return close(std::move(open_.back().list)); }
  bool parse_error(size_t byte, const std::string&, const nlohmann::detail::exception&) override {
    throw Error(message("not JSON at its byte ", byte));
  }

  Json result;

 private:
  struct Open {
    bool is_list = false;
    Json::List list;
    Json::Object object;
    std::string name;
  };

  // A hostile file must not use up the stack, nor take seconds or much memory: a million names of one object are two
  // seconds of comparing them. Ten times what a recording of ours has.
  static constexpr size_t deepest = 100;
  static constexpr int64_t most_values = 100'000;

  bool open(bool is_list) {
    if (open_.size() == deepest) throw Error(message("nested deeper than ", deepest, " levels"));
    open_.emplace_back().is_list = is_list;
    return true;
  }
  bool put(Json value) {
    if (++values_ > most_values) throw Error(message("more than ", most_values, " values"));
    if (open_.empty()) result = std::move(value);
    else if (Open& in = open_.back(); in.is_list) in.list.push_back(std::move(value));
    else in.object.emplace(std::move(in.name), std::move(value));
    return true;
  }
  bool close(Json value) {
    open_.pop_back();
    return put(std::move(value));
  }

  std::vector<Open> open_;
  int64_t values_ = 0;
};

// The parser holds a string, or what else stands between two marks, in several copies, the longer the more of them.
void expect_short_words(std::string_view text) {
  constexpr size_t longest = 8'000'000;
  bool inside = false;
  size_t start = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (inside && c == '\\') ++i;
    else if (c == '"') inside = !inside, start = i;
    else if (!inside && (c == ',' || c == ':' || c == '[' || c == ']' || c == '{' || c == '}')) start = i;
    if (i > start + longest) throw Error(message("a word of more than ", longest, " bytes"));
  }
}

// Of a text from outside no more than a line has room for.
std::string shortened(const std::string& text) {
  constexpr size_t most = 200;
  return text.size() <= most ? text : text.substr(0, most) + "...";
}

Document document(const Json& value) {
  return std::visit(
      [](const auto& x) -> Document {
        using T = std::decay_t<decltype(x)>;
        if constexpr (std::is_same_v<T, Json::List>) {
          Document d = Document::array();
          for (const Json& each : x) d.push_back(document(each));
          return d;
        } else if constexpr (std::is_same_v<T, Json::Object>) {
          Document d = Document::object();
          for (const auto& [name, each] : x) d[name] = document(each);
          return d;
        } else {
          return x;
        }
      },
      value.value());
}

}  // namespace

Json Json::parse(std::string_view text) {
  expect_short_words(text);
  Reader reader;
  Document::sax_parse(text, &reader);
  return std::move(reader.result);
}

std::string Json::dump() const {
  try {
    return document(*this).dump();
  } catch (const Document::type_error&) {
    throw Error("text for JSON is not UTF-8");
  }
}

std::vector<int64_t> Json::wholes() const {
  std::vector<int64_t> all;
  for (const Json& x : list()) all.push_back(x.whole());
  return all;
}

const Json* Json::find(const std::string& name) const {
  const auto found = object().find(name);
  return found == object().end() ? nullptr : &found->second;
}

const Json& Json::first() const {
  if (list().empty()) throw Error("expected a list of one at least, got an empty one");
  return list().front();
}

const Json& Json::at(const std::string& name) const {
  if (const Json* found = find(name)) return *found;
  throw Error(message("no ", quoted(name)));
}

void Json::refuse(const char* expected) const {
  throw Error(message("expected ", expected, ", got ", shortened(dump())));
}

std::string quoted(const std::string& text) {
  return Document(shortened(text)).dump(-1, ' ', false, Document::error_handler_t::replace);
}

}  // namespace meander
