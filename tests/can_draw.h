#pragma once

#include <doctest/doctest.h>

#include <meander/kernels/error.h>
#include <meander/envs/gl_context.h>

namespace meander {

// Whether tests can draw pictures on this machine; if not it says why.
inline bool can_draw() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  MESSAGE("skipped: drivers of OpenGL keep memory and threads that the sanitizers would report");
  return false;
#else
  try {
    GlContext();
    return true;
  } catch (const Failure& failure) {
    MESSAGE("skipped: ", failure.what());
    return false;
  }
#endif
}

}  // namespace meander
