// A data set of either format. Of the first byte: 0 and 1 say that the rest is a whole file; others that it describes
// the arrays of an archive that is built here with right checksums, each as [name, length of the header, header, length
// of the data, data] with one byte for the name and two for a length.

#include <zlib.h>

#include <algorithm>
#include <vector>

#include "../little_endian.h"
#include "target.h"
#include <meander/app/data_files.h>

using namespace meander;

namespace {

// What is left of the input, taken from the front.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}
  bool empty() const { return rest_.empty(); }
  size_t number(size_t bytes) {
    size_t x = 0;
    for (const char c : take(bytes)) x = x << 8 | static_cast<uint8_t>(c);
    return x;
  }
  std::string take(size_t bytes) {
    const std::string front(rest_.substr(0, bytes));
    rest_.remove_prefix(front.size());
    return front;
  }

 private:
  std::string_view rest_;
};

std::string archive_of(Input input) {
  static const char* const names[] = {"observations", "actions",  "rewards", "masks",  "terminals",
                                      "timeouts",     "next_observations", "qpos", "valids", "environment"};
  std::string all, directory;
  int members = 0;
  for (; !input.empty() && members < 16; ++members) {
    const std::string name = names[input.number(1) % std::size(names)] + std::string(".npy");
    const std::string header = input.take(input.number(2)), data = input.take(input.number(2));
    const std::string array = std::string("\x93NUMPY\1\0", 8) + little(header.size(), 2) + header + data;
    const std::string about = little(20, 2) + std::string(8, '\0') +
        little(crc32(0, reinterpret_cast<const Bytef*>(array.data()), static_cast<uInt>(array.size())), 4) +
        little(array.size(), 4) + little(array.size(), 4) + little(name.size(), 2) + little(0, 2);
    directory += "PK\1\2" + little(20, 2) + about + std::string(10, '\0') + little(all.size(), 4) + name;
    all += "PK\3\4" + about + name + array;
  }
  return all + directory + "PK\5\6" + little(0, 4) + little(members, 2) + little(members, 2) +
         little(directory.size(), 4) + little(all.size(), 4) + little(0, 2);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string built = data[0] > 1 ? archive_of(Input(data + 1, size - 1)) : "";
  const std::span<const std::byte> bytes =
      data[0] > 1 ? std::as_bytes(std::span(built)) : fuzz::bytes(data + 1, size - 1);
  const Relabelling relabelling{0, [](std::span<const float> positions) {
    return Relabelling::Row{positions[0] == 0 ? 1.0f : 0.0f, positions.back() == 0 ? 1.0f : 0.0f};
  }};
  for (const Relabelling* by : {static_cast<const Relabelling*>(nullptr), &relabelling})
    fuzz::takes([&] {
      const DataFile file = parse_data_file(bytes, data[0] == 1 ? "file.safetensors" : "file.npz", by);
      file.data.check("what was read");
      fuzz::expect(std::all_of(file.data.mask.begin(), file.data.mask.end(), [](float x) { return x == 0 || x == 1; }),
                   "masks are 0 or 1");
      const std::vector<float>& actions = file.data.action;
      fuzz::expect(std::all_of(actions.begin(), actions.end(), [](float x) { return x >= -1 && x <= 1; }),
                   "actions are in [-1, 1]");
      fuzz::expect(file.data.transitions() > 0, "there are transitions");
    });
  return 0;
}
