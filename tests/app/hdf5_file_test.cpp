// Protects reading HDF5: numbers are h5py's, whatever of a file leads elsewhere or lies about its size is refused with
// one line, and a program that reads it and dies, lies or says nonsense takes nothing with it.
#include <meander/app/hdf5_file.h>

#include <doctest/doctest.h>

#include <cstring>
#include <sstream>
#include <utility>

#include "error_of.h"
#include "../folder.h"
#include "hdf5_files.h"
#include <meander/app/child_process.h>

using namespace meander;

namespace {

const std::string odd = MEANDER_TEST_DATA "/hdf5/odd.hdf5";

std::vector<float> numbers(Hdf5File& file, const std::string& name) {
  const auto shape = file.shape(name);
  REQUIRE_MESSAGE(shape, name);
  std::vector<float> all;
  file.read(name, *shape, [&](std::span<const float> piece) { all.insert(all.end(), piece.begin(), piece.end()); });
  return all;
}

void check_error(const std::string& error, const std::string& part) {
  CHECK_MESSAGE(error.find(part) != std::string::npos, error);
  CHECK(error.find('\n') == std::string::npos);
}

// What a program says that was taken over by its file.
class Script : public Hdf5Answers {
 public:
  explicit Script(std::string bytes) : bytes_(std::move(bytes)) {}
  void ask(std::string_view) override {}
  void read(void* to, size_t n) override {
    if (n > bytes_.size() - at_) throw Error("no more");
    std::memcpy(to, bytes_.data() + at_, n);
    at_ += n;
  }

 private:
  std::string bytes_;
  size_t at_ = 0;
};

template <class... T>
std::string bytes(const T&... values) {
  return (std::string(reinterpret_cast<const char*>(&values), sizeof values) + ...);
}

}  // namespace

TEST_CASE("arrays of every type and packing are h5py's numbers") {
  if (!can_read_hdf5()) return;
  Hdf5File file(odd);
  std::vector<float> whole, eighths, even;
  for (int i = 0; i < 12; ++i) {
    whole.push_back(static_cast<float>(i));
    eighths.push_back(static_cast<float>(i) / 8);
    even.push_back(i % 2 == 0);
  }
  for (const char* name : {"int16_big_endian", "uint64", "packed", "group/array"}) {
    CHECK_MESSAGE(numbers(file, name) == whole, name);
    CHECK(file.shape(name) == Hdf5File::Shape{4, 3});
  }
  for (const char* name : {"half", "double_big_endian", "cycle/cycle/half"})
    CHECK_MESSAGE(numbers(file, name) == eighths, name);
  CHECK(numbers(file, "bool") == even);
  CHECK(numbers(file, "scalar") == std::vector<float>{2.5f});
  CHECK(numbers(file, "empty").empty());
  CHECK(file.texts("texts") == Hdf5File::Names{"a", "bcd"});
  CHECK(file.texts("texts_of_any_length") == Hdf5File::Names{"a", "bcd"});
  CHECK(file.attribute("", "text") == "\u00e9");
  CHECK(file.attribute("", "bytes") == "abc");
  CHECK(file.attribute("", "number") == "-7");
  CHECK(file.names("group") == Hdf5File::Names{"array"});
  for (const char* name : {"none", "group", "group/none", "half/none"}) CHECK_MESSAGE(!file.shape(name), name);
  CHECK(!file.names("half"));
  CHECK(!file.attribute("half", "none"));

  std::vector<double> wide(12);
  file.read_rows<double>({{"double_big_endian", 4, 3}}, [&](size_t, int64_t first, std::span<const double> piece) {
    std::copy(piece.begin(), piece.end(), wide.begin() + 3 * first);
  });
  CHECK(wide[11] == 11.0 / 8);
  check_error(error_of([&] { file.read_rows<float>({{"half", 4, 2}}, [](auto, auto, auto) {}); }),
              "\"half\" has shape [4, 3], expected [4, 2]");
}

TEST_CASE("what leads out of a file, is no number or is not stored is refused") {
  if (!can_read_hdf5()) return;
  const auto refused = [](const char* name, const std::string& part) {
    Hdf5File file(odd);
    check_error(error_of([&] { numbers(file, name); }), odd + ": " + name + part);
  };
  for (const char* name : {"soft", "outside", "dangling"}) refused(name, ": a link to somewhere else");
  for (const char* name : {"external", "virtual"}) refused(name, ": its numbers lie in other files");
  for (const char* name : {"complex", "compound"}) refused(name, ": holds no numbers");
  refused("text", ": holds texts, not numbers");
  refused("lzf", ": packed by filter 32000");
  refused("no_shape", ": an array without a shape");
  refused("rows_2_40", ": states 13194139533312 bytes of numbers, of which at most 64 are stored");
  refused("rows_2_40_plain", ": states 4398046511104 bytes of numbers, of which at most 0 are stored");
  for (const char* name : {"real", "list"}) {
    Hdf5File file(odd);
    check_error(error_of([&] { file.attribute("", name); }), "neither one text nor one whole number");
  }
}

TEST_CASE("a damaged file ends in one line, whatever it does to the library") {
  if (!can_read_hdf5()) return;
  const Folder folder;
  const std::string path = folder.file("file.hdf5"), whole = read_text(MEANDER_TEST_DATA "/hdf5/d4rl.hdf5");
  int refused = 0, files = 0;
  const auto read = [&](const std::string& text) {
    write_text(path, text);
    const std::string error = error_of([&] {
      Hdf5File file(path);
      for (const std::string& name : file.names("").value_or(Hdf5File::Names{}))
        if (file.shape(name)) numbers(file, name);
    });
    CHECK_MESSAGE((error == "no Error" || error.starts_with(path + ": ")), error);
    CHECK(error.find('\n') == std::string::npos);
    refused += error != "no Error";
    ++files;
  };
  for (size_t length = 0; length < whole.size(); length += whole.size() / 8) read(whole.substr(0, length));
  CHECK(refused == files);
  for (size_t at = 8; at < 2000; at += MEANDER_FEW_CASES ? 400 : 40) {  // where the structure is
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0x41);
    read(changed);
  }
  CHECK(refused > 12);
}

