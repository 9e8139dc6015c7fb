// Protects checkpoints, policies and recorded references: what is written is read back, no damaged file is taken for a
// good one or crashes the reader, and no interrupted or failed save costs the file that was there.
#include <meander/core/safetensors.h>

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>

#include "../folder.h"
#include <meander/kernels/error.h>

using namespace meander;
namespace fs = std::filesystem;

namespace {

std::string with_header(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
}

// The one line with which a file is refused; "" if it is accepted.
std::string refusal(const std::string& path) {
  try {
    SafetensorsFile file(path);
    return "";
  } catch (const Error& error) {
    const std::string line = error.what();
    CHECK(line.find(path) == 0);
    CHECK(line.find('\n') == std::string::npos);
    return line;
  }
}

std::string refusal_of(const Folder& folder, const std::string& content) {
  write_text(folder.file("file"), content);
  return refusal(folder.file("file"));
}

bool says(const std::string& line, const char* part) {
  INFO(line);
  const bool found = line.find(part) != std::string::npos;
  CHECK(found);
  return found;
}

void write_sample(const std::string& path, float first = 1) {
  const float weights[6] = {first, 2, 3, 4, 5, 6};
  const double scale[1] = {0.1};
  const uint8_t flags[3] = {1, 0, 255};
  SafetensorsWriter writer;
  writer.metadata("kind", "sample");
  writer.add("flags", {3}, flags);
  writer.add("weights", {2, 3}, weights);
  writer.add("scale", {}, scale);
  writer.write(path);
}

}  // namespace

TEST_CASE("what is written is read back, bit for bit, in every dtype and shape") {
  Folder folder;
  const float f32[6] = {1, -0.0f, std::numeric_limits<float>::infinity(), std::nanf(""), 1e-45f, 6};
  const double f64[1] = {0.1};
  const int32_t i32[2] = {-5, 2147483647};
  const uint32_t u32[2] = {0, 4294967295u};
  const uint8_t u8[3] = {0, 7, 255};
  SafetensorsWriter writer;
  writer.metadata("text", "line\nbreak \"quoted\" \xc3\xa9");
  writer.add("u8", {3}, u8);  // before wider ones: alignment must not depend on the order of add
  writer.add("f32", {2, 3}, f32);
  writer.add("a/b.c", {2}, i32);
  writer.add("f64", {}, f64);
  writer.add("u32", {2, 1, 1}, u32);
  writer.add("none", {0, 4}, static_cast<const float*>(nullptr));
  writer.write(folder.file("file"));

  SafetensorsFile opened(folder.file("file"));
  SafetensorsFile file(std::move(opened));  // a moved file keeps its mapping
  CHECK(file.metadata("text") == "line\nbreak \"quoted\" \xc3\xa9");
  CHECK(file.tensors().size() == 6);
  CHECK(std::memcmp(file.values<float>("f32", 6).data(), f32, sizeof f32) == 0);
  CHECK(file.values<double>("f64", 1)[0] == 0.1);
  CHECK(std::memcmp(file.values<int32_t>("a/b.c", 2).data(), i32, sizeof i32) == 0);
  CHECK(std::memcmp(file.values<uint32_t>("u32", 2).data(), u32, sizeof u32) == 0);
  CHECK(std::memcmp(file.values<uint8_t>("u8", 3).data(), u8, sizeof u8) == 0);
  CHECK(file.values<float>("none", 0).empty());
  CHECK(file.at("f32").shape == std::vector<int64_t>{2, 3});
  CHECK(file.at("f64").shape.empty());
  for (const auto& [name, tensor] : file.tensors())
    CHECK(reinterpret_cast<uintptr_t>(tensor.data) % static_cast<uintptr_t>(bytes(tensor.dtype)) == 0);
  CHECK(folder.files() == 1);

  // The data begin at a multiple of 8.
  uint64_t header_length;
  std::memcpy(&header_length, read_text(folder.file("file")).data(), 8);
  CHECK(header_length % 8 == 0);
}

TEST_CASE("a file without tensors is a file") {
  Folder folder;
  SafetensorsWriter().write(folder.file("file"));
  CHECK(SafetensorsFile(folder.file("file")).tensors().empty());
}

