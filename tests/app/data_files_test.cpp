#include <meander/app/data_files.h>

#include <doctest/doctest.h>
#include <zip.h>

#include <sys/stat.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "error_of.h"
#include "../folder.h"
#include "npz_bytes.h"
#include <meander/app/npz_file.h>
#include <meander/kernels/error.h>
#include <meander/core/safetensors.h>

using namespace meander;

namespace {

// Two episodes, the first with a true end: rows s0 s1 s2 | s0' s1'.
DataSet small_data_set() {
  DataSet data;
  data.observations = 3, data.actions = 2;
  for (int i = 0; i < 15; ++i) data.observation.push_back(0.1f * static_cast<float>(i));
  data.action = {-1, 1, 0.25f, -0.5f, 0, 0, 0.125f, 1, 0, 0};
  data.reward = {1, -2.5f, 0, 1e-30f, 0};
  data.mask = {1, 0, 1, 1, 1};
  data.terminal = {0, 0, 1, 0, 1};
  return data;
}

void check_equal(const DataSet& a, const DataSet& b) {
  CHECK(a.observations == b.observations);
  CHECK(a.actions == b.actions);
  CHECK(a.observation == b.observation);
  CHECK(a.action == b.action);
  CHECK(a.reward == b.reward);
  CHECK(a.mask == b.mask);
  CHECK(a.terminal == b.terminal);
}

std::string zip_member(const std::string& path, const std::string& name) {
  int code = 0;
  zip_t* archive = zip_open(path.c_str(), ZIP_RDONLY, &code);
  REQUIRE(archive);
  zip_stat_t about;
  REQUIRE(zip_stat(archive, name.c_str(), 0, &about) == 0);
  std::string bytes(about.size, '\0');
  zip_file_t* file = zip_fopen_index(archive, about.index, 0);
  CHECK(zip_fread(file, bytes.data(), bytes.size()) == static_cast<zip_int64_t>(bytes.size()));
  zip_fclose(file);
  zip_discard(archive);
  return bytes;
}

// Three rows of one observation and one action.
Members small_members() {
  return {{"observations", npy<float>("<f4", "(3, 1)", {1, 2, 3})},
          {"actions", npy<double>("<f8", "(3, 1)", {0.5, -1, 9})},  // the last is nobody's
          {"rewards", npy<int8_t>("|i1", "(3,)", {-1, 0, 0})},
          {"terminals", npy<uint8_t>("|u1", "(3,)", {0, 0, 1})}};
}

void check_refused(const std::string& path, const std::string& part) {
  const std::string error = error_of([&] { read_data_set(path); });
  CHECK_MESSAGE(error.find(part) != std::string::npos, error, " should name ", part);
  CHECK_MESSAGE(error.starts_with(path), error);
  CHECK(error.find('\n') == std::string::npos);
}

}  // namespace

TEST_CASE("what is written is read back") {
  Folder folder;
  for (const char* name : {"data.npz", "data.safetensors"}) {
    const std::string path = folder.file(name);
    write_text(path, "an older file");
    write_data_set(path, small_data_set(), "Pendulum-v1");
    check_equal(read_data_set(path), small_data_set());
  }
  CHECK(folder.files() == 2);
  for (const char* name : {"data.npz", "data.safetensors"})
    CHECK(read_data_file(folder.file(name)).environment == "Pendulum-v1");
  write_data_set(folder.file("again.npz"), small_data_set(), "Pendulum-v1");
  CHECK(read_text(folder.file("again.npz")) == read_text(folder.file("data.npz")));
}

// tests/data/ogbench-layout.npz was written by NumPy 2.4:
//   numpy.savez_compressed("ogbench-layout.npz", observations=numpy.arange(18, dtype="f4").reshape(6, 3),
//       actions=numpy.linspace(-1, 1, 12).reshape(6, 2), terminals=numpy.array([0, 0, 1, 0, 0, 0], bool),
//       rewards=numpy.arange(6), masks=numpy.array([1, 0, 1, 1, 1, 1], "i4"), qpos=numpy.zeros((6, 4)),
//       button_states=numpy.zeros((6, 2), "i8"))
TEST_CASE("a file of NumPy's is read, and ours hold the same bytes") {
  const std::string numpys = MEANDER_TEST_DATA "/ogbench-layout.npz";
  const DataSet data = read_data_set(numpys);
  DataSet expected;
  expected.observations = 3, expected.actions = 2;
  for (int i = 0; i < 18; ++i) expected.observation.push_back(static_cast<float>(i));
  for (int i = 0; i < 12; ++i) expected.action.push_back(static_cast<float>(-1 + i * (2.0 / 11)));
  expected.reward = {0, 1, 2, 3, 4, 5};
  expected.mask = {1, 0, 1, 1, 1, 1};
  expected.terminal = {0, 0, 1, 0, 0, 1};  // nothing follows the last row
  check_equal(data, expected);

  Folder folder;
  expected.terminal.back() = 0;
  NpzWriter ours;
  ours.add("observations", {6, 3}, expected.observation.data());
  ours.add_bool("terminals", {6}, expected.terminal.data());
  ours.write(folder.file("ours.npz"));
  for (const char* name : {"observations.npy", "terminals.npy"})
    CHECK(zip_member(folder.file("ours.npz"), name) == zip_member(numpys, name));
}

