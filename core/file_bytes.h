#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace meander {

// The bytes of a regular file, mapped for reading. Every file that somebody gives is opened here: a pipe would wait for
// its writer, a device may never end.
class FileBytes {
 public:
  // Throws Error with the path if the file cannot be opened or read, or is a folder, a pipe, a device or a socket.
  explicit FileBytes(const std::string& path);
  ~FileBytes();
  FileBytes(FileBytes&& other) noexcept;
  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;

  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(mapping_), length_}; }

 private:
  void* mapping_ = nullptr;
  size_t length_ = 0;
};

// Tells the system that mapped bytes that were read in order aren't needed for now, so that a large file doesn't stand
// in memory beside what was made of it. They can be read again. Only for bytes of a FileBytes.
void forget(std::span<const std::byte> bytes);

// A whole file as text. Throws Error as FileBytes does, and if the file is longer than `most` bytes.
std::string read_file(const std::string& path, uint64_t most);

}  // namespace meander
