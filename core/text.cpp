#include <meander/core/text.h>

#include <array>
#include <charconv>
#include <cmath>

namespace meander {

namespace {

// The character at the start of a text and its length in bytes; length 0: not UTF-8.
struct Character {
  uint32_t code = 0;
  size_t length = 0;
};

Character first_character(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[i])); };
  const uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const size_t length = lead >> 5 == 0b110 ? 2 : lead >> 4 == 0b1110 ? 3 : lead >> 3 == 0b11110 ? 4 : 0;
  if (length == 0 || length > text.size()) return {};
  uint32_t code = lead & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if (byte(i) >> 6 != 0b10) return {};
    code = code << 6 | (byte(i) & 0x3f);
  }
  constexpr std::array<uint32_t, 5> smallest = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xd800 && code < 0xe000;
  if (code < smallest[length] || surrogate || code > 0x10ffff) return {};
  return {code, length};
}

// Controls; what has no width or changes the direction or the line; tags.
bool is_hidden(uint32_t code) {
  constexpr std::array<std::array<uint32_t, 2>, 9> ranges = {{{0, 0x1f}, {0x7f, 0x9f}, {0x61c, 0x61c},
                                                             {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f},
                                                             {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f}}};
  for (const auto& [first, last] : ranges)
    if (code >= first && code <= last) return true;
  return false;
}

std::string in_base(uint32_t number, int base, size_t digits) {
  std::array<char, 12> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number, base).ptr;
  const std::string written(text.data(), end);
  return std::string(digits > written.size() ? digits - written.size() : 0, '0') + written;
}

std::string escape(const Character& character, unsigned char byte) {
  switch (character.length == 1 ? byte : 0) {
    case '\n': return "\\n";
    case '\t': return "\\t";
    case '\r': return "\\r";
    default: break;
  }
  return character.length < 2 ? "\\x" + in_base(byte, 16, 2) : "\\u{" + in_base(character.code, 16, 0) + "}";
}

bool is_plain(char c, std::string_view others) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || others.find(c) != others.npos;
}

}  // namespace

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = first_character(text).length;
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string shown(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Character character = first_character(text);
    const size_t length = character.length > 0 ? character.length : 1;
    if (character.length == 0 || is_hidden(character.code))
      out += escape(character, static_cast<unsigned char>(text.front()));
    else out += text.substr(0, length);
    text.remove_prefix(length);
  }
  return out;
}

std::string shell_quoted(std::string_view text) {
  bool plain = !text.empty(), hidden = shown(text) != text;
  for (const char c : text) plain = plain && is_plain(c, "_@%+=:,./-");
  if (plain) return std::string(text);
  std::string out = hidden ? "\"$(printf '" : "'";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (!hidden && c == '\'') out += "'\\''";
    else if (hidden && (byte < 0x20 || byte > 0x7e || c == '\'' || c == '\\')) out += '\\' + in_base(byte, 8, 3);
    else if (hidden && c == '%') out += "%%";
    else out += c;
  }
  return out + (hidden ? "')\"" : "'");
}

std::string safe_file_name(std::string_view text) {
  constexpr size_t longest = 200;
  std::string out;
  for (const char c : text) {
    if (is_plain(c, "._-+=,")) out += c;
    else out += '%' + in_base(static_cast<unsigned char>(c), 16, 2);
  }
  if (out.size() <= longest) return out;
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return out.substr(0, longest - 17) + "-" + in_base(static_cast<uint32_t>(hash >> 32), 16, 8) +
         in_base(static_cast<uint32_t>(hash), 16, 8);
}

std::optional<double> parse_number(std::string_view text) {
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (text.empty() || error != std::errc() || stop != end || !std::isfinite(number)) return {};
  return number;
}

std::optional<int64_t> parse_whole(std::string_view text) {
  int64_t whole = 0;
  const char* const end = text.data() + text.size();
  if (const auto [stop, error] = std::from_chars(text.data(), end, whole); stop == end && error == std::errc()) {
    if (text.empty() || whole > largest_whole || whole < -largest_whole) return {};
    return whole;
  }
  const std::optional<double> number = parse_number(text);  // 2^53 itself may stand for its neighbour here
  if (!number || *number != std::floor(*number) || std::fabs(*number) >= static_cast<double>(largest_whole)) return {};
  return static_cast<int64_t>(*number);
}

}  // namespace meander
