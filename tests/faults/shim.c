// Preloaded into a program: counts and records what it does to files below a folder, and lets a chosen operation fail.
// Everything is told by environment variables:
//
//   FAULTS_FOLDER    the folder, an absolute path without links; without it nothing happens
//   FAULTS_COUNTER   a file of 8 bytes, mapped: the number of operations so far, of all processes together
//   FAULTS_RECORD    a file to which each operation is appended, as `record` below says
//   FAULTS_AT        the operation that fails, from 1
//   FAULTS_ERROR     its errno
//   FAULTS_SHORT     1: a write that is to fail writes half of its bytes instead, and says so
//   FAULTS_ONWARDS   1: the operations after it fail, too
//   FAULTS_KINDS     words as in `record`: only these fail
//   FAULTS_IGNORE    words: of `sync` and `syncfolder`, which then do nothing and say that they did
//
// A call that glibc makes inside itself cannot be replaced, so streams (fopen, fdopen, stdout) become streams whose
// reads and writes come through here.
#define _GNU_SOURCE
#include "shim.h"

// ---- files ----------------------------------------------------------------------------------------------------------

static int opened(int at_fd, const char *path, int flags, mode_t mode) {
  char name[PATH_MAX];
  if (!absolute(at_fd, path, name)) return REAL(openat)(at_fd, path, flags, mode);
  struct stat s;
  const int there = !fstatat(at_fd, path, &s, 0), made = !there && (flags & O_CREAT);
  long number;
  if (turn(made ? "create" : "open", name, &number) == FAIL) return -1;
  const int fd = REAL(openat)(at_fd, path, flags, mode);
  if (fd < 0) return fd;
  watch(fd, name);
  record(number, made ? "create" : "open", 0, inode_of(fd), 0, 0, name, "", NULL);
  if (there && (flags & O_TRUNC)) record(number, "truncate", 0, inode_of(fd), 0, 0, name, "", NULL);
  return fd;
}

static mode_t mode_of(int flags, va_list more) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; }

#define OPEN(name, first, at_fd, ...)                                  \
  int name(first const char *path, int flags, ...) {                   \
    va_list more;                                                      \
    va_start(more, flags);                                             \
    const mode_t mode = mode_of(flags, more);                          \
    va_end(more);                                                      \
    return opened(at_fd, path, flags, mode);                           \
  }
#define NOTHING
#define FOLDER int fd,
OPEN(open, NOTHING, AT_FDCWD)
OPEN(open64, NOTHING, AT_FDCWD)
OPEN(openat, FOLDER, fd)
OPEN(openat64, FOLDER, fd)
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode); }

// offset -1: where the descriptor is.
static ssize_t written(int fd, const void *data, size_t n, off_t offset) {
  const char *path = watched(fd);
  long number = 0;
  if (path) {
    const int what = turn("write", path, &number);
    if (what == FAIL) return -1;
    if (what == HALF && n > 1) n /= 2;
  }
  const ssize_t done = offset < 0 ? REAL(write)(fd, data, n) : REAL(pwrite)(fd, data, n, offset);
  if (path && done > 0)
    record(number, "write", 0, inode_of(fd), offset < 0 ? lseek(fd, 0, SEEK_CUR) - done : offset, done, path, "", data);
  return done;
}
ssize_t write(int fd, const void *data, size_t n) { return written(fd, data, n, -1); }
ssize_t pwrite(int fd, const void *data, size_t n, off_t offset) { return written(fd, data, n, offset); }
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t offset) { return written(fd, data, n, offset); }
ssize_t writev(int fd, const struct iovec *parts, int count) {
  if (!watched(fd)) return REAL(writev)(fd, parts, count);
  size_t n = 0, filled = 0;
  for (int i = 0; i < count; ++i) n += parts[i].iov_len;
  char *all = malloc(n + 1);
  for (int i = 0; i < count; filled += parts[i++].iov_len) memcpy(all + filled, parts[i].iov_base, parts[i].iov_len);
  const ssize_t done = written(fd, all, n, -1);
  free(all);
  return done;
}
// Copies inside the kernel would go unseen; this is what callers take as a reason to read and write instead.
ssize_t sendfile(int to, int from, off_t *offset, size_t n) {
  if (watched(to)) return errno = EINVAL, -1;
  return ((ssize_t(*)(int, int, off_t *, size_t))dlsym(RTLD_NEXT, "sendfile"))(to, from, offset, n);
}
ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t n, unsigned flags) {
  if (watched(to)) return errno = EINVAL, -1;
  return REAL(copy_file_range)(from, a, to, b, n, flags);
}

