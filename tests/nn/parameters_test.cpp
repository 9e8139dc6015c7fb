// Protects the flat buffer's layout, the distributions parameters start from, and that a wrong file changes nothing.
#include <meander/nn/parameters.h>

#include <doctest/doctest.h>

#include <cmath>

#include "../folder.h"
#include <meander/kernels/error.h>
#include <meander/nn/mlp.h>

using namespace meander;

TEST_CASE("names, shapes and places") {
  ParameterLayout layout;
  const kernels::MlpShape shape = add_mlp(layout, 5, {8, 2}, 3);
  CHECK(layout.size() == (5 * 8 + 8 + 8 + 8) + (8 * 8 + 8 + 8 + 8) + (8 * 3 + 3));
  CHECK(layout.entries()[0].name == "dense_0/kernel");
  CHECK(layout.entries()[2].name == "norm_0/scale");
  CHECK(shape.weight[1] == 5 * 8 + 3 * 8);
  CHECK(shape.width[3] == 3);
  CHECK_THROWS_AS(add_mlp(layout, 5, {8, 9}, 3), Error);
}

TEST_CASE("initial values") {
  ParameterLayout layout;
  const int64_t kernel = layout.add("kernel", {100, 200}, Initial::xavier_uniform);
  const int64_t frequency = layout.add("freq", {5000, 1}, Initial::frequency);
  const int64_t bias = layout.add("bias", {3}, Initial::zero), scale = layout.add("scale", {3}, Initial::one);
  Buffer flat(layout.size());
  layout.initialise(flat, Stream(1, Purpose::test, 0));
  const auto moments = [&](int64_t first, int64_t n) {
    double sum = 0, square = 0, most = 0;
    for (int64_t i = first; i < first + n; ++i) {
      const double x = flat.data()[i];
      sum += x, square += x * x, most = std::max(most, std::abs(x));
    }
    return std::array{sum / double(n), std::sqrt(square / double(n)), most};
  };
  const double bound = std::sqrt(6.0 / 300);
  const auto [k_mean, k_deviation, k_most] = moments(kernel, 20000);
  // A uniform's deviation is bound / sqrt 3; four standard errors of 20,000 draws are under 2 %.
  CHECK(std::abs(k_mean) < 4 * bound / std::sqrt(3 * 20000.0));
  CHECK(k_deviation == doctest::Approx(bound / std::sqrt(3)).epsilon(0.02));
  CHECK(k_most <= bound);
  CHECK(k_most > 0.99 * bound);
  CHECK(moments(frequency, 5000)[1] == doctest::Approx(0.2).epsilon(0.04));
  for (int i = 0; i < 3; ++i) {
    CHECK(flat.data()[bias + i] == 0);
    CHECK(flat.data()[scale + i] == 1);
  }
}

TEST_CASE("files: round trip, and a wrong shape changes nothing") {
  ParameterLayout layout, wider;
  add_mlp(layout, 5, {8, 1}, 3);
  add_mlp(wider, 5, {9, 1}, 3);
  Buffer flat(layout.size()), back(layout.size()), other(wider.size());
  layout.initialise(flat, Stream(1, Purpose::test, 0));
  const Folder folder;
  const std::string path = folder.file("net.safetensors");
  SafetensorsWriter writer;
  layout.save(writer, "net/", flat.data());
  writer.write(path);
  const SafetensorsFile file(path);
  layout.load(file, "net/", back.data());
  CHECK(std::equal(flat.data(), flat.data() + flat.size(), back.data()));
  CHECK_THROWS_AS(wider.load(file, "net/", other.data()), Error);
  CHECK(std::all_of(other.data(), other.data() + other.size(), [](float x) { return x == 0; }));
  CHECK_THROWS_AS(layout.load(file, "another/", back.data()), Error);
}
