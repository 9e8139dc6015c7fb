#pragma once

#include <cstddef>
#include <vector>

#include <meander/kernels/accesses.h>

namespace meander::kernels {

// Which calls of a sequence must wait for which, so that any order that keeps to it gives the same memory as one after
// the other: a call waits for those before it that wrote what it touches or touched what it writes.
class Dependencies {
 public:
  // Adds the next call; the numbers, from 0, of those it waits for, without any that another of them waits for already.
  // Valid until the next.
  const std::vector<size_t>& add(const Accesses&);

 private:
  struct Call {
    Accesses accesses;
    std::vector<bool> before;   // all that are done when it begins
  };
  std::vector<Call> calls_;
  std::vector<size_t> direct_;
};

}  // namespace meander::kernels
