// What the shim watches, how it counts and records, and which operation fails (shim.c).
#pragma once
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define MOST 1024  // descriptors and streams

static char folder[PATH_MAX], kinds[256], ignored[64];
static size_t folder_length;
static long at;
static int error, short_write, onwards, record_file = -1;
static long *counter;

// ---- what is watched ------------------------------------------------------------------------------------------------

// Of each descriptor the path it was opened by, and which file that was: the number may have been closed unseen.
static struct { char *path; dev_t device; ino_t inode; } files[MOST];
static struct { FILE *stream; int fd; } streams[MOST];

static int below(const char *path) {
  return folder_length && !strncmp(path, folder, folder_length) && (path[folder_length] == '/' || !path[folder_length]);
}

// The absolute path, by name alone: . and doubled slashes left out. Returns whether it is below the folder.
static int absolute(int at_fd, const char *path, char *out) {
  char whole[2 * PATH_MAX], link[32];
  ssize_t n = 0;
  if (!folder_length || !path) return 0;
  if (*path != '/') {
    snprintf(link, sizeof link, "/proc/self/fd/%d", at_fd);
    n = readlink(at_fd == AT_FDCWD ? "/proc/self/cwd" : link, whole, PATH_MAX);
    if (n < 0) return 0;
  }
  snprintf(whole + n, sizeof whole - (size_t)n, "/%s", path);
  size_t length = 0;
  for (char *rest = whole, *part; (part = strsep(&rest, "/"));)
    if (*part && strcmp(part, ".")) length += (size_t)snprintf(out + length, PATH_MAX - length, "/%s", part);
  return below(out);
}

static const char *watched(int fd) {
  struct stat s;
  if (fd < 0 || fd >= MOST || !files[fd].path) return NULL;
  return !fstat(fd, &s) && s.st_dev == files[fd].device && s.st_ino == files[fd].inode ? files[fd].path : NULL;
}

static void watch(int fd, const char *path) {
  struct stat s;
  if (fd < 0 || fd >= MOST || fstat(fd, &s)) return;
  files[fd].path = strdup(path);
  files[fd].device = s.st_dev;
  files[fd].inode = s.st_ino;
}

static unsigned long inode_of(int fd) {
  struct stat s;
  return fstat(fd, &s) ? 0 : (unsigned long)s.st_ino;
}

// ---- counting, failing, recording -----------------------------------------------------------------------------------

static int has_word(const char *words, const char *word) {
  const size_t n = strlen(word);
  for (const char *p = words; (p = strstr(p, word)); ++p)
    if ((p == words || p[-1] == ',') && (p[n] == ',' || !p[n])) return 1;
  return 0;
}

// One line: number, kind, result (0, or errno of a failure that was made here), inode, offset, length, path and, of two
// paths, the second, parted by tabs; then, of a write, `length` bytes.
static void record(long number, const char *kind, int result, unsigned long inode, long offset, long length,
                   const char *path, const char *second, const void *data) {
  char line[3 * PATH_MAX];
  if (record_file < 0) return;
  const int before = errno;
  const int n = snprintf(line, sizeof line, "%ld\t%s\t%d\t%lu\t%ld\t%ld\t%s\t%s\n", number, kind, result, inode, offset,
                         length, path, second);
  const struct iovec parts[] = {{line, (size_t)n}, {(void *)data, data ? (size_t)length : 0}};
  if (REAL(writev)(record_file, parts, 2) < n) abort();
  errno = before;
}

enum { GO, FAIL, HALF };

// Counts an operation and says whether it is to fail; then errno is set.
static int turn(const char *kind, const char *path, long *number) {
  *number = counter ? __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST) : 0;
  if (!at || *number < at || (*number > at && !onwards) || !has_word(kinds, kind)) return GO;
  const int half = short_write && *number == at && !strcmp(kind, "write");
  record(*number, kind, half ? -1 : error, 0, 0, 0, path, "", NULL);
  if (half) return HALF;
  if (short_write && !onwards) return GO;
  errno = error;
  return FAIL;
}

// ---- beginning ------------------------------------------------------------------------------------------------------

static long number_of(const char *name) { return getenv(name) ? atol(getenv(name)) : 0; }
static const char *text_of(const char *name) { return getenv(name) ? getenv(name) : ""; }

static void read_environment(void) {
  snprintf(folder, sizeof folder, "%s", text_of("FAULTS_FOLDER"));
  snprintf(kinds, sizeof kinds, "%s", text_of("FAULTS_KINDS"));
  snprintf(ignored, sizeof ignored, "%s", text_of("FAULTS_IGNORE"));
  at = number_of("FAULTS_AT");
  error = (int)number_of("FAULTS_ERROR");
  short_write = (int)number_of("FAULTS_SHORT");
  onwards = (int)number_of("FAULTS_ONWARDS");
  if (*text_of("FAULTS_RECORD"))
    record_file = REAL(open)(text_of("FAULTS_RECORD"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  const int file = REAL(open)(text_of("FAULTS_COUNTER"), O_RDWR | O_CLOEXEC);
  if (file >= 0) {
    void *mapped = REAL(mmap)(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    counter = mapped == MAP_FAILED ? NULL : mapped;
    REAL(close)(file);
  }
  folder_length = strlen(folder);
  char link[32], path[PATH_MAX];
  for (int fd = 0; fd < 3; ++fd) {  // given by whoever started the program
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) continue;
    path[n] = 0;
    if (below(path)) watch(fd, path);
  }
}
