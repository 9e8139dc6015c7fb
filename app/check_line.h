#pragma once

#include <string>

namespace meander {

// One quantity of a verified file: the largest relative error over the whole file, and what is allowed.
struct CheckLine {
  std::string quantity;
  double error = 0;      // not a number or infinite: the two cannot be compared
  double tolerance = 0;  // 0: equal bit for bit
  std::string note;      // where the largest error is, or what the tolerance rests on; may be empty

  bool ok() const { return error <= tolerance; }
};

}  // namespace meander
