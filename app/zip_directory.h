#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>

namespace meander {

// A file in a zip archive: its bytes as they are stored, and what they must unpack to.
struct ZipMember {
  int method = 0;               // 0: stored, 8: deflated
  bool encrypted = false;
  uint32_t checksum = 0;        // CRC-32 of the unpacked bytes
  uint64_t size = 0;            // of the unpacked bytes
  std::span<const std::byte> stored;
};

// Members by name, "NAME.npy" as NAME, from the directory at the end of an archive (PKWARE's APPNOTE 6.3.10, sections
// 4.3.7 to 4.3.16, with the 64-bit records). Every place lies within the archive, a stored member is as long as it
// says, a deflated one says no more than deflate can. Throws Error in one line, without the archive's name, for
// anything else, for a name that stands twice, and for more than 65,535 members.
std::map<std::string, ZipMember> parse_zip_directory(std::span<const std::byte> archive);

}  // namespace meander
