#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace meander {

// A JSON document as a value. Reading and writing is nlohmann-json's, which json.cpp alone includes.
class Json {
 public:
  using List = std::vector<Json>;
  using Object = std::map<std::string, Json>;

  Json() = default;                                         // null
  Json(bool x) : value_(x) {}
  Json(int64_t x) : value_(x) {}
  Json(int x) : value_(int64_t{x}) {}
  Json(double x) : value_(x) {}
  Json(std::string x) : value_(std::move(x)) {}
  Json(const char* x) : value_(std::string(x)) {}
  Json(List x) : value_(std::move(x)) {}
  Json(Object x) : value_(std::move(x)) {}
  template <class T>
  Json(const std::vector<T>& x) : value_(List(x.begin(), x.end())) {}

  // Throws Error saying at which byte the text is not JSON; also for a name twice in one object, a whole number beyond
  // int64_t, more than 100 levels or 100,000 values, and a word of more than 8 MB: what is taken needs no more memory
  // or time than its text suggests.
  static Json parse(std::string_view text);
  // In one line, objects by name. Throws Error if a string is not UTF-8.
  std::string dump() const;

  bool is_object() const { return holds<Object>(); }
  bool is_text() const { return holds<std::string>(); }
  // What it holds. Throws Error if it is something else; number() takes a whole number as well.
  bool boolean() const { return get<bool>("true or false"); }
  int64_t whole() const { return get<int64_t>("a whole number"); }
  double number() const { return holds<int64_t>() ? static_cast<double>(whole()) : get<double>("a number"); }
  const std::string& text() const { return get<std::string>("a string"); }
  const List& list() const { return get<List>("a list"); }
  const Object& object() const { return get<Object>("an object"); }
  const Json& first() const;                                // of a list; Error if there is none
  std::vector<int64_t> wholes() const;                      // of a list
  // The member of an object, or null if there is none of that name; at() throws Error then.
  const Json* find(const std::string& name) const;
  const Json& at(const std::string& name) const;

  using Value = std::variant<std::nullptr_t, bool, int64_t, double, std::string, List, Object>;
  const Value& value() const { return value_; }

 private:
  template <class T>
  bool holds() const { return std::holds_alternative<T>(value_); }
  template <class T>
  const T& get(const char* what) const {
    if (const T* x = std::get_if<T>(&value_)) return *x;
    refuse(what);
  }
  [[noreturn]] void refuse(const char* expected) const;

  Value value_;
};

// A text from outside for a message: quoted and escaped, so that a line break in it cannot break the message's one
// line, and no more than the first 200 bytes.
std::string quoted(const std::string& text);

}  // namespace meander