TEST_CASE("without masks every mask is 1; a nobody's action may be anything") {
  Folder folder;
  const std::string path = folder.file("data.npz");
  write_zip(path, small_members());
  const DataSet data = read_data_set(path);
  CHECK(data.mask == std::vector<float>{1, 1, 1});
  CHECK(data.action == std::vector<float>{0.5f, -1, 1});
  CHECK(data.reward == std::vector<float>{-1, 0, 0});

  Members members = small_members();
  members["actions"] = npy<float>("<f4", "(3, 1)", {0.5f, -1, NAN});
  write_zip(path, members);
  CHECK(read_data_set(path).action == std::vector<float>{0.5f, -1, 0});
  members["actions"] = npy<float>("<f4", "(3, 1)", {0.5f, NAN, 0});
  write_zip(path, members);
  check_refused(path, "actions holds a number that is not finite, in row 1");
}

// Protects against files that lie about their sizes: what is declared is held against what is stored, each other and
// the memory there is, before any of it is taken.
TEST_CASE("a data set that would take more memory than may be taken is refused") {
  Folder folder;
  const std::string path = folder.file("data.npz");
  // Ten million rows of zeros, each array deflated to 10 kB.
  const std::string count = "10000000";
  const auto zeros = [&](const std::string& shape) {
    return npy<char>("|b1", shape, {}).append(10'000'000, '\0');
  };
  Members members;
  for (const char* name : {"observations", "actions"}) members[name] = zeros("(" + count + ", 1)");
  for (const char* name : {"rewards", "terminals"}) members[name] = zeros("(" + count + ",)");
  write_zip(path, members, ZIP_CM_DEFLATE);
  members.clear();
  REQUIRE(setenv("MEANDER_FILE_MEMORY", "100000000", 1) == 0);
  check_refused(path, "the data set would take 240000000 bytes of memory, 100000000 may be taken");
  setenv("MEANDER_FILE_MEMORY", "many", 1);
  const std::string small = folder.file("small.npz");
  write_zip(small, small_members());
  CHECK_THROWS_WITH_AS(read_data_set(small), "MEANDER_FILE_MEMORY: expected a number of bytes", Error);
  unsetenv("MEANDER_FILE_MEMORY");
  CHECK(read_data_set(small).rows() == 3);
}

TEST_CASE("an NPY header") {
  const NpyHeader header = parse_npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }   \n");
  CHECK(header.descr == "<f4");
  CHECK(!header.fortran_order);
  CHECK(header.shape == std::vector<int64_t>{3, 2});
  CHECK(parse_npy_header("{\"shape\":(7,),\"fortran_order\":True,\"descr\":\"|b1\"}").shape == std::vector<int64_t>{7});
  CHECK(parse_npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': ()}").shape.empty());
  const std::string whole = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }";
  for (size_t length = 0; length < whole.size(); ++length)
    CHECK_THROWS_AS(parse_npy_header(whole.substr(0, length)), Error);
  for (const char* text : {"{'descr': '<f4', 'fortran_order': False}", "{'descr': '<f4', 'descr': '<f4'}",
                           "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}",
                           "{'descr': '<f4', 'fortran_order': 0, 'shape': (3,)}",
                           "{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}",
                           "{'descr': '<f4', 'fortran_order': False, 'shape': (3 2)}",
                           "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
                           "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)} x",
                           "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'more': 'x'}"})
    CHECK_THROWS_AS(parse_npy_header(text), Error);
}