TEST_CASE("asking for what is not there names it") {
  Folder folder;
  write_sample(folder.file("file"));
  SafetensorsFile file(folder.file("file"));
  auto line = [&](auto ask) -> std::string {
    try {
      ask();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  says(line([&] { file.at("wieghts"); }), "no tensor \"wieghts\"");
  says(line([&] { file.metadata("colour"); }), "no metadata \"colour\"");
  says(line([&] { file.values<double>("weights"); }), "expected float64, is float32");
  says(line([&] { file.values<float>("weights", 7); }), "expected 7 elements, has 6 of shape [2,3]");
  CHECK(file.values<float>("weights").size() == 6);
}

TEST_CASE("a dtype we lack is refused when asked for, its neighbours are read") {
  Folder folder;
  const std::string data("\1\0\0\0\0\0\0\0\0\0\x80\x3f", 12);
  write_text(folder.file("file"), with_header(R"({"count":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},)"
                                   R"("one":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})", data));
  SafetensorsFile file(folder.file("file"));
  CHECK(file.values<float>("one", 1)[0] == 1.0f);
  CHECK_FALSE(file.contains("count"));
  try {
    file.at("count");
    FAIL("an I64 tensor was offered");
  } catch (const Error& error) {
    says(error.what(), "\"count\" is I64");
  }
}

TEST_CASE("tensors that lie unaligned in a file are read all the same") {
  Folder folder;
  write_text(folder.file("file"), with_header(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                                   R"("one":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})",
                                   std::string("\7\0\0\x80\x3f", 5)));
  SafetensorsFile file(folder.file("file"));
  CHECK(reinterpret_cast<uintptr_t>(file.at("one").data) % alignof(float) == 0);
  CHECK(file.values<float>("one", 1)[0] == 1.0f);
}

TEST_CASE("a file truncated anywhere, or with bytes added, is refused") {
  Folder folder;
  write_sample(folder.file("file"));
  const std::string whole = read_text(folder.file("file"));
  REQUIRE(refusal(folder.file("file")) == "");
  for (size_t length = 0; length < whole.size(); ++length) {
    INFO(length);
    CHECK(refusal_of(folder, whole.substr(0, length)) != "");
  }
  says(refusal_of(folder, ""), "truncated");
  says(refusal_of(folder, whole.substr(0, 7)), "truncated");
  says(refusal_of(folder, whole.substr(0, 20)), "truncated: the header takes");
  says(refusal_of(folder, whole.substr(0, whole.size() - 1)), "truncated: tensor \"flags\"");
  says(refusal_of(folder, whole + "x"), "1 bytes after the last tensor");
}

TEST_CASE("a damaged header never crashes, and offers nothing outside the file") {
  Folder folder;
  write_sample(folder.file("file"));
  const std::string whole = read_text(folder.file("file"));
  uint64_t header_length;
  std::memcpy(&header_length, whole.data(), 8);
  for (size_t at = 0; at < 8 + header_length; ++at) {
    for (char wrong : {'\0', '9', '"', '-', '}', '\xff'}) {
      std::string damaged = whole;
      damaged[at] = wrong;
      write_text(folder.file("damaged"), damaged);
      try {
        SafetensorsFile file(folder.file("damaged"));
        uint64_t sum = 0;  // reads every byte offered: the address sanitizer and the kernel watch
        for (const auto& [name, tensor] : file.tensors())
          for (int64_t i = 0; i < tensor.size() * bytes(tensor.dtype); ++i)
            sum += static_cast<uint64_t>(tensor.data[i]);
        CHECK(sum > 0);
      } catch (const Error&) {
      }
    }
  }
}

TEST_CASE("each kind of damage is named") {
  Folder folder;
  const std::string data(8, '\0');
  auto line = [&](const std::string& header) { return refusal_of(folder, with_header(header, data)); };
  const std::string good = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  REQUIRE(line(good) == "");

  says(refusal_of(folder, std::string("\xff\xff\xff\xff\xff\xff\xff\xff", 8) + good), "header of 18446744073709551615");
  says(refusal_of(folder, with_header(std::string(25'000'001, ' '), "")), "header of 25000001");
  says(refusal_of(folder, "a text file, not what was asked for"), "not a safetensors file");
  says(line("{\"a\": [1, 2"), "not JSON");
  says(line("{\"\xff\": 1}"), "not JSON");
  says(line("[1]"), "not a JSON object");
  says(line(std::string(100000, '[')), "nested deeper");  // deep nesting: no recursion into a stack overflow
  says(line(R"({"a":1})"), "\"a\": expected an object");
  says(line(R"({"a\nb":1})"), "\"a\\nb\"");
  says(line(R"({"a":{"dtype":"F32","shape":[2]}})"), "no \"data_offsets\"");
  says(line(R"({"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}})"), "unknown dtype \"F33\"");
  says(line(R"({"a":{"dtype":1,"shape":[2],"data_offsets":[0,8]}})"), "expected a string, got 1");
  says(line(R"({"a":{"dtype":"F32","shape":2,"data_offsets":[0,8]}})"), "expected a list, got 2");
  says(line(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})"), "negative");
  says(line(R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})"), "whole number");
  says(line(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})"), "too large");
  says(line(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})"),
       "takes 12 bytes, its data_offsets are 0 to 8");
  says(line(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})"), "data_offsets are 8 to 0");
  says(line(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})"), "not two whole numbers");
  says(line(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})"), "begins at byte 4");
  says(line(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}})"), "truncated: tensor \"a\"");
  says(line(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[18446744073709551608,18446744073709551615]}})"),
       "too large");
  says(line(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
            R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})"),
       "begins at byte 4 of the data, the one before it ends at 8");
  says(line(R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
            R"("a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}})"),
       "the name \"a\" stands twice");
  const std::string of_long_name = line("{\"" + std::string(100000, 'n') + "\":1}");
  says(of_long_name, "nnn...");
  CHECK(of_long_name.size() < 1000);
  says(line(R"({"__metadata__":1})"), "__metadata__ is not an object");
  says(line(R"({"__metadata__":{"a":1}})"), "__metadata__ is not an object of strings (expected a string, got 1)");
}