TEST_CASE("the program can open nothing more, and has little memory") {
  if (!can_read_hdf5()) return;
  ChildProcess shell({"sh", "-c", "sleep 2 | \"$0\" read \"$1\" & sleep .7; cat /proc/$!/limits",
                      kernels::find_beside_program("meander-hdf5"), odd});
  REQUIRE(shell.wait() == 0);
  std::istringstream lines(shell.output());
  int found = 0;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line.substr(0, 46));
    std::string name, soft;
    for (std::string word; words >> word; soft = word) name += soft + " ";
    for (const auto& [what, most] : {std::pair("Max open files", "0"), std::pair("Max processes", "0"),
                                     std::pair("Max core file size", "0"), std::pair("Max address space", "1073741824")})
      if (name.find(what) != std::string::npos) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
        if (what == std::string("Max address space")) continue;
#endif
        CHECK_MESSAGE(soft == most, line);
        ++found;
      }
  }
  CHECK(found >= 3);
}

TEST_CASE("a program that lies about an array is not believed") {
  const auto file = [](const std::string& said) { return Hdf5File("file", std::make_unique<Script>(said)); };
  const auto shape = [](char letter, auto... dimensions) {
    return bytes(letter, static_cast<uint32_t>(sizeof...(dimensions))) + (bytes(int64_t{dimensions}) + ... + "");
  };
  const auto refused = [&](const std::string& said, auto&& ask, const std::string& part) {
    check_error(error_of([&] {
      Hdf5File lying = file(said);
      ask(lying);
    }), part);
  };
  const auto ask_shape = [](Hdf5File& f) { f.shape("x"); };
  CHECK(file(shape('s', 2, 3)).shape("x") == Hdf5File::Shape{2, 3});
  refused(shape('s', int64_t{1} << 40, int64_t{1} << 40), ask_shape, "shape [1099511627776, 1099511627776]");
  refused(shape('s', -1), ask_shape, "shape [-1]");
  refused(bytes('s', uint32_t{1} << 30), ask_shape, "an array of 1073741824 dimensions");
  refused(bytes('q'), ask_shape, "an answer of the wrong kind");
  refused("", ask_shape, "no more");
  const auto ask_names = [](Hdf5File& f) { f.names("x"); };
  refused(bytes('l', uint64_t{1} << 40), ask_names, "too many names");
  refused(bytes('l', uint64_t{1}, uint32_t{1} << 31), ask_names, "a text of 2147483648 bytes");
  const auto ask_rows = [](Hdf5File& f) { f.read_rows<float>({{"x", 2, 1}}, [](auto, auto, auto) {}); };
  refused(shape('f', int64_t{1} << 50), ask_rows, "has shape [1125899906842624], expected [2]");
  refused(shape('f', 2) + bytes(1.0f), ask_rows, "no more");
  refused(shape('d', 2), ask_rows, "an answer of the wrong kind");
  refused(shape('f', 3), [](Hdf5File& f) { f.read("x", {2}, [](auto) {}); }, "\"x\" has changed");
}

TEST_CASE("more questions than a socket holds are answered") {
  if (!can_read_hdf5()) return;
  Hdf5File file(odd);
  const Hdf5File::Names many(30'000, "half");
  CHECK(file.shapes(many) == std::vector<std::optional<Hdf5File::Shape>>(many.size(), Hdf5File::Shape{4, 3}));
}

TEST_CASE("what is written is read back, and a place where nothing can be") {
  if (!can_read_hdf5()) return;
  const Folder folder;
  const std::string path = folder.file("file.hdf5");
  const std::vector<float> floats = {1, 2, 3, 4, 5, 6};
  const std::vector<double> doubles = {0.1, 0.2};
  const std::vector<int64_t> wholes = {int64_t{1} << 40};
  const std::vector<uint8_t> flags = {0, 1, 1};
  {
    Hdf5Writer file(path);
    file.attribute("group", "text", "x\u00e9");
    file.attribute("group", "number", 7);
    file.add("group/sub/floats", {3, 2}, floats.data());
    file.add("doubles", {2}, doubles.data());
    file.add("wholes", {1}, wholes.data());
    file.add("flags", {3}, flags.data());
    file.add("texts", {"one", "three"});
    file.finish();
  }
  Hdf5File file(path);
  CHECK(file.attribute("group", "text") == "x\u00e9");
  CHECK(file.attribute("group", "number") == "7");
  CHECK(numbers(file, "group/sub/floats") == floats);
  CHECK(numbers(file, "doubles") == std::vector<float>{0.1f, 0.2f});
  CHECK(numbers(file, "wholes") == std::vector<float>{static_cast<float>(int64_t{1} << 40)});
  CHECK(numbers(file, "flags") == std::vector<float>{0, 1, 1});
  CHECK(file.texts("texts") == Hdf5File::Names{"one", "three"});
  {
    Hdf5Writer unfinished(folder.file("unfinished.hdf5"));
    unfinished.add("flags", {3}, flags.data());
  }
  CHECK(folder.files() == 1);
  Hdf5Writer nowhere(folder.file("none/file.hdf5"));
  CHECK_THROWS_AS(nowhere.finish(), Failure);
}
