// Resets against the packages': many of each Gymnasium and dm_control task beside the 10,000 that its package drew
// (tests/data/resets/record.py), component by component and pair by pair. The generators differ, so it is
// distributions that are compared; dm_control's resets from a seed are held bit for bit by the goldens.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "available.h"
#include <meander/core/safetensors.h>
#include <meander/envs/environments.h>
#include <meander/envs/mujoco.h>
#include <meander/envs/pendulum.h>
#include <meander/kernels/threads.h>

using namespace meander;

namespace {

constexpr int resets_of_each = MEANDER_FEW_CASES ? 500 : 10000;  // the bounds follow the number

using Columns = std::vector<std::vector<double>>;  // [component][reset]

// What the package's resets of a task were like.
struct Recorded {
  int64_t resets;
  std::span<const int32_t> ranks;       // [Q], of the order statistics that were kept
  std::span<const double> constants;    // [N], NaN where a component varies
  std::span<const int32_t> varying;     // [C]
  std::span<const double> order;        // [C, Q]
  std::span<const double> covariance;   // [C, C]

  std::span<const double> ordered(size_t varied) const {
    return order.subspan(varied * ranks.size(), ranks.size());
  }
};

Recorded recorded(const SafetensorsFile& file, const std::string& task) {
  std::string known = task;  // the package's v3 needs MuJoCo 2.1; it resets as v4 does
  if (known.ends_with("-v3")) known.back() = '4';
  const std::string entry = file.metadata(known) + "/";
  return {.resets = std::stoi(file.metadata("resets")),
          .ranks = file.values<int32_t>("ranks"),
          .constants = file.values<double>(entry + "constants"),
          .varying = file.values<int32_t>(entry + "varying"),
          .order = file.values<double>(entry + "order"),
          .covariance = file.values<double>(entry + "covariance")};
}

std::vector<double> state_of(const Environment& environment) {
  if (const auto* pendulum = dynamic_cast<const Pendulum*>(&environment)) {
    std::vector<double> state = pendulum->save();
    state.resize(2);  // angle and velocity
    return state;
  }
  const auto& mujoco = dynamic_cast<const MujocoEnvironment&>(environment);
  std::vector<double> state;
  for (const auto part : {mujoco.positions(), mujoco.velocities(), mujoco.activations()})
    state.insert(state.end(), part.begin(), part.end());
  return state;
}

// Four environments with a stream each draw a quarter, so that any number of threads draws the same.
Columns draw(const std::string& task, int resets) {
  constexpr int parts = 4;
  std::vector<std::unique_ptr<Environment>> environments;
  for (int part = 0; part < parts; ++part) environments.push_back(make_environment(task));
  Columns columns(state_of(*environments[0]).size(), std::vector<double>(static_cast<size_t>(resets)));
  kernels::parallel_for(parts, 1, [&](int64_t first, int64_t last) {
    for (int64_t part = first; part < last; ++part) {
      Environment& environment = *environments[static_cast<size_t>(part)];
      Stream random(11, Purpose::test, static_cast<uint64_t>(part));
      for (int64_t i = part * resets / parts; i < (part + 1) * resets / parts; ++i) {
        environment.reset(random);
        const std::vector<double> state = state_of(environment);
        for (size_t c = 0; c < state.size(); ++c) columns[c][static_cast<size_t>(i)] = state[c];
      }
    }
  });
  return columns;
}

// ---- the comparison ------------------------------------------------------------------------------------------------

// Each bound below is passed by a right component but once in a million: about 800 components are compared, so one run
// in some hundreds would fail by chance. The streams are fixed: a pass stays a pass.
constexpr double chance = 1e-6;
// Of n resets beside N of the package, the two-sample Kolmogorov-Smirnov distance is above this with that chance,
// 2 exp(-2 d^2 n N / (n + N)) = chance (for n = N >= 458 a proven bound: Wei and Dudley 2012; else the limit's).
double critical_distance(double n, double N) { return std::sqrt(-std::log(chance / 2) / 2 * (n + N) / (n * N)); }
// Deviations that a mean may be off. A normal is once in 500 million; products of components have heavier tails, and
// there are 14,000 pairs.
constexpr double critical_deviations = 6;

// The largest difference of the two distribution functions at the values that were kept. In between the package's rises
// by the .002 from one kept rank to the next, so the distance over all values is at most that much larger, never smaller:
// the chance of a false alarm stays below the stated one.
double distance(std::span<const double> sorted, std::span<const double> kept, const Recorded& package) {
  double worst = 0;
  for (size_t i = 0; i < kept.size(); ++i) {
    const auto below = std::upper_bound(sorted.begin(), sorted.end(), kept[i]) - sorted.begin();
    worst = std::max(worst, std::abs(static_cast<double>(below) / static_cast<double>(sorted.size()) -
                                     (package.ranks[i] + 1) / static_cast<double>(package.resets)));
  }
  return worst;
}

// Whether neither sample goes far beyond the other's ends. If both have one distribution, the k outermost of n + N values
// are all of the first sample with probability (n / (n + N))^k at most. This is sharp where a range ends abruptly, and
// there the distance is not.
bool same_ends(std::span<const double> sorted, std::span<const double> kept, const Recorded& package) {
  const double n = static_cast<double>(sorted.size()), N = static_cast<double>(package.resets);
  const auto most = static_cast<size_t>(std::log(chance / 2) / std::log(n / (n + N))) + 1;  // of ours beyond an end
  if (sorted[most] < kept.front() || sorted[sorted.size() - 1 - most] > kept.back()) return false;
  const double most_of_theirs = std::log(chance / 2) / std::log(N / (n + N));
  size_t in = 0;
  while (package.ranks[in] < most_of_theirs) ++in;
  const auto from_end = [&](size_t i) { return package.resets - 1 - package.ranks[i]; };
  size_t in_from_end = kept.size() - 1;
  while (from_end(in_from_end) < most_of_theirs) --in_from_end;
  return sorted.front() < kept[in] && sorted.back() > kept[in_from_end];
}

struct Difference {
  double distance = 0;    // the largest, in units of the critical one
  double deviations = 0;  // of a covariance (or variance), the largest, in units of the critical number
  bool constants = true;  // what never varies is equal
  bool ends = true;       // no component goes beyond the package's ends, nor ends before them
  std::string where = ""; // for people