// Protects programs that parse what came from elsewhere: nothing needs to be a file.
TEST_CASE("a file's bytes in memory are read as the file is") {
  Folder folder;
  write_sample(folder.file("file"));
  const std::string bytes = read_text(folder.file("file"));
  const SafetensorsFile file(std::as_bytes(std::span(bytes)), "sample");
  CHECK(file.values<float>("weights", 6)[5] == 6.0f);
  CHECK(file.header().tensors.size() == 3);
  CHECK(file.header().tensors[0].name == "scale");
  CHECK_THROWS_WITH_AS(SafetensorsFile(std::as_bytes(std::span(bytes)).first(20), "sample"),
                       doctest::Contains("sample: truncated"), Error);
}

TEST_CASE("what is no file at all is named") {
  Folder folder;
  says(refusal(folder.file("missing")), "No such file");
  says(refusal(folder.path()), "not a file");
  REQUIRE(::mkfifo((folder.file("pipe")).c_str(), 0600) == 0);
  says(refusal(folder.file("pipe")), "not a regular file");  // and does not wait for a writer
}

TEST_CASE("the writer refuses what it could not read back") {
  SafetensorsWriter writer;
  const float one = 1;
  writer.add("a", {1}, &one);
  CHECK_THROWS_AS(writer.add("a", {1}, &one), Error);
  CHECK_THROWS_AS(writer.add("b", {-1}, &one), Error);
  writer.metadata("bytes", "\xff");
  Folder folder;
  CHECK_THROWS_AS(writer.write(folder.file("file")), Error);
  CHECK(folder.files() == 0);
}

TEST_CASE("a save that fails leaves the old file and nothing else") {
  Folder folder;
  write_sample(folder.file("file"), 1);
  const std::string before = read_text(folder.file("file"));
  const std::vector<float> large(1 << 16);
  SafetensorsWriter writer;
  writer.add("large", {1 << 16}, large.data());

  SUBCASE("no space") {
    // A limit on the size of files fails in the middle of the data, as a full disk does.
    struct rlimit limit, old;
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &old) == 0);
    limit = old;
    limit.rlim_cur = 100000;
    const auto handler = ::signal(SIGXFSZ, SIG_IGN);
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
    std::string line;
    try {
      writer.write(folder.file("file"));
    } catch (const Failure& failure) {
      line = failure.what();
    }
    ::setrlimit(RLIMIT_FSIZE, &old);
    ::signal(SIGXFSZ, handler);
    says(line, "file: cannot write: File too large");
  }
  SUBCASE("a folder in the place of the file") {
    fs::create_directories(folder.file("folder/inside"));
    CHECK_THROWS_AS(writer.write(folder.file("folder")), Failure);
    fs::remove_all(folder.file("folder"));
  }
  SUBCASE("no such folder") { CHECK_THROWS_AS(writer.write(folder.file("missing/file")), Failure); }

  CHECK(read_text(folder.file("file")) == before);
  CHECK(folder.files() == 1);
}

TEST_CASE("a process killed while saving leaves a whole file, and its leftovers do not disturb the next save") {
  Folder folder;
  const std::string path = folder.file("file");
  std::vector<float> values(1 << 18);
  auto save = [&](float number) {
    std::fill(values.begin(), values.end(), number);
    SafetensorsWriter writer;
    writer.add("values", {1 << 18}, values.data());
    writer.write(path);
  };
  save(0);
  for (int round = 0; round < 20; ++round) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      for (int i = 1;; ++i) save(static_cast<float>(i));
    }
    ::usleep(static_cast<useconds_t>(1000 + 700 * round));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    SafetensorsFile file(path);
    const auto read = file.values<float>("values", 1 << 18);
    CHECK(std::all_of(read.begin(), read.end(), [&](float value) { return value == read[0]; }));
  }
  save(-1);
  CHECK(SafetensorsFile(path).values<float>("values")[0] == -1.0f);
  CHECK(folder.files() == 1);
}

TEST_CASE("two processes that save the same file leave one of the two files") {
  Folder folder;
  const std::string path = folder.file("file");
  std::vector<float> values(1 << 16);
  auto save_often = [&](float number) {
    std::fill(values.begin(), values.end(), number);
    SafetensorsWriter writer;
    writer.add("values", {1 << 16}, values.data());
    int saved = 0;
    while (saved < 10) {
      try {
        writer.write(path);
        ++saved;
      } catch (const Failure&) {  // the other one is writing
        ::usleep(100);
      }
    }
  };
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    save_often(2);
    ::_exit(0);
  }
  save_often(1);
  int status = 1;
  ::waitpid(child, &status, 0);
  CHECK(status == 0);
  const auto read = SafetensorsFile(path).values<float>("values", 1 << 16)[0];
  CHECK((read == 1.0f || read == 2.0f));
}
