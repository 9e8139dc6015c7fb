#pragma once

#include <functional>

namespace meander {

// An OpenGL context that draws into memory, current on the thread that made it until it is destroyed. By EGL, on a
// graphics card or on Mesa's software renderer, else by OSMesa; neither needs a display. The libraries are looked for
// when this is made, so that a program which draws nothing does without them.
class GlContext {
 public:
  // Throws Failure, with the remedy, if neither gives a context.
  GlContext();
  ~GlContext() { release_(); }
  GlContext(const GlContext&) = delete;
  GlContext& operator=(const GlContext&) = delete;

 private:
  std::function<void()> release_;
};

}  // namespace meander
