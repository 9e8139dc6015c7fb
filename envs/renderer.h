#pragma once

#include <memory>
#include <span>
#include <string>

#include <meander/core/environment.h>

namespace meander {

// Pictures of what goes on in an environment, drawn off the screen by MuJoCo's own renderer. Drawing changes nothing of
// the simulation: it works on a copy of the state. To be made, used and destroyed on one thread, one at a time; the
// environment must live as long.
class Renderer {
 public:
  // In pixels. `camera`: the name or number of a camera of the model, or "free", which stands still and sees all that
  // is there now; empty: the first that follows the robot, else the first, else the free one. Throws Error if the
  // environment is not one of MuJoCo's or has no such camera; Failure if the machine cannot draw pictures, or none of
  // this size.
  Renderer(const Environment& environment, int width, int height, const std::string& camera = {});
  ~Renderer();

  // The environment as it is now: rows from the top, 3 bytes a pixel. Valid until the next call.
  std::span<const unsigned char> draw();
  double interval() const;  // seconds between two steps

 private:
  struct Stage;
  std::unique_ptr<Stage> stage_;
};

}  // namespace meander
