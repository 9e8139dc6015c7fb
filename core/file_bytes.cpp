#include <meander/core/file_bytes.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <meander/kernels/error.h>

namespace meander {

namespace {

// A regular file open for reading, and its length.
class OpenFile {
 public:
  explicit OpenFile(const std::string& path) {
    // Without O_NONBLOCK, opening a named pipe would wait for its writer.
    fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd_ < 0) throw Error(message(path, ": cannot open: ", std::strerror(errno)));
    struct stat status;
    const char* wrong = nullptr;
    if (::fstat(fd_, &status) != 0) wrong = std::strerror(errno);
    else if (S_ISDIR(status.st_mode)) wrong = "a folder, not a file";
    else if (!S_ISREG(status.st_mode)) wrong = "not a regular file: save what it gives in a file first";
    if (wrong) {
      ::close(fd_);
      throw Error(message(path, ": ", wrong));
    }
    length_ = static_cast<size_t>(status.st_size);
  }
  ~OpenFile() { ::close(fd_); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  int fd() const { return fd_; }
  size_t length() const { return length_; }

 private:
  int fd_;
  size_t length_ = 0;
};

}  // namespace

FileBytes::FileBytes(const std::string& path) {
  const OpenFile file(path);
  if (file.length() == 0) return;  // nothing that could be mapped
  void* mapping = ::mmap(nullptr, file.length(), PROT_READ, MAP_PRIVATE, file.fd(), 0);
  if (mapping == MAP_FAILED) throw Error(message(path, ": cannot read: ", std::strerror(errno)));
  mapping_ = mapping;
  length_ = file.length();
}

FileBytes::~FileBytes() {
  if (mapping_) ::munmap(mapping_, length_);
}

FileBytes::FileBytes(FileBytes&& other) noexcept
    : mapping_(std::exchange(other.mapping_, nullptr)), length_(std::exchange(other.length_, 0)) {}

void forget(std::span<const std::byte> bytes) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data());
  const uintptr_t first = (begin + page - 1) / page * page, last = (begin + bytes.size()) / page * page;
  if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

std::string read_file(const std::string& path, uint64_t most) {
  const OpenFile file(path);
  if (file.length() > most)
    throw Error(message(path, ": ", file.length(), " bytes, at most ", most, " are read"));
  std::string text(file.length(), '\0');
  for (size_t at = 0; at < text.size();) {
    const ssize_t n = ::read(file.fd(), text.data() + at, text.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Error(message(path, ": cannot read: ", std::strerror(errno)));
    if (n == 0) text.resize(at);  // it was cut meanwhile
    at += static_cast<size_t>(n);
  }
  return text;
}

}  // namespace meander
