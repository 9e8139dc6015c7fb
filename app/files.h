#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace meander {

// A file that grows: what was written before a crash stays. Each write is handed to the system at once and is whole or
// absent; one that fails (disk full) throws Failure with the path and the reason.
class AppendFile {
 public:
  enum Sharing { shared, exclusive };

  // Opens or creates it; of an existing file the first `keep` bytes stay (less if it is shorter), or all. `exclusive`
  // keeps other processes that ask for it out until this one ends, however it ends; throws Error if one holds it.
  explicit AppendFile(std::string path, int64_t keep = INT64_MAX, Sharing sharing = shared);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  void write(std::string_view bytes);
  int64_t size() const { return size_; }

 private:
  std::string path_;
  int fd_;
  int64_t size_;
};

// Replaces a file by writing beside it and renaming: a reader sees the old text or the new one. Throws Failure.
void replace_file(const std::string& path, std::string_view text);

}  // namespace meander
