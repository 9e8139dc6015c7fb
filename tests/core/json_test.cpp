#include <meander/core/json.h>

#include <string>

#include <doctest/doctest.h>

#include <meander/kernels/error.h>

namespace meander {

// Protects that what is read is what was written, numbers to the last bit, and names in order.
TEST_CASE("a document read is the one written") {
  const std::string text = R"({"a":[1,-9223372036854775808,0.1,true,null],"b":{"c":"line\nbreak \u00e9"}})";
  const Json json = Json::parse(text);
  CHECK(json.at("a").list()[1].whole() == INT64_MIN);
  CHECK(json.at("a").list()[2].number() == 0.1);
  CHECK(json.at("a").list()[0].number() == 1);
  CHECK(json.at("b").at("c").text() == "line\nbreak \xc3\xa9");
  CHECK(Json::parse(json.dump()).dump() == json.dump());
  CHECK(json.find("z") == nullptr);
}

// Protects against files that contradict themselves or would use up the stack.
TEST_CASE("what is no document, or two in one, is refused") {
  CHECK_THROWS_WITH_AS(Json::parse("{\"a\": 1, }"), "not JSON at its byte 10", Error);
  CHECK_THROWS_WITH_AS(Json::parse("{\"a\": 1, \"a\": 2}"), "the name \"a\" stands twice in one object", Error);
  CHECK_THROWS_WITH_AS(Json::parse(std::string(1 << 20, '[')), "nested deeper than 100 levels", Error);
  CHECK_THROWS_WITH_AS(Json::parse("18446744073709551615"), "the whole number 18446744073709551615 is too large",
                       Error);
  CHECK_THROWS_AS(Json::parse(""), Error);
  CHECK_THROWS_AS(Json("\xff").dump(), Error);
}

// Protects memory and time: a value takes more than its text, a name is compared with the others.
TEST_CASE("what would take much more memory or time than its text is refused") {
  const auto list = [](size_t n) {
    std::string text = "[0";
    for (size_t i = 1; i < n; ++i) text += ",0";
    return text + "]";
  };
  CHECK(Json::parse(list(99'999)).list().size() == 99'999);
  CHECK_THROWS_WITH_AS(Json::parse(list(100'000)), "more than 100000 values", Error);
  CHECK(Json::parse('"' + std::string(7'000'000, 'x') + '"').text().size() == 7'000'000);
  for (const char* mark : {"\"", ""})
    CHECK_THROWS_WITH_AS(Json::parse(mark + std::string(9'000'000, '1') + mark), "a word of more than 8000000 bytes",
                         Error);
}

TEST_CASE("a value of another kind is refused by name") {
  CHECK(Json::parse("[2, 3]").first().number() == 2);
  CHECK_THROWS_WITH_AS(Json::parse("[]").first(), doctest::Contains("an empty one"), Error);
  const Json json = Json::parse(R"({"steps": 1.5})");
  CHECK_THROWS_WITH_AS(json.at("steps").whole(), "expected a whole number, got 1.5", Error);
  CHECK_THROWS_WITH_AS(json.at("hold"), "no \"hold\"", Error);
  CHECK_THROWS_WITH_AS(json.list(), "expected a list, got {\"steps\":1.5}", Error);
}

}  // namespace meander