  bool passes() const { return distance < 1 && deviations < 1 && constants && ends; }
};

Difference compare(const Columns& ours, const Recorded& package) {
  Difference found;
  for (size_t i = 0; i < ours.size(); ++i)
    if (!std::isnan(package.constants[i]) &&
        !std::ranges::all_of(ours[i], [&](double x) { return x == package.constants[i]; })) {
      found.constants = false;
      found.where += message(" constant ", i);
    }
  const double n = static_cast<double>(ours[0].size()), N = static_cast<double>(package.resets);
  const size_t varying = package.varying.size();
  Columns centred;
  for (size_t v = 0; v < varying; ++v) {
    const int32_t component = package.varying[v];
    std::vector<double> x = ours[static_cast<size_t>(component)];
    std::ranges::sort(x);
    const double d = distance(x, package.ordered(v), package) / critical_distance(n, N);
    found.distance = std::max(found.distance, d);
    const bool ends = same_ends(x, package.ordered(v), package);
    found.ends = found.ends && ends;
    if (d >= 1 || !ends) found.where += message(" component ", component);
    double mean = 0;
    for (const double value : x) mean += value / n;
    centred.push_back(ours[static_cast<size_t>(component)]);
    for (double& value : centred.back()) value -= mean;
  }
  for (size_t v = 0; v < varying; ++v)
    for (size_t w = 0; w <= v; ++w) {
      double sum = 0, squares = 0;
      for (size_t i = 0; i < centred[v].size(); ++i) {
        const double product = centred[v][i] * centred[w][i];
        sum += product;
        squares += product * product;
      }
      const double variance = squares / n - sum / n * (sum / n);  // of one product; the package's has the same
      const double off = std::abs(sum / n - package.covariance[v * varying + w]);
      const double deviations = off / std::sqrt(variance * (1 / n + 1 / N)) / critical_deviations;
      found.deviations = std::max(found.deviations, deviations);
      if (deviations >= 1) found.where += message(" pair ", package.varying[v], " ", package.varying[w]);
    }
  return found;
}

const SafetensorsFile& recording() {
  static const SafetensorsFile file(MEANDER_TEST_DATA "/resets/resets.safetensors");
  return file;
}

}  // namespace

TEST_CASE("resets are distributed as the packages'") {
  for (const std::string& task : available_environments()) {
    if (ogbench_cube_info(task) || robomimic_info(task)) continue;  // in tests of their own
    CAPTURE(task);
    const Recorded package = recorded(recording(), task);
    const Columns ours = draw(task, resets_of_each);
    REQUIRE(ours.size() == package.constants.size());
    const Difference found = compare(ours, package);
    CAPTURE(found.where);
    CHECK(found.distance < 1);
    CHECK(found.ends);
    CHECK(found.deviations < 1);
    CHECK(found.constants);
  }
}

// That the comparison is worth something: mistakes made on purpose in samples that pass.
TEST_CASE("resets that are off by a tenth, swapped or unrelated are found") {
  const Recorded cheetah = recorded(recording(), "HalfCheetah-v4");
  const Columns right = draw("HalfCheetah-v4", 10000);
  REQUIRE(compare(right, cheetah).passes());
  // Components 0 to 8 are uniform, 9 to 17 normal. A range off by a tenth shows at its ends, and as a distance if it is
  // too wide (.045 of .038); a normal's only in the variance.
  for (const double factor : {0.9, 1.1})
    for (const size_t component : {size_t{0}, size_t{8}, size_t{9}, size_t{17}}) {
      CAPTURE(factor);
      CAPTURE(component);
      Columns wrong = right;
      for (double& x : wrong[component]) x *= factor;
      const Difference found = compare(wrong, cheetah);
      CHECK_FALSE(found.passes());
      CHECK(found.deviations > 1);
      if (component < 9) CHECK_FALSE(found.ends);
    }
  for (const double shift : {-0.01, 0.01}) {  // a twentieth of the range
    Columns wrong = right;
    for (double& x : wrong[3]) x += shift;
    CHECK(compare(wrong, cheetah).distance > 1);
  }
  Columns swapped = right;
  std::swap(swapped[4], swapped[12]);
  CHECK(compare(swapped, cheetah).distance > 1);
  Columns related = right;
  related[6] = related[5];  // two components from one draw
  CHECK(compare(related, cheetah).distance < 1);
  CHECK(compare(related, cheetah).deviations > 1);

  const Recorded reacher = recorded(recording(), "Reacher-v4");
  Columns target = draw("Reacher-v4", 10000);
  REQUIRE(compare(target, reacher).passes());
  std::swap(target[0], target[2]);  // an arm's angle and the target's place
  CHECK(compare(target, reacher).distance > 1);
  std::swap(target[0], target[2]);
  target[7][17] = 1e-300;  // the target never moves
  CHECK_FALSE(compare(target, reacher).constants);
}
