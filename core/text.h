#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace meander {

// Text from outside (the command line, file names, names inside files): what is let in and how it is shown.

// Whether it is UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing beyond U+10FFFF.
bool is_utf8(std::string_view text);

// The text in one line that does nothing to a terminal: control characters, those that are invisible or turn the
// direction of writing, and bytes that are not UTF-8 become \n, \x1b, \u{202e}. What it returns it leaves as it is.
std::string shown(std::string_view text);

// The text as one word of a POSIX shell, so that a command with it can be pasted; as it is where nothing needs quotes.
// Characters that `shown` would change are written by printf. Line breaks at the end are lost, as a shell loses them.
std::string shell_quoted(std::string_view text);

// A name for a file, of characters that no file system and no shell minds: others become %2F, like in an address. Texts
// that differ give names that differ; one of more than 200 bytes is cut and ends with its hash.
std::string safe_file_name(std::string_view text);

// The one way numbers are read: 12, -0.5, 1e3; decimal, finite, nothing before or after. Nothing if it is no number.
std::optional<double> parse_number(std::string_view text);
// A whole number up to 2^53 either way, written in any of these ways: 1e3 too.
std::optional<int64_t> parse_whole(std::string_view text);

// Up to here doubles hold every whole number.
inline constexpr int64_t largest_whole = int64_t{1} << 53;

}  // namespace meander
