#pragma once

#include <cstdint>
#include <string>

namespace meander {

// Bytes that the contents of a file may take in memory: half of memory_available(), or as many as the environment
// variable MEANDER_FILE_MEMORY says (throws Error if that is no number).
uint64_t file_memory_limit();

// Throws Error, with `what` in front, if that many bytes are more than file_memory_limit(). Asked before anything is
// allocated whose size a file declares.
void expect_memory(const std::string& what, uint64_t bytes);

}  // namespace meander
