#include <meander/core/replacement.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include <meander/kernels/error.h>

namespace meander {

namespace {

[[noreturn]] void fail(const std::string& path, const char* what, int error) {
  throw Failure(message(path, ": ", what, ": ", std::strerror(error)));
}

// Whether the file that was opened still has this name.
bool has_name(int file, const std::string& name) {
  struct stat opened, named;
  return ::fstat(file, &opened) == 0 && ::lstat(name.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
         opened.st_dev == named.st_dev;
}

// Opens the temporary file for us alone. Someone else may rename it away between open and lock: then it is no longer
// the file of that name, and we open again.
int open_locked(const std::string& path, const std::string& partial) {
  for (;;) {
    const int file = ::open(partial.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (file < 0 && errno == ELOOP && ::unlink(partial.c_str()) == 0) continue;
    if (file < 0) fail(path, "cannot write", errno);
    if (::flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      ::close(file);
      throw Failure(path + ": cannot write: someone else is writing it now");
    }
    if (has_name(file, partial)) {
      if (::ftruncate(file, 0) == 0) return file;
      const int error = errno;
      ::unlink(partial.c_str());
      ::close(file);
      fail(path, "cannot write", error);
    }
    ::close(file);
  }
}

}  // namespace

Replacement::Replacement(std::string path)
    : path_(std::move(path)), partial_(path_ + ".partial"), file_(open_locked(path_, partial_)) {}

Replacement::~Replacement() {
  if (!placed_ && has_name(file_, partial_)) ::unlink(partial_.c_str());
  ::close(file_);
}

void Replacement::write(const void* data, uint64_t bytes) {
  const auto* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(file_, next, std::min<uint64_t>(bytes, 1 << 30));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail(path_, "cannot write", written < 0 ? errno : ENOSPC);
    next += written;
    bytes -= static_cast<uint64_t>(written);
  }
}

void Replacement::take_place(const std::function<void()>& last_check) {
  flush_file(file_, path_);
  if (last_check) last_check();
  if (::rename(partial_.c_str(), path_.c_str()) != 0) fail(path_, "cannot replace", errno);
  placed_ = true;
  flush_folder(std::filesystem::path(path_).parent_path().string());
}

void flush_file(int file, const std::string& path) {
  int result;
  do result = ::fsync(file);
  while (result != 0 && errno == EINTR);
  if (result != 0) fail(path, "cannot write", errno);
}

void flush_folder(const std::string& path) {
  const int folder = ::open(path.empty() ? "." : path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;  // one that may be written to but not read
  int result;
  do result = ::fsync(folder);
  while (result != 0 && errno == EINTR);
  const int error = errno;
  ::close(folder);
  if (result != 0 && error != EINVAL)  // some file systems cannot, and say so
    fail(path.empty() ? "." : path, "cannot flush this folder", error);
}

}  // namespace meander
