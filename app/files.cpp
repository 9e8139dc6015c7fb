#include <meander/app/files.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <meander/core/replacement.h>
#include <meander/kernels/error.h>

namespace meander {

namespace {

[[noreturn]] void fail(const std::string& path, const char* reason) {
  throw Failure(message("cannot write ", path, ": ", reason));
}

}  // namespace

AppendFile::AppendFile(std::string path, int64_t keep)
    : path_(std::move(path)),
      // Without O_NONBLOCK, opening a named pipe would wait for its reader.
      fd_(open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666)) {
  if (fd_ < 0 && errno == ELOOP) fail(path_, "it is a symbolic link, which is not followed; put a file there");
  if (fd_ < 0) fail(path_, std::strerror(errno));
  struct stat status;
  const char* reason = nullptr;
  if (fstat(fd_, &status) != 0) reason = std::strerror(errno);
  else if (!S_ISREG(status.st_mode)) reason = "it is not a file";
  else {
    size_ = std::min<int64_t>(status.st_size, keep);
    if (ftruncate(fd_, size_) != 0 || lseek(fd_, size_, SEEK_SET) != size_) reason = std::strerror(errno);
  }
  if (!reason) return;
  close(fd_);
  fail(path_, reason);
}

AppendFile::~AppendFile() { close(fd_); }

void AppendFile::write(std::string_view bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::write(fd_, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      if (ftruncate(fd_, size_) == 0) lseek(fd_, size_, SEEK_SET);  // no half lines
      fail(path_, std::strerror(error));
    }
    done += static_cast<size_t>(n);
  }
  size_ += std::ssize(bytes);
}

void AppendFile::flush() { flush_file(fd_, path_); }

void replace_file(const std::string& path, std::string_view text, const std::function<void()>& last_check) {
  Replacement file(path);
  file.write(text.data(), text.size());
  file.take_place(last_check);
}

}  // namespace meander
