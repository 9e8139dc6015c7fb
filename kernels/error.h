#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace meander {

// Bad input: a wrong shape, file, name or number. The text says what was expected, what came and where,
// in one line; the command prints it and exits with 2.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A failure while running that is not the caller's mistake (disk full, NaN in a loss); the command exits with 1.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The parts written one after another: message("row ", 3) == "row 3".
template <class... Parts>
std::string message(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

}  // namespace meander
