#pragma once

#include <meander/algos/settings.h>

namespace meander {

// For an algorithm's own source alone, which instantiates this for its settings:
//   template std::unique_ptr<AlgorithmSettings> settings_of<MvpSettings>();
template <class Settings>
std::unique_ptr<AlgorithmSettings> settings_of() {
  return std::make_unique<Settings>();
}

}  // namespace meander
