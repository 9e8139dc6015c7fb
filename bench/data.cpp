#include "bench/data.h"

#include <algorithm>

#include <meander/kernels/error.h>
#include <meander/kernels/philox.h>

namespace meander::bench {

std::vector<float> Data::read_or_draw(const std::string& name, int64_t size) const {
  std::vector<float> x(static_cast<size_t>(size));
  if (file_) {
    const auto values = file_->values<float>(name);
    if (static_cast<int64_t>(values.size()) < size)
      throw Error(message(file_->path(), ": ", name, " has ", values.size(), " numbers, ", size, " are needed"));
    std::copy_n(values.begin(), size, x.data());
    return x;
  }
  uint32_t purpose = 0;  // a stream for each name
  for (const char letter : name) purpose = 31 * purpose + static_cast<unsigned char>(letter);
  kernels::philox_normal({.seed = 1, .purpose = purpose}, nullptr, size, x.data());
  return x;
}

}  // namespace meander::bench
