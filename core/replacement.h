#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace meander {

// A file that takes the place of another as a whole: written beside it (to path + ".partial") and renamed over it, so
// that a reader, a crash or kill -9 sees the old file or the new one. What fails throws Failure with the path and the
// reason, leaves the old file and no temporary one; only a killed process leaves its temporary, and the next one
// replaces it. Symbolic links are not followed: one that stands at `path` is replaced.
class Replacement {
 public:
  explicit Replacement(std::string path);
  ~Replacement();  // removes it, unless it took its place
  Replacement(const Replacement&) = delete;
  Replacement& operator=(const Replacement&) = delete;

  void write(const void* data, uint64_t bytes);
  // Flushes it to the disk, calls `last_check`, which may throw, renames, and flushes the folder: from here on a loss
  // of power leaves the new file.
  void take_place(const std::function<void()>& last_check = {});

 private:
  std::string path_, partial_;
  int file_;
  bool placed_ = false;
};

// Flushes a folder, without which a file created or renamed in it may be gone after a loss of power. Throws Failure.
void flush_folder(const std::string& path);
// A file's data likewise; `path` is for the message.
void flush_file(int file, const std::string& path);

}  // namespace meander
