// meander-hdf5 read FILE | write FILE: the only program that is linked with libhdf5, whose parser has read out of
// bounds more than once. It speaks as protocol.h says, with the command alone.

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <meander/app/hdf5/common.h>

namespace meander::hdf5 {

namespace {

char output[1 << 16], input[1 << 16];
size_t filled = 0, begin = 0, end = 0;  // of these

void write_all(const char* from, size_t bytes) {
  while (bytes > 0) {
    const ssize_t n = write(STDOUT_FILENO, from, bytes);
    if (n < 0 && errno != EINTR) _exit(1);
    if (n > 0) from += n, bytes -= static_cast<size_t>(n);
  }
}

herr_t innermost(unsigned, const H5E_error2_t* error, void* text) {
  if (error->desc) static_cast<std::string*>(text)->assign(error->desc);
  return 1;  // no more
}

}  // namespace

void fail(const std::string& what) {
  flush();
  std::fprintf(stderr, "%s\n", what.c_str());
  _exit(1);
}

void fail_by_library(const std::string& what) {
  std::string reason;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, &reason);
  fail(reason.empty() ? what : what + ": " + reason);
}

bool take(void* to, size_t bytes) {
  char* at = static_cast<char*>(to);
  for (size_t done = 0; done < bytes;) {
    if (begin == end) {
      flush();  // nobody is to wait for what we have while we wait
      const ssize_t n = read(STDIN_FILENO, input, sizeof input);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0 && done == 0) return false;
      if (n <= 0) fail("the input has ended too early");
      begin = 0, end = static_cast<size_t>(n);
    }
    const size_t piece = std::min(bytes - done, end - begin);
    std::memcpy(at + done, input + begin, piece);
    begin += piece, done += piece;
  }
  return true;
}

void put(const void* from, size_t bytes) {
  if (bytes > sizeof output - filled) flush();
  if (bytes > sizeof output) return write_all(static_cast<const char*>(from), bytes);
  std::memcpy(output + filled, from, bytes);
  filled += bytes;
}

void flush() { write_all(output, std::exchange(filled, 0)); }

std::string take_text(uint32_t length) {
  if (length > longest_text) fail("a text of " + std::to_string(length) + " bytes");
  std::string text(length, '\0');
  if (length > 0 && !take(text.data(), length)) fail("the input has ended too early");
  return text;
}

void put_text(const std::string& text) {
  if (text.size() > longest_text) fail("a text of more than " + std::to_string(longest_text) + " bytes");
  put(static_cast<uint32_t>(text.size()));
  put(text.data(), text.size());
}

}  // namespace meander::hdf5

int main(int argc, char** argv) {
  using namespace meander::hdf5;
  const std::string verb = argc == 3 ? argv[1] : "";
  if (verb != "read" && verb != "write") fail("usage: meander-hdf5 read|write FILE, which meander starts");
  // No plugins, no other ways to files than plain reading, and no lock, which network disks refuse.
  clearenv();
  setenv("HDF5_PLUGIN_PRELOAD", "::", 1);
  setenv("HDF5_USE_FILE_LOCKING", "FALSE", 1);
  if (H5open() < 0 || H5PLset_loading_state(0) < 0) fail("libhdf5 does not start");
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  verb == "read" ? read_file(argv[2]) : write_file(argv[2]);
  flush();
  _exit(0);  // what of the file is still open is nobody's
}
