#pragma once

#include <map>
#include <memory>
#include <string>

#include <meander/envs/environments.h>

namespace meander {

// Each environment's name and what makes it.
using Registry = std::map<std::string, EnvironmentMaker>;

template <class E>
std::unique_ptr<Environment> make(const std::string& name) {
  return std::make_unique<E>(name);
}

}  // namespace meander