TEST_CASE("a wrong .npz is refused with the file and what is wrong") {
  Folder folder;
  const std::string path = folder.file("data.npz");
  const auto refused = [&](const std::string& name, const std::string& bytes, const std::string& part) {
    Members members = small_members();
    if (bytes.empty()) members.erase(name);
    else members[name] = bytes;
    write_zip(path, members);
    check_refused(path, part);
  };
  for (const char* name : {"observations", "actions", "terminals", "rewards"}) refused(name, "", name);
  refused("rewards", "", "before a task is chosen");
  refused("observations", npy<float>("<f4", "(3, 1)", {1, 2, NAN}), "not finite");
  refused("observations", npy<double>("<f8", "(3, 1)", {1, 2, 1e300}), "not finite");
  refused("observations", npy<float>("<f4", "(3,)", {1, 2, 3}), "[3]");
  refused("observations", npy<float>("<f4", "()", {1}), "[]");
  refused("observations", npy<float>("<f4", "(3, 0)", {}), "[3, 0]");
  refused("observations", npy<float>("<f4", "(3, 1, 1)", {1, 2, 3}), "[3, 1, 1]");
  refused("observations", npy<float>("<f4", "(3, 2)", {1, 2, 3}), "12 bytes");
  refused("observations", npy<float>("<f4", "(3, 4611686018427387904)", {1, 2, 3}), "12 bytes");
  refused("observations", npy<float>("<f4", "(3, 1)", {1, 2, 3}, "True"), "Fortran");
  refused("observations", npy<float>(">f4", "(3, 1)", {1, 2, 3}), "\">f4\"");
  refused("observations", npy<float>("<f4", "(3, 1", {1, 2, 3}), "header");
  refused("observations", "not an array at all", "observations");
  refused("observations", "x", "too early");
  refused("observations", std::string("\x93NUMPY\x04\x00\x02\x00{}", 12), "version 4");
  refused("observations", std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff{}", 14), "header");
  refused("actions", npy<float>("<f4", "(2, 1)", {0, 0}), "[2, 1]");
  refused("actions", npy<float>("<f4", "(3, 1)", {0, -1.5f, 0}), "row 1");
  refused("rewards", npy<float>("<f4", "(3, 1)", {0, 0, 0}), "rewards");
  refused("rewards", npy<float>("<f4", "(3,)", {0, std::numeric_limits<float>::infinity(), 0}), "not finite");
  refused("terminals", npy<uint8_t>("|u1", "(3,)", {0, 2, 1}), "0 or 1");
  refused("terminals", npy<uint8_t>("|b1", "(3,)", {1, 1, 1}), "no transition");
  refused("masks", npy<float>("<f4", "(3,)", {0, 0.5f, 1}), "0 or 1");
  refused("masks", npy<float>("<f4", "(2,)", {0, 1}), "masks");
}

TEST_CASE("a damaged or truncated file is refused") {
  Folder folder;
  for (const char* name : {"data.npz", "data.safetensors"}) {
    const std::string path = folder.file(name);
    write_data_set(path, small_data_set());
    const std::string whole = read_text(path);
    for (size_t length = 0; length < whole.size(); length += 41) {
      write_text(path, whole.substr(0, length));
      check_refused(path, path);
    }
  }
  // One bit of a number: the checksum knows.
  const std::string path = folder.file("bit.npz");
  write_data_set(path, small_data_set());
  std::string bytes = read_text(path);
  const float number = 0.1f;
  const size_t at = bytes.find(std::string(reinterpret_cast<const char*>(&number), sizeof number));
  REQUIRE(at != std::string::npos);
  bytes[at] ^= 1;
  write_text(path, bytes);
  check_refused(path, "damaged");
  // Anything else anywhere: an Error or some numbers, never a crash.
  const std::string numpys = read_text(MEANDER_TEST_DATA "/ogbench-layout.npz");
  int refused = 0, files = 0;
  for (size_t i = 0; i < numpys.size(); i += 5, ++files) {
    std::string changed = numpys;
    changed[i] ^= 0x41;
    write_text(path, changed);
    try {
      read_data_set(path);
    } catch (const Error&) {
      ++refused;
    }
  }
  CHECK(refused > files / 3);  // the others hit times, sizes given twice, or arrays that are not read
}

// Protects against training on data of something else that has as many numbers.
TEST_CASE("data of another environment are refused") {
  Folder folder;
  for (const char* name : {"data.npz", "data.safetensors"}) {
    const std::string path = folder.file(name);
    DataSet data = small_data_set();
    data.actions = 1, data.action.resize(5);
    write_data_set(path, data, "Pendulum-v1");
    check_equal(read_data_of_task(path, "Pendulum-v1").data, data);
    CHECK_THROWS_WITH_AS(read_data_of_task(path, "Pendulm-v1"), doctest::Contains("Pendulum-v1"), Error);
    write_data_set(path, data, "Somewhere-v7");
    CHECK_THROWS_WITH_AS(read_data_of_task(path, "Pendulum-v1"),
                         doctest::Contains("it holds data of \"Somewhere-v7\", not of Pendulum-v1"), Error);
    write_data_set(path, data);  // it does not say
    check_equal(read_data_of_task(path, "Pendulum-v1").data, data);
    CHECK_THROWS_WITH_AS(read_data_of_task(path, "HalfCheetah-v4"),
                         doctest::Contains("holds 3 observations and 1 actions, HalfCheetah-v4 has 17 and 6"), Error);
  }
  // What NumPy's strings hold beside, or a number of that name, is no environment's name.
  Members members = small_members();
  const std::string path = folder.file("data.npz");
  members["environment"] = npy<int>("<i4", "()", {3});
  write_zip(path, members);
  CHECK(read_data_file(path).environment == "");
  members["environment"] = npy<char32_t>("<U4", "()", {U'a', U'\n', U'\u00e9', 0});
  write_zip(path, members);
  CHECK(read_data_file(path).environment == "a??");
}

// Protects OGBench's play data, which hold no rewards: a task gives them by the recorded positions, and only then.
TEST_CASE("rewards and masks from positions") {
  Folder folder;
  const std::string path = folder.file("play.npz");
  const std::vector<float> observations(6, 0.5f), actions(3, 0.25f), qpos = {0, 1, 2, 3, 4, 5};
  const std::vector<uint8_t> terminals = {0, 0, 1};
  NpzWriter file;
  file.add("observations", {3, 2}, observations.data());
  file.add("actions", {3, 1}, actions.data());
  file.add_bool("terminals", {3}, terminals.data());
  file.add("qpos", {3, 2}, qpos.data());
  file.write(path);
  Relabelling relabelling{2, [](std::span<const float> q) {
    return Relabelling::Row{-q[1], q[0] == 2 ? 0.0f : 1.0f};
  }};
  const DataSet data = read_data_set(path, &relabelling);
  CHECK(data.reward == std::vector<float>{-1, -3, -5});
  CHECK(data.mask == std::vector<float>{1, 0, 1});
  relabelling.positions = 28;
  CHECK_THROWS_WITH_AS(read_data_set(path, &relabelling), doctest::Contains("qpos has 2 numbers in a row"), Error);
  check_refused(path, "task of a fixed goal");
  // A file with its own rewards is of no other task either.
  const std::string with_rewards = MEANDER_TEST_DATA "/ogbench-layout.npz";
  CHECK_THROWS_WITH_AS(read_data_set(with_rewards, &relabelling), doctest::Contains("qpos has 4 numbers"), Error);
  relabelling.positions = 4;
  CHECK(read_data_set(with_rewards, &relabelling).reward[5] == 5);
}

TEST_CASE("a wrong .safetensors, a wrong name, a missing file") {
  Folder folder;
  const DataSet data = small_data_set();
  const std::string path = folder.file("data.safetensors");
  const auto write = [&](const std::string& without, int64_t rows) {
    SafetensorsWriter file;
    const auto add = [&](const char* name, std::vector<int64_t> shape, const auto* values) {
      if (name != without) file.add(name, shape, values);
    };
    add("observations", {5, 3}, data.observation.data());
    add("actions", {5, 2}, data.action.data());
    add("rewards", {rows}, data.reward.data());
    add("masks", {5}, data.mask.data());
    const float terminals[] = {0, 0, 1, 0, 0};  // as float32, the last left open
    add("terminals", {5}, terminals);
    file.write(path);
  };
  write("", 5);
  check_equal(read_data_set(path), data);
  for (const char* name : {"observations", "actions", "rewards", "terminals"}) {
    write(name, 5);
    check_refused(path, name);
  }
  write("", 4);
  check_refused(path, "rewards");

  for (const char* name : {"none.npz", "none.safetensors", "data.csv", "npz"}) check_refused(folder.file(name), name);
  // A pipe would wait for its writer.
  for (const char* name : {"pipe.npz", "pipe.safetensors"}) {
    REQUIRE(mkfifo(folder.file(name).c_str(), 0600) == 0);
    check_refused(folder.file(name), "not a regular file");
    std::filesystem::remove(folder.file(name));
  }
  CHECK_THROWS_AS(write_data_set(folder.file("data.csv"), data), Error);
  CHECK_THROWS_AS(write_data_set(folder.file("data.npz"), DataSet()), Error);
  for (const char* name : {"none/data.npz", "none/data.safetensors"})
    CHECK_THROWS_AS(write_data_set(folder.file(name), data), Failure);
  CHECK(folder.files() == 1);
}
