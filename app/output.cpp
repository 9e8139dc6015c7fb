#include <meander/app/output.h>

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>

namespace meander {

namespace {

std::atomic<bool> output_was_closed = false, complaint_was_made = false;
std::atomic<int> first_error = 0;

void remember(int error) {
  int none = 0;
  first_error.compare_exchange_strong(none, error);
}

}  // namespace

void fill_standard_descriptors() {
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(standard, F_GETFD) >= 0 || errno != EBADF) continue;
    if (standard == STDOUT_FILENO) output_was_closed = true;
    // The lowest free descriptor is this one. A folder takes the place where there is no /dev/null.
    if (open("/dev/null", O_RDWR) < 0) open("/", O_RDONLY);
  }
}

bool standard_output_was_closed() { return output_was_closed; }

void write_output(std::string_view bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) != bytes.size()) remember(errno);
}

void flush_output() {
  if (std::fflush(stdout) != 0) remember(errno);
}

int output_error() { return first_error; }

void print_lines(std::string_view text) {
  for (size_t end; (end = text.find('\n')) != text.npos; text.remove_prefix(end + 1))
    write_output(shown(text.substr(0, end)) + "\n");
  write_output(shown(text));
}

void write_error(std::string_view bytes) {
  flush_output();
  std::fwrite(bytes.data(), 1, bytes.size(), stderr);
}

void complain(const std::string& what) {
  warn("meander: {}\n", what);
  complaint_was_made = true;
}

bool has_complained() { return complaint_was_made; }

}  // namespace meander
