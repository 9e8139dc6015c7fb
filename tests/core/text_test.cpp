// Protects terminals, shells and files from what names may hold.
#include <meander/core/text.h>

#include <doctest/doctest.h>

#include <cstdio>

using namespace meander;

TEST_CASE("UTF-8 is told from other bytes") {
  for (const char* text : {"", "plain", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf", "\x7f"})
    CHECK_MESSAGE(is_utf8(text), shown(text));
  // A lone byte of Latin-1, a text cut in a character, overlong forms, surrogates, beyond the last, no first byte.
  for (const char* text : {"caf\xe9", "\xe2\x82", "\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xed\xa0\x80",
                           "\xf4\x90\x80\x80", "\x80", "\xff", "\xc3("})
    CHECK_MESSAGE(!is_utf8(text), shown(text));
}

TEST_CASE("what is shown cannot do anything to a terminal") {
  const std::string plain = "plain \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 \\ '\"";
  CHECK(shown(plain) == plain);
  CHECK(shown("\x1b[31m\a\b\x7f") == "\\x1b[31m\\x07\\x08\\x7f");
  CHECK(shown("a\nb\tc\r") == "a\\nb\\tc\\r");
  CHECK(shown(std::string_view("\0", 1)) == "\\x00");
  CHECK(shown("\xc2\x9b" "31m") == "\\u{9b}31m");             // the one-character form of ESC [
  CHECK(shown("a\xe2\x80\xae" "b") == "a\\u{202e}b");         // from right to left
  CHECK(shown("\xe2\x80\xa8") == "\\u{2028}");
  CHECK(shown("\xef\xbb\xbfx") == "\\u{feff}x");
  CHECK(shown("caf\xe9") == "caf\\xe9");
  CHECK(shown("\x9b" "31m") == "\\x9b31m");
  for (int c = 0; c < 256; ++c) {
    const std::string once = shown(std::string(1, static_cast<char>(c)));
    CHECK(shown(once) == once);
    CHECK(is_utf8(once));
  }
}

TEST_CASE("a shell reads back what was quoted") {
  CHECK(shell_quoted("runs/a-b_c=1,s0.npz") == "runs/a-b_c=1,s0.npz");
  CHECK(shell_quoted("") == "''");
  CHECK(shell_quoted("a b") == "'a b'");
  CHECK(shell_quoted("it's") == "'it'\\''s'");
  for (const std::string text : {"a b", "it's", "$(false)`x`\"\\!*?[~]#;&|<>", "~", "\x1b[31m'%s'\\n", "a\nb",
                                 "caf\xe9 %", "\xc3\xa9 \xe2\x80\xae", "\t"}) {
    const std::string quoted = shell_quoted(text);
    CAPTURE(quoted);
    CHECK(shown(quoted) == quoted);
    FILE* const shell = popen(("printf %s " + quoted).c_str(), "r");
    REQUIRE(shell);
    std::string read;
    for (int c; (c = std::fgetc(shell)) != EOF;) read += static_cast<char>(c);
    CHECK(pclose(shell) == 0);
    CHECK(read == text);
  }
}

TEST_CASE("safe file names") {
  CHECK(safe_file_name("Hopper-v4_a.b+c=1,d") == "Hopper-v4_a.b+c=1,d");
  CHECK(safe_file_name("a/b c%\xc3\xa9\n") == "a%2fb%20c%25%c3%a9%0a");
  CHECK(safe_file_name(std::string(200, 'a')) == std::string(200, 'a'));
  CHECK(safe_file_name(std::string(201, 'a')).size() == 200);
  CHECK(safe_file_name(std::string(201, 'a')) != safe_file_name(std::string(202, 'a')));
}

TEST_CASE("numbers are read in one way") {
  CHECK(parse_number("-0.5") == -0.5);
  CHECK(parse_number("1e-3") == 1e-3);
  CHECK(parse_whole("1e3") == 1000);
  CHECK(parse_whole("2.5e1") == 25);
  CHECK(parse_whole("-7") == -7);
  CHECK(parse_whole("9007199254740992") == largest_whole);
  CHECK(parse_whole("-9007199254740992") == -largest_whole);
  for (const char* text : {"", " 1", "1 ", "+1", "0x10", "nan", "NaN", "inf", "-inf", "infinity", "1e400", "1,5",
                           "1_000", "1'000", "5x", "--1", "1e", "\xd9\xa1"}) {
    CHECK_MESSAGE(!parse_number(text), text);
    CHECK_MESSAGE(!parse_whole(text), text);
  }
  // The last is read as 2^53, as its neighbour is.
  for (const char* text : {"1.5", "1e-3", "9007199254740993", "-9007199254740993", "1e16", "9223372036854775808",
                           "9007199254740993.0"})
    CHECK_MESSAGE(!parse_whole(text), text);
}
