#pragma once

#include <memory>
#include <span>
#include <string>

namespace meander {

// A PNG file's bytes; `picture` as Film wants it.
std::string png(std::span<const unsigned char> picture, int width, int height);

// Pictures one after another, written beside their place and put there by finish. What was not finished is removed.
class Film {
 public:
  virtual ~Film() = default;
  // Rows from the top, 3 bytes a pixel. Throws Failure.
  virtual void add(std::span<const unsigned char> picture) = 0;
  virtual void finish() = 0;
};

// An MP4 file (H.264, yuv420p) by the program ffmpeg. Throws ProgramMissing without it.
std::unique_ptr<Film> make_video(const std::string& path, int width, int height, double frames_per_second);
// A folder of files 00000.png, 00001.png, ... Throws Error if there is something of this name, save an empty folder.
std::unique_ptr<Film> make_picture_folder(const std::string& path, int width, int height);

}  // namespace meander
