#include <meander/app/npy_header.h>

#include <charconv>

#include <meander/kernels/error.h>

namespace meander {

namespace {

constexpr size_t most_dimensions = 32;  // NumPy's own limit before version 2

// The words of a Python literal, one after another.
class HeaderText {
 public:
  explicit HeaderText(std::string_view text) : text_(text) {}

  // Whether the next character, spaces aside, is c; then it is passed.
  bool take(char c) {
    skip_spaces();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!take(c)) fail(std::string("'") + c + "'");
  }
  std::string quoted() {
    const char quote = take('"') ? '"' : '\'';
    if (quote == '\'' && !take(quote)) fail("a quoted text");
    const size_t end = text_.find(quote, at_);
    if (end == std::string_view::npos) fail("a closing quote");
    const std::string word(text_.substr(at_, end - at_));
    at_ = end + 1;
    return word;
  }
  bool truth() {
    skip_spaces();
    for (const bool value : {false, true})
      if (const std::string_view word = value ? "True" : "False"; text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return value;
      }
    fail("True or False");
  }
  int64_t count() {
    skip_spaces();
    int64_t value = -1;
    const auto [stop, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error != std::errc() || value < 0) fail("a whole number");
    at_ = static_cast<size_t>(stop - text_.data());
    return value;
  }
  void end() {
    skip_spaces();
    if (at_ < text_.size()) fail("the end");
  }
  [[noreturn]] void fail(const std::string& expected) const {
    throw Error(message("the header is not an array's: expected ", expected, " at byte ", at_));
  }

 private:
  void skip_spaces() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

NpyHeader parse_npy_header(std::string_view text) {
  HeaderText words(text);
  NpyHeader header;
  bool has_descr = false, has_order = false, has_shape = false;
  words.expect('{');
  while (!words.take('}')) {
    const std::string key = words.quoted();
    words.expect(':');
    if (key == "descr" && !has_descr) {
      header.descr = words.quoted(), has_descr = true;
    } else if (key == "fortran_order" && !has_order) {
      header.fortran_order = words.truth(), has_order = true;
    } else if (key == "shape" && !has_shape) {
      words.expect('(');
      while (!words.take(')')) {
        header.shape.push_back(words.count());
        if (header.shape.size() > most_dimensions)
          words.fail(message("at most ", most_dimensions, " dimensions before"));
        if (!words.take(',')) {
          words.expect(')');
          break;
        }
      }
      has_shape = true;
    } else {
      words.fail("one each of descr, fortran_order and shape before");
    }
    if (!words.take(',')) {
      words.expect('}');
      break;
    }
  }
  words.end();
  if (!has_descr || !has_order || !has_shape) words.fail("descr, fortran_order and shape before");
  return header;
}

}  // namespace meander
