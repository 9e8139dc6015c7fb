#include <meander/app/status_line.h>

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <limits>
#include <string_view>

#include <meander/app/output.h>

namespace meander {

namespace {

bool can_change(std::FILE* stream) {
  const char* const term = std::getenv("TERM");
  return isatty(fileno(stream)) && term && *term && std::string_view(term) != "dumb";
}

// Columns; 80 where the terminal does not know.
size_t width_of(std::FILE* stream) {
  winsize size = {};
  return ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

StatusLine::StatusLine(std::FILE* stream) : stream_(stream), changes_(can_change(stream)) {}

void StatusLine::show(const std::vector<std::string>& parts) {
  clear();
  // In the last column the cursor may be on the next line already.
  const size_t width = changes_ ? width_of(stream_) - 1 : std::numeric_limits<size_t>::max();
  write(shown(fitted(parts, width)) + (changes_ ? "" : "\n"));
  open_ = changes_;
  flush_output();
}

void StatusLine::clear() {
  if (open_) write("\r\033[K");
  open_ = false;
  flush_output();
}

void StatusLine::write(const std::string& text) {
  if (stream_ == stdout) write_output(text);
  else if (stream_ == stderr) write_error(text);
  else std::fwrite(text.data(), 1, text.size(), stream_), std::fflush(stream_);
}

std::string fitted(const std::vector<std::string>& parts, size_t width) {
  std::string line;
  for (const std::string& part : parts) {
    if (line.empty()) line = part.substr(0, width);
    else if (line.size() + 2 + part.size() > width) break;
    else line += ", " + part;
  }
  return line;
}

}  // namespace meander
