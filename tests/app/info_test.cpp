// Protects what `info` says of files: every tensor is counted, data sets of every type are known for what they are.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "command.h"
#include <meander/app/data_files.h>

using namespace meander;

namespace {

// A safetensors file of bytes.
void write_tensors(const std::string& path, const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  write_text(path, std::string(reinterpret_cast<const char*>(&length), 8) + header + data);
}

}  // namespace

TEST_CASE("info counts tensors of all types") {
  const Folder folder;
  write_tensors(folder.file("mixed.safetensors"),
                R"({"a.x":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},)"
                R"("a.y":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]}})", std::string(22, '\0'));
  const Result result = meander_in(folder, {"info", "mixed.safetensors"});
  CHECK(result.status == 0);
  CHECK(contains(result.out, "2 tensors, no data set"));
  CHECK(contains(result.out, "5 numbers in 2 tensors (BF16, I64)"));
}

TEST_CASE("a data set of half precision, flags and whole numbers is read") {
  const Folder folder;
  // Three rows: observations 1, 2, 3 (binary16), actions .5, -1, NaN (bfloat16), rewards 1, 2, 3 (float64).
  const uint16_t observations[] = {0x3c00, 0x4000, 0x4200}, actions[] = {0x3f00, 0xbf80, 0x7fc0};
  const double rewards[] = {1, 2, 3};
  const int64_t masks[] = {1, 0, 1};
  const auto bytes = [](const auto& values) {
    return std::string(reinterpret_cast<const char*>(values), sizeof values);
  };
  write_tensors(folder.file("data.safetensors"),
                R"({"__metadata__":{"environment":"Walker2d-v4"},)"
                R"("rewards":{"dtype":"F64","shape":[3],"data_offsets":[0,24]},)"
                R"("masks":{"dtype":"I64","shape":[3],"data_offsets":[24,48]},)"
                R"("observations":{"dtype":"F16","shape":[3,1],"data_offsets":[48,54]},)"
                R"("actions":{"dtype":"BF16","shape":[3,1],"data_offsets":[54,60]},)"
                R"("terminals":{"dtype":"BOOL","shape":[3],"data_offsets":[60,63]}})",
                bytes(rewards) + bytes(masks) + bytes(observations) + bytes(actions) + std::string("\0\0\1", 3));
  const DataSet data = read_data_set(folder.file("data.safetensors"));
  CHECK(data.observation == std::vector<float>{1, 2, 3});
  CHECK(data.action == std::vector<float>{.5f, -1, 0});
  CHECK(data.reward == std::vector<float>{1, 2, 3});
  CHECK(data.mask == std::vector<float>{1, 0, 1});
  CHECK(data.terminal == std::vector<uint8_t>{0, 0, 1});

  Result result = meander_in(folder, {"info", "data.safetensors"});
  CHECK(result.status == 0);
  CHECK(contains(result.out, "a data set of 1 observations and 1 actions"));
  CHECK(contains(result.out, "\"Walker2d-v4\""));
  // --env is looked at: a name that is none, and a task with other numbers.
  result = meander_in(folder, {"info", "data.safetensors", "--env", "nonsense"});
  CHECK(result.status == 2);
  CHECK((is_one_line(result.error) && contains(result.error, "nonsense")));
  result = meander_in(folder, {"info", "data.safetensors", "--env", "HalfCheetah-v4"});
  CHECK(result.status == 2);
  CHECK((is_one_line(result.error) && contains(result.error, "Walker2d-v4")));
}

TEST_CASE("info refuses --env for what is no data set, and what is no file") {
  const Folder folder;
  write_tensors(folder.file("none.safetensors"), "{}", "");
  CHECK(meander_in(folder, {"info", "none.safetensors"}).status == 0);
  Result result = meander_in(folder, {"info", "none.safetensors", "--env", "Pendulum-v1"});
  CHECK((result.status == 2 && is_one_line(result.error)));
  REQUIRE(mkfifo(folder.file("pipe.npz").c_str(), 0600) == 0);
  result = meander_in(folder, {"info", "pipe.npz"});
  CHECK(result.status == 2);
  CHECK((is_one_line(result.error) && contains(result.error, "not a regular file")));
}

TEST_CASE("training on data of another environment, or a pipe as its data or configuration, ends with one line") {
  const Folder folder;
  REQUIRE(meander_in(folder, {"collect", "--env", "Pendulum-v1", "--steps", "50", "--out", "data.npz"}).status == 0);
  REQUIRE(mkfifo(folder.file("pipe.safetensors").c_str(), 0600) == 0);
  const auto refused = [&](const Words& more, const char* part) {
    Words words = {"train", "--algo", "mvp", "--out", "run"};
    words.insert(words.end(), more.begin(), more.end());
    const Result result = meander_in(folder, words);
    CHECK(result.status == 2);
    CHECK_MESSAGE((is_one_line(result.error) && contains(result.error, part)), result.error);
  };
  refused({"--env", "InvertedPendulum-v5", "--data", "data.npz"},
          "data of \"Pendulum-v1\", not of InvertedPendulum-v5");
  refused({"--env", "Pendulum-v1", "--data", "pipe.safetensors"}, "not a regular file");
  refused({"--env", "Pendulum-v1", "--config", "pipe.safetensors"}, "not a regular file");
  CHECK(!std::filesystem::exists(folder.file("run")));
}
