#include <meander/app/options.h>

#include <string_view>

#include <meander/algos/settings.h>
#include <meander/core/text.h>
#include <meander/kernels/error.h>

namespace meander {

namespace {

template <class Number>
Number number_of(const std::string& name, const std::string& text, Number low, Number high) {
  Number number = 0;
  const Setting setting{name, &number, "", "", static_cast<double>(low), static_cast<double>(high), {}};
  if (!store_text(setting, text)) throw Error(name + ": expected " + expectation(setting) + ", got '" + text + "'");
  return number;
}

// What a number means, and which are taken.
template <class Number>
std::string with_range(const std::string& meaning, Number low, Number high) {
  return high == largest_whole ? message(meaning, " (from ", low, ")") : message(meaning, " (", low, " to ", high, ")");
}

template <class Number>
CLI::Option* add(CLI::App& verb, const std::string& name, Number& number, Number low, Number high,
                 const std::string& meaning) {
  CLI::Option* const option = verb.add_option_function<std::string>(
      name, [&number, name, low, high](const std::string& text) { number = number_of(name, text, low, high); },
      with_range(meaning, low, high));
  option->type_name("NUMBER");
  return number < low ? option : option->default_str(message(number));
}

}  // namespace

CLI::Option* add_number(CLI::App& verb, const std::string& name, int64_t& number, int64_t low, int64_t high,
                        const std::string& meaning) {
  return add(verb, name, number, low, high, meaning);
}
CLI::Option* add_number(CLI::App& verb, const std::string& name, double& number, double low, double high,
                        const std::string& meaning) {
  return add(verb, name, number, low, high, meaning);
}

CLI::Option* add_numbers(CLI::App& verb, const std::string& name, std::vector<int64_t>& numbers, int64_t low,
                         int64_t high, const std::string& meaning) {
  CLI::Option* const option = verb.add_option_function<std::vector<std::string>>(
      name,
      [&numbers, name, low, high](const std::vector<std::string>& words) {
        for (std::string text : words)
          for (size_t comma = 0; comma != text.npos; text.erase(0, comma + 1)) {
            comma = text.find(',');
            numbers.push_back(number_of(name, text.substr(0, comma), low, high));
            if (comma == text.npos) break;
          }
      },
      with_range(meaning, low, high));
  option->type_name("NUMBER");
  return option;
}

std::vector<std::string> words_of(int argc, char** argv) {
  std::vector<std::string> words;
  for (int i = argc - 1; i > 0; --i) {
    words.emplace_back(argv[i]);
    const bool value = std::string_view(argv[i - 1]).starts_with("--");
    if (!value && words.back().starts_with('[')) words.back().insert(0, "./");
  }
  return words;
}

void expect_utf8(int argc, char** argv) {
  for (int i = 1; i < argc; ++i)
    if (!is_utf8(argv[i]))
      throw Error(message("'", argv[i], "' is not UTF-8, which names and settings of a run must be: rename the file, "
                          "or make a link to it with another name"));
}

void expect_values(const CLI::App& verb) {
  for (const CLI::Option* option : verb.get_options())
    for (const std::string& value : option->results()) {
      if (value.empty())
        throw Error(option->get_name() + " is given an empty value (of a variable that is not set?): leave it out, or "
                    "give one");
      const CLI::Option* const other = value.starts_with("--") ? verb.get_option_no_throw(value) : nullptr;
      if (other) throw Error(option->get_name() + ": expected a value, got the option " + value);
    }
}

}  // namespace meander
