#include <meander/app/files.h>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include <meander/kernels/error.h>

namespace meander {

namespace {

[[noreturn]] void fail(const std::string& path, int error) {
  throw Failure(message("cannot write ", path, ": ", std::strerror(error)));
}

}  // namespace

AppendFile::AppendFile(std::string path, int64_t keep, Sharing sharing)
    : path_(std::move(path)), fd_(open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666)) {
  if (fd_ < 0) fail(path_, errno);
  if (sharing == exclusive && flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    close(fd_);
    throw Error(path_ + ": another process is writing to it; wait for it or stop it");
  }
  size_ = std::min<int64_t>(lseek(fd_, 0, SEEK_END), keep);
  if (size_ < 0 || ftruncate(fd_, size_) != 0 || lseek(fd_, size_, SEEK_SET) != size_) {
    const int error = errno;
    close(fd_);
    fail(path_, error);
  }
}

AppendFile::~AppendFile() { close(fd_); }

void AppendFile::write(std::string_view bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::write(fd_, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      if (ftruncate(fd_, size_) == 0) lseek(fd_, size_, SEEK_SET);  // no half lines
      fail(path_, error);
    }
    done += static_cast<size_t>(n);
  }
  size_ += std::ssize(bytes);
}

void replace_file(const std::string& path, std::string_view text) {
  const std::string partial = path + ".partial";
  try {
    AppendFile file(partial, 0);
    file.write(text);
  } catch (...) {
    std::remove(partial.c_str());
    throw;
  }
  if (std::rename(partial.c_str(), path.c_str()) != 0) {
    const int error = errno;
    std::remove(partial.c_str());
    fail(path, error);
  }
}

}  // namespace meander
