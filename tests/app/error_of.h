#pragma once

#include <string>

#include <meander/kernels/error.h>

namespace meander {

// What a call refuses its input with.
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "no Error";
}

}  // namespace meander
