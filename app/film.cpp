#include <meander/app/film.h>

#include <fmt/format.h>
#include <png.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include <meander/app/child_process.h>
#include <meander/app/files.h>
#include <meander/app/output_place.h>
#include <meander/kernels/error.h>

namespace meander {

namespace {

namespace fs = std::filesystem;

class Video final : public Film {
 public:
  Video(const std::string& path, int width, int height, double frames_per_second)
      : path_(path), partial_(free_name_beside(path)),
        ffmpeg_({"ffmpeg", "-loglevel", "error", "-y", "-f", "rawvideo", "-pixel_format", "rgb24", "-video_size",
                 fmt::format("{}x{}", width, height), "-framerate", fmt::format("{:.6f}", frames_per_second), "-i", "-",
                 "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2",  // colours are shared by squares of four
                 "-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-f", "mp4", "file:" + partial_},
                ChildProcess::fed) {}
  ~Video() override {
    if (!ffmpeg_.ended()) ffmpeg_.terminate(), ffmpeg_.wait();
    if (!partial_.empty()) std::remove(partial_.c_str());
  }

  void add(std::span<const unsigned char> picture) override {
    if (!ffmpeg_.write({reinterpret_cast<const char*>(picture.data()), picture.size()})) fail();
  }

  void finish() override {
    ffmpeg_.end_input();
    if (ffmpeg_.wait() != 0) fail();
    flush_to_disk(partial_);
    put_in_place(std::exchange(partial_, ""), path_, OutputPlace::replaced);
  }

 private:
  [[noreturn]] void fail() {
    const int status = ffmpeg_.wait();
    std::string reason = ffmpeg_.error();
    while (reason.ends_with('\n')) reason.pop_back();
    reason.erase(0, reason.rfind('\n') + 1);
    if (reason.empty()) reason = fmt::format("status {}", status);
    throw Failure(fmt::format("ffmpeg cannot write {}: {}", path_, reason));
  }

  std::string path_, partial_;
  ChildProcess ffmpeg_;
};

class PictureFolder final : public Film {
 public:
  PictureFolder(const std::string& path, int width, int height)
      : path_(path), partial_(free_name_beside(path)), width_(width), height_(height) {
    std::error_code error;
    if (!fs::create_directory(partial_, error))
      throw Failure(fmt::format("cannot write {}: {}", path, error.message()));
  }
  ~PictureFolder() override {
    std::error_code ignored;
    if (!partial_.empty()) fs::remove_all(partial_, ignored);
  }

  void add(std::span<const unsigned char> picture) override {
    try {
      replace_file(fmt::format("{}/{:05}.png", partial_, count_), png(picture, width_, height_));
    } catch (const Failure& failure) {
      if (count_ == 0) throw;
      throw Failure(fmt::format("{}; the {} before it are in {}", failure.what(), count_, std::exchange(partial_, "")));
    }
    ++count_;
  }

  void finish() override { put_in_place(std::exchange(partial_, ""), path_, OutputPlace::replaced); }

 private:
  std::string path_, partial_;
  int width_, height_;
  int64_t count_ = 0;
};

}  // namespace

std::string png(std::span<const unsigned char> picture, int width, int height) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width);
  image.height = static_cast<png_uint_32>(height);
  image.format = PNG_FORMAT_RGB;
  std::string bytes(PNG_IMAGE_PNG_SIZE_MAX(image), '\0');
  png_alloc_size_t size = bytes.size();
  if (!png_image_write_to_memory(&image, bytes.data(), &size, 0, picture.data(), 0, nullptr))
    throw Failure(fmt::format("libpng: {}", image.message));
  bytes.resize(size);
  return bytes;
}

std::unique_ptr<Film> make_video(const std::string& path, int width, int height, double frames_per_second) {
  const OutputPlace tried(path);
  return std::make_unique<Video>(path, width, height, frames_per_second);
}

std::unique_ptr<Film> make_picture_folder(const std::string& path, int width, int height) {
  std::error_code none;
  if (fs::exists(fs::symlink_status(path, none)) && !(fs::is_directory(path, none) && fs::is_empty(path, none)))
    throw Error(path + ": there is something of this name already; choose another with --out");
  expect_place_for(path);
  return std::make_unique<PictureFolder>(path, width, height);
}

}  // namespace meander
