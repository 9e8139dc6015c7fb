#pragma once

#include <map>
#include <memory>
#include <string>

#include <meander/core/environment.h>

namespace meander {

// Each environment's name and the function that makes it; the name is passed because versions share a function.
using Registry = std::map<std::string, std::unique_ptr<Environment> (*)(const std::string& name)>;

template <class E>
std::unique_ptr<Environment> make(const std::string& name) {
  return std::make_unique<E>(name);
}

}  // namespace meander