// An operation on a descriptor that is only counted, made to fail or done.
#define ON_FILE(kind, fd, length, call)                                                     \
  const char *path = watched(fd);                                                           \
  long number;                                                                              \
  if (!path) return call;                                                                   \
  if (turn(kind, path, &number) == FAIL) return -1;                                         \
  const int result = call;                                                                  \
  if (!result) record(number, kind, 0, inode_of(fd), 0, length, path, "", NULL);            \
  return result;

static int synced(int fd, int (*call)(int)) {
  struct stat s;
  const char *kind = !fstat(fd, &s) && S_ISDIR(s.st_mode) ? "syncfolder" : "sync";
  if (watched(fd) && has_word(ignored, kind)) return 0;
  ON_FILE(kind, fd, 0, call(fd))
}
int fsync(int fd) { return synced(fd, REAL(fsync)); }
int fdatasync(int fd) { return synced(fd, REAL(fdatasync)); }
int ftruncate(int fd, off_t length) { ON_FILE("truncate", fd, length, REAL(ftruncate)(fd, length)) }
int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }
static int allocated(int fd, off_t end, int result, long number, const char *path) {
  struct stat s;
  if (!result && !fstat(fd, &s) && s.st_size == end)
    record(number, "truncate", 0, inode_of(fd), 0, end, path, "", NULL);
  return result;
}
int fallocate(int fd, int mode, off_t from, off_t length) {
  const char *path = watched(fd);
  long number;
  if (!path) return REAL(fallocate)(fd, mode, from, length);
  if (turn("write", path, &number) == FAIL) return -1;
  return allocated(fd, from + length, REAL(fallocate)(fd, mode, from, length), number, path);
}
int posix_fallocate(int fd, off_t from, off_t length) { return fallocate(fd, 0, from, length) ? errno : 0; }
int posix_fallocate64(int fd, off64_t from, off64_t length) { return posix_fallocate(fd, from, length); }

// A descriptor is gone whatever close says.
int close(int fd) {
  const char *path = watched(fd);
  long number;
  if (!path) return REAL(close)(fd);
  const unsigned long inode = inode_of(fd);
  const int fails = turn("close", path, &number) == FAIL;
  files[fd].path = NULL;
  const int result = REAL(close)(fd);
  if (fails) return errno = error, -1;
  record(number, "close", 0, inode, 0, 0, path, "", NULL);
  return result;
}

void *mmap(void *where, size_t length, int protection, int flags, int fd, off_t offset) {
  const char *path = flags & MAP_ANONYMOUS ? NULL : watched(fd);
  long number;
  if (path && turn("mmap", path, &number) == FAIL) return MAP_FAILED;
  void *result = REAL(mmap)(where, length, protection, flags, fd, offset);
  if (path) record(number, "mmap", 0, inode_of(fd), offset, 0, path, "", NULL);
  return result;
}
void *mmap64(void *where, size_t length, int protection, int flags, int fd, off64_t offset) {
  return mmap(where, length, protection, flags, fd, offset);
}

// ---- names ----------------------------------------------------------------------------------------------------------

#define ON_NAMES(kind, at_one, one, at_two, two, call)                                      \
  char first[PATH_MAX] = "", second[PATH_MAX] = "";                                         \
  const int in_one = absolute(at_one, one, first), in_two = absolute(at_two, two, second);  \
  long number;                                                                              \
  if (!in_one && !in_two) return call;                                                      \
  if (turn(kind, in_two ? second : first, &number) == FAIL) return -1;                      \
  const int result = call;                                                                  \
  if (!result) record(number, kind, 0, 0, 0, 0, first, second, NULL);                       \
  return result;
