// An archive of arrays as it stands: the directory, the arrays' headers, unpacking. Checksums stop most changes of
// data; data_set_fuzz.cpp makes archives of which they are right.

#include "target.h"
#include <meander/app/npz_file.h>

using namespace meander;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> bytes = fuzz::bytes(data, size);
  fuzz::takes([&] {
    const auto members = parse_zip_directory(bytes);
    const NpzFile file(bytes, "file.npz");
    int read = 0;
    for (const auto& member : members) {
      if (++read > 16) break;
      const std::string& name = member.first;
      fuzz::takes([&] {
        int64_t count = 1, given = 0;
        for (const int64_t dimension : file.shape(name)) count *= dimension;
        if (count > 1 << 22) return;  // deflate's zeros take time, no thought
        file.read(name, [&](std::span<const float> piece) { given += std::ssize(piece); });
        fuzz::expect(given == count, "an array has as many numbers as its shape says");
      });
      fuzz::takes([&] { file.text(name); });
    }
  });
  fuzz::takes([&] { parse_npy_header({reinterpret_cast<const char*>(data), size}); });
  return 0;
}
