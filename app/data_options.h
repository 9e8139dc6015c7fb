#pragma once

#include <cstdint>
#include <string>

namespace meander {

// What is wanted of a data file.
struct DataOptions {
  std::string filter;            // robomimic's layout: the demonstrations that mask/FILTER lists; empty: all
  std::string observation_keys;  // "a,b": where observations are several arrays, these, in this order
  int64_t episodes = 0;          // the first so many (robomimic: demonstrations); 0: all
  bool clip_actions = false;     // those beyond [-1, 1], instead of refusing them
};

}  // namespace meander
