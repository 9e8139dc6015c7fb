// Protects videos and pictures from appearing by halves.
#include <meander/app/film.h>

#include <doctest/doctest.h>
#include <png.h>

#include <cstdlib>
#include <filesystem>
#include <vector>

#include "../folder.h"
#include <meander/app/child_process.h>
#include <meander/kernels/error.h>

using namespace meander;
namespace fs = std::filesystem;

namespace {

constexpr int width = 30, height = 21;

std::vector<unsigned char> gradient() {
  std::vector<unsigned char> picture;
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (const int value : {8 * x, 12 * y, x * y % 256}) picture.push_back(static_cast<unsigned char>(value));
  return picture;
}

// The folder of a test is where programs are looked for.
struct Path {
  explicit Path(const std::string& only) { setenv("PATH", only.c_str(), 1); }
  ~Path() { setenv("PATH", before.c_str(), 1); }
  std::string before = std::getenv("PATH");
};

}  // namespace

TEST_CASE("a PNG file holds the picture") {
  const std::vector<unsigned char> picture = gradient();
  const std::string bytes = png(picture, width, height);
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  REQUIRE(png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()));
  CHECK(image.width == width);
  CHECK(image.height == height);
  image.format = PNG_FORMAT_RGB;
  std::vector<unsigned char> read(PNG_IMAGE_SIZE(image));
  REQUIRE(png_image_finish_read(&image, nullptr, read.data(), 0, nullptr));
  CHECK(read == picture);
}

TEST_CASE("a folder of pictures is there when it is whole") {
  Folder folder;
  const std::string path = folder.file("a");
  make_picture_folder(path, width, height)->add(gradient());
  CHECK(folder.files() == 0);
  {
    const auto film = make_picture_folder(path, width, height);
    for (int i = 0; i < 3; ++i) film->add(gradient());
    CHECK(!fs::exists(path));
    film->finish();
  }
  CHECK(folder.files() == 1);
  for (const char* name : {"/00000.png", "/00001.png", "/00002.png"})
    CHECK(read_text(path + name) == png(gradient(), width, height));
  CHECK_THROWS_WITH_AS(make_picture_folder(path, width, height), doctest::Contains("already"), Error);
  CHECK_THROWS_WITH_AS(make_picture_folder(path + "/b/c", width, height), doctest::Contains("no folder"), Error);
}

TEST_CASE("a video by ffmpeg, if it is there") {
  if (std::system("ffmpeg -version >/dev/null 2>&1") != 0) {
    MESSAGE("skipped: no ffmpeg");
    return;
  }
  Folder folder;
  const std::string path = folder.file("a b:c.mp4");
  const auto record = [&] {
    auto film = make_video(path, width, height, 1 / 0.015);
    for (int i = 0; i < 5; ++i) film->add(gradient());
    return film;
  };
  record();
  CHECK(folder.files() == 0);
  record()->finish();
  CHECK(folder.files() == 1);
  CHECK(read_text(path).substr(4, 4) == "ftyp");
}

TEST_CASE("a video without ffmpeg, or with one that fails") {
  Folder folder;
  const std::string path = folder.file("a.mp4");
  CHECK_THROWS_WITH_AS(make_video(folder.file("none/a.mp4"), width, height, 30), doctest::Contains("no folder"), Error);
  const Path only(folder.path());
  CHECK_THROWS_AS(make_video(path, width, height, 30), ProgramMissing);
  write_text(folder.file("ffmpeg"), "#!/bin/sh\necho 'no such encoder' >&2\nexit 1\n");
  fs::permissions(folder.file("ffmpeg"), fs::perms::owner_all);
  const auto film = make_video(path, width, height, 30);
  const std::string complaint = "ffmpeg cannot write " + path + ": no such encoder";
  CHECK_THROWS_WITH_AS(
      {
        film->add(gradient());
        film->finish();
      },
      complaint.c_str(), Failure);
  CHECK(folder.files() == 1);
}
