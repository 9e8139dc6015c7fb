#include <meander/core/memory_limit.h>

#include <charconv>
#include <cstdlib>
#include <cstring>

#include <meander/core/memory_available.h>
#include <meander/kernels/error.h>

namespace meander {

uint64_t file_memory_limit() {
  const char* text = std::getenv("MEANDER_FILE_MEMORY");
  if (!text) return memory_available() / 2;
  uint64_t bytes = 0;
  const char* end = text + std::strlen(text);
  if (const auto [stop, error] = std::from_chars(text, end, bytes); error != std::errc() || stop != end)
    throw Error("MEANDER_FILE_MEMORY: expected a number of bytes");
  return bytes;
}

void expect_memory(const std::string& what, uint64_t bytes) {
  constexpr uint64_t anyway = 16 << 20;  // the machine isn't asked about every small file
  if (bytes <= anyway && !std::getenv("MEANDER_FILE_MEMORY")) return;
  if (const uint64_t limit = file_memory_limit(); bytes > limit)
    throw Error(message(what, " would take ", bytes, " bytes of memory, ", limit, " may be taken: half of what is ",
                        "available, unless MEANDER_FILE_MEMORY=BYTES says otherwise"));
}

}  // namespace meander
