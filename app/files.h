#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace meander {

// A file that grows: what was written before a crash stays. Each write is handed to the system at once and is whole or
// absent; one that fails (disk full) throws Failure with the path and the reason.
class AppendFile {
 public:
  // Opens or creates it; of an existing file the first `keep` bytes stay (less if it is shorter), or all. A symbolic
  // link or anything else that is no file is not written to: throws Failure.
  explicit AppendFile(std::string path, int64_t keep = INT64_MAX);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  void write(std::string_view bytes);
  void flush();  // to the disk: what was written so far outlasts a loss of power
  int64_t size() const { return size_; }

 private:
  std::string path_;
  int fd_;
  int64_t size_;
};

// Replaces a file as a whole (core/replacement.h); `last_check` is called before, and may throw. Throws Failure.
void replace_file(const std::string& path, std::string_view text, const std::function<void()>& last_check = {});

}  // namespace meander
