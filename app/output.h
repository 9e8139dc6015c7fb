#pragma once

#include <fmt/format.h>

#include <string_view>
#include <type_traits>

#include <meander/core/text.h>

namespace meander {

// What the command says. Every line to people goes through here, so that no name from outside reaches a terminal raw
// (core/text.h: shown) and no failure of standard output is missed.

// Opens /dev/null in the place of descriptors 0 to 2 that are closed: or the next file opened would be taken for
// standard output, and progress written into it. At the start of a program, before anything is opened.
void fill_standard_descriptors();
bool standard_output_was_closed();

// To standard output, as it is. Does not throw: the first failure is remembered.
void write_output(std::string_view bytes);
void flush_output();
// The errno of the first failure of standard output; 0: none.
int output_error();

// A text of several lines, each as `shown` has it.
void print_lines(std::string_view text);

template <class T>
auto shown_argument(const T& value) {
  if constexpr (std::is_convertible_v<const T&, std::string_view>) return shown(value);
  else return value;
}
template <class... T>
using Format = fmt::format_string<decltype(shown_argument(std::declval<const T&>()))...>;

// As fmt::print, but texts among the values are shown (core/text.h); only the format breaks lines.
template <class... T>
void print(Format<T...> format, const T&... values) {
  write_output(fmt::format(format, shown_argument(values)...));
}

// The same to standard error, after what standard output has so far.
void write_error(std::string_view bytes);
template <class... T>
void warn(Format<T...> format, const T&... values) {
  write_error(fmt::format(format, shown_argument(values)...));
}

// An error as the command says it, in a line of its own. What fails after one was said needs no line.
void complain(const std::string& what);
bool has_complained();

}  // namespace meander
