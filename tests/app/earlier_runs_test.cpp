// Run folders written by Meander 0.1.0 (tests/data/runs, with what that version went on to: expected-*) are evaluated
// and resumed by this one, with the same bits.

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "../folder.h"
#include "command.h"

using namespace meander;
namespace fs = std::filesystem;

namespace {

// FNV-1a over the names, shapes and bytes of all tensors but the sums of metrics, of which there may be more by now.
std::string checksum(const std::string& path) {
  uint64_t x = 0xcbf29ce484222325;
  const auto add = [&](std::string_view bytes) {
    for (const char c : bytes) x = (x ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  };
  const SafetensorsFile file(path);
  for (const auto& [name, tensor] : file.tensors()) {
    if (name == "training.metric_sums") continue;
    add(name);
    for (const int64_t n : tensor.shape) add(std::to_string(n) + ",");
    const auto size = static_cast<size_t>(tensor.size() * bytes(tensor.dtype));
    add({reinterpret_cast<const char*>(tensor.data), size});
  }
  char text[20];
  std::snprintf(text, sizeof text, "%016llx\n", static_cast<unsigned long long>(x));
  return text;
}

// Without the columns of time, which differ, and without the one-step gap, which is measured otherwise since.
std::vector<Words> comparable(const std::string& path) {
  std::vector<Words> rows = csv(path);
  const auto gap = std::ranges::find(rows[0], "one_step_gap") - rows[0].begin();
  for (Words& row : rows) {
    if (gap < std::ssize(row)) row.erase(row.begin() + gap);
    row.erase(row.begin() + 1), row.pop_back();
  }
  return rows;
}

}  // namespace

TEST_CASE("runs of 0.1.0 are evaluated and go on with the same bits") {
  const Folder folder;
  for (const std::string name : {"sac", "mvp", "mfpo"}) {  // the last without a checkpoint: it starts again
    CAPTURE(name);
    const std::string run = folder.file(name);
    fs::copy(MEANDER_TEST_DATA "/runs/" + name, run);
    const auto evaluate = [&](const std::string& expected) {
      const Result result = meander_in(folder, {"eval", name, "--episodes", "3"});
      CHECK_MESSAGE(result.status == 0, result.error);
      CHECK_MESSAGE(contains(result.out, read_text(run + "/" + expected)), result.out);
    };
    if (fs::exists(run + "/last.safetensors")) evaluate("expected-evaluation.txt");
    const Result resumed = meander_in(folder, {"train", "--resume", name, "--steps", "400", "--quiet"});
    CHECK_MESSAGE(resumed.status == 0, resumed.error);
    CHECK(checksum(run + "/last.safetensors") == read_text(run + "/expected-checksum-at-400.txt"));
    CHECK(comparable(run + "/metrics.csv") == comparable(run + "/expected-metrics-at-400.csv"));
    evaluate("expected-evaluation-at-400.txt");
  }
}
