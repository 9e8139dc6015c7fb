// What an archive of arrays says of itself, without its data: its directory, and the header of an array for an input
// that begins as one does.

#include "target.h"
#include <meander/app/npy_header.h>
#include <meander/app/zip_directory.h>

using namespace meander;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> bytes = fuzz::bytes(data, size);
  fuzz::takes([&] {
    if (size > 0 && data[0] == '{') {
      const NpyHeader header = parse_npy_header({reinterpret_cast<const char*>(data), size});
      fuzz::expect(header.shape.size() <= 32, "more dimensions than NumPy has");
      for (const int64_t dimension : header.shape) fuzz::expect(dimension >= 0, "a dimension is negative");
      return;
    }
    for (const auto& [name, member] : parse_zip_directory(bytes)) {
      fuzz::expect(member.stored.empty() || (member.stored.data() >= bytes.data() &&
                                             &member.stored.back() <= &bytes.back()), "a member lies outside");
      fuzz::expect(member.method != 0 || member.size == member.stored.size(), "a stored member has another length");
    }
  });
  return 0;
}
