// What a program that reads an HDF5 file may say once the file has taken it over: all answers to the command's
// questions, whatever these are. Of the first byte the bits are the options.

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "target.h"
#include <meander/app/data_files.h>
#include <meander/app/hdf5_file.h>

using namespace meander;

namespace {

class Answers : public Hdf5Answers {
 public:
  explicit Answers(std::span<const std::byte> bytes) : rest_(bytes) {}
  void ask(std::string_view) override {}
  void read(void* to, size_t n) override {
    if (n > rest_.size()) throw Error("no more");
    std::copy_n(rest_.begin(), n, static_cast<std::byte*>(to));
    rest_ = rest_.subspan(n);
  }

 private:
  std::span<const std::byte> rest_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  setenv("MEANDER_FILE_MEMORY", "10000000", 1);  // what is stated is taken at once
  DataOptions options;
  if (data[0] & 1) options.observation_keys = "a,b";
  if (data[0] & 2) options.filter = "train";
  options.episodes = data[0] >> 2 & 3;
  options.clip_actions = data[0] & 16;
  fuzz::takes([&] {
    auto answers = std::make_unique<Answers>(fuzz::bytes(data + 1, size - 1));
    const DataFile file = parse_data_file(std::make_unique<Hdf5File>("file", std::move(answers)), nullptr, options);
    file.data.check("what was read");
    const std::vector<float>& actions = file.data.action;
    fuzz::expect(std::all_of(actions.begin(), actions.end(), [](float x) { return x >= -1 && x <= 1; }),
                 "actions are in [-1, 1]");
  });
  return 0;
}