#define ON_NAME(kind, at_fd, path, call) ON_NAMES(kind, at_fd, path, AT_FDCWD, NULL, call)

int renameat2(int from, const char *one, int to, const char *two, unsigned flags) {
  ON_NAMES("rename", from, one, to, two, REAL(renameat2)(from, one, to, two, flags))
}
int rename(const char *one, const char *two) { return renameat2(AT_FDCWD, one, AT_FDCWD, two, 0); }
int renameat(int from, const char *one, int to, const char *two) { return renameat2(from, one, to, two, 0); }
int linkat(int from, const char *one, int to, const char *two, int flags) {
  ON_NAMES("link", from, one, to, two, REAL(linkat)(from, one, to, two, flags))
}
int link(const char *one, const char *two) { return linkat(AT_FDCWD, one, AT_FDCWD, two, 0); }
int unlinkat(int fd, const char *path, int flags) { ON_NAME("unlink", fd, path, REAL(unlinkat)(fd, path, flags)) }
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
  const int result = unlink(path);
  return result && errno == EISDIR ? rmdir(path) : result;
}
int mkdirat(int fd, const char *path, mode_t mode) { ON_NAME("mkdir", fd, path, REAL(mkdirat)(fd, path, mode)) }
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

// ---- streams --------------------------------------------------------------------------------------------------------

static ssize_t stream_read(void *fd, char *to, size_t n) { return read((int)(long)fd, to, n); }
static ssize_t stream_write(void *fd, const char *data, size_t n) {
  size_t done = 0;
  while (done < n) {
    const ssize_t now = write((int)(long)fd, data + done, n - done);
    if (now < 0) break;
    done += (size_t)now;
  }
  return (ssize_t)done;
}
static int stream_seek(void *fd, off64_t *offset, int from) {
  const off_t now = lseek((int)(long)fd, *offset, from);
  return now < 0 ? -1 : (*offset = now, 0);
}
static int stream_close(void *fd) {
  for (int i = 0; i < MOST; ++i)
    if (streams[i].stream && streams[i].fd == (int)(long)fd) streams[i].stream = NULL;
  return close((int)(long)fd);
}
static FILE *stream(int fd, const char *mode) {
  const cookie_io_functions_t through_here = {stream_read, stream_write, stream_seek, stream_close};
  FILE *made = fopencookie((void *)(long)fd, mode, through_here);
  for (int i = 0; i < MOST && made; ++i)
    if (!streams[i].stream) {
      streams[i].stream = made;
      streams[i].fd = fd;
      break;
    }
  return made;
}
FILE *fdopen(int fd, const char *mode) { return watched(fd) ? stream(fd, mode) : REAL(fdopen)(fd, mode); }
FILE *fopen(const char *path, const char *mode) {
  char name[PATH_MAX];
  if (!absolute(AT_FDCWD, path, name)) return REAL(fopen)(path, mode);
  const int access_mode = strchr(mode, '+') ? O_RDWR : *mode == 'r' ? O_RDONLY : O_WRONLY;
  const int making = *mode == 'r' ? 0 : O_CREAT | (*mode == 'a' ? O_APPEND : O_TRUNC);
  const int fd = opened(AT_FDCWD, path, access_mode | making | (strchr(mode, 'e') ? O_CLOEXEC : 0), 0666);
  return fd < 0 ? NULL : stream(fd, mode);
}
FILE *fopen64(const char *path, const char *mode) { return fopen(path, mode); }
int fileno(FILE *file) {
  for (int i = 0; i < MOST; ++i)
    if (streams[i].stream == file) return streams[i].fd;
  return REAL(fileno)(file);
}

__attribute__((constructor)) static void begin(void) {
  read_environment();
  if (watched(STDOUT_FILENO)) stdout = stream(STDOUT_FILENO, "w");
}
