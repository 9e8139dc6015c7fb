#pragma once

#include <cstdio>
#include <string>
#include <vector>

namespace meander {

// How far something is: one line that changes on a terminal, and lines one after another where there is none, or none
// that can (TERM=dumb).
class StatusLine {
 public:
  explicit StatusLine(std::FILE* stream = stdout);
  ~StatusLine() { clear(); }
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  bool changes() const { return changes_; }
  // Shows the parts, joined by ", ". A line that changes takes as many of them, from the first, as fit the terminal's
  // width of this moment, so that it never wraps: what has wrapped cannot be taken back.
  void show(const std::vector<std::string>& parts);
  // Takes the line away, for another text to be written there.
  void clear();

 private:
  void write(const std::string& text);

  std::FILE* stream_;
  bool changes_, open_ = false;
};

// As many of the parts as fit `width` columns, joined by ", "; of the first one as much as fits.
std::string fitted(const std::vector<std::string>& parts, size_t width);

}  // namespace meander
