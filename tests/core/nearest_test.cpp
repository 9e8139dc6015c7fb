#include <meander/core/nearest.h>

#include <doctest/doctest.h>

using meander::did_you_mean;
using meander::nearest_name;

// The words behind "did you mean": a slip of each kind finds its name, a stranger finds none.
TEST_CASE("nearest names by edit distance") {
  const std::vector<std::string> known = {"HalfCheetah-v4", "HalfCheetah-v5", "Hopper-v4", "Pendulum-v1"};
  CHECK(nearest_name("Hoper-v4", known) == "Hopper-v4");
  CHECK(nearest_name("Hoppper-v4", known) == "Hopper-v4");
  CHECK(nearest_name("Hpoper-v4", known) == "Hopper-v4");
  CHECK(nearest_name("hopper-v4", known) == "Hopper-v4");
  CHECK(nearest_name("HALFCHEETAH-V5", known) == "HalfCheetah-v5");
  CHECK(nearest_name("Pendulum", known) == "Pendulum-v1");
  CHECK(nearest_name("HalfCheetah-v2", known) == "HalfCheetah-v4, HalfCheetah-v5");  // both are one letter away
  CHECK(nearest_name("Foo", known) == "");
  CHECK(nearest_name("", known) == "");
  CHECK(nearest_name("Hopper-v4", {}) == "");
  CHECK(nearest_name("bathc", {"batch", "bath_size", "gamma"}) == "batch");  // two neighbours swapped are one slip
}

// A swap costs what one wrong letter does: both names are as near.
TEST_CASE("two neighbours swapped are one slip, wherever they stand") {
  CHECK(nearest_name("abdc", {"abcd", "abdx"}) == "abcd, abdx");
  CHECK(nearest_name("badc", {"abdc", "xadc"}) == "abdc, xadc");
}

// The beginning of a name counts where the whole is far, from three letters on.
TEST_CASE("did you mean") {
  CHECK(did_you_mean("bathc_size", {"batch_size", "discount"}) == "; did you mean batch_size?");
  CHECK(did_you_mean("bathc", {"discount", "batch_size"}) == "; did you mean batch_size?");
  CHECK(did_you_mean("bat", {"discount", "batch_size"}) == "; did you mean batch_size?");
  CHECK(did_you_mean("ba", {"discount", "batch_size"}) == "");
  CHECK(did_you_mean("xyz", {"discount", "batch_size"}) == "");
}
