#include <meander/app/sweep_grid.h>

#include <algorithm>
#include <string_view>

#include <meander/core/text.h>
#include <meander/kernels/error.h>

namespace meander {

namespace {

constexpr size_t most_runs = 10'000;

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> words;
  for (size_t comma; (comma = text.find(',')) != text.npos; text.remove_prefix(comma + 1))
    words.emplace_back(text.substr(0, comma));
  words.emplace_back(text);
  return words;
}

int64_t parse_seed(std::string_view word, const std::string& text) {
  const auto seed = parse_whole(word);
  if (!seed || *seed < 0) throw Error("--seeds: expected seeds like 0..4 or 0,1,7, got '" + text + "'");
  return *seed;
}

template <class T>
void refuse_twice(const std::vector<T>& values, const std::string& what) {
  for (auto value = values.begin(); value != values.end(); ++value)
    if (std::find(values.begin(), value, *value) != value) throw Error(message(what, ": ", *value, " is there twice"));
}

}  // namespace

GridAxis parse_grid_axis(const std::string& text) {
  const Assignment assignment = parse_assignment(text);
  const std::string& key = assignment.key;
  if (key == "seed") throw Error("--set seed: a sweep takes its seeds from --seeds");
  if (key == "steps") throw Error("--set steps: a sweep takes them from --steps, the same for every run");
  if (key == "threads") throw Error("--set threads: a run of a sweep has one thread; --jobs sets how many run at once");
  if (key == "overlap") throw Error("--set overlap: changes nothing in a sweep, whose runs have one thread each");
  GridAxis axis{key, split(assignment.text)};
  for (const std::string& value : axis.values)
    if (value.empty()) throw Error("--set " + key + ": expected key=value or key=a,b,c, got '" + text + "'");
  refuse_twice(axis.values, "--set " + key);
  return axis;
}

std::vector<int64_t> parse_seeds(const std::string& text) {
  std::vector<int64_t> seeds;
  if (const size_t dots = text.find(".."); dots != text.npos) {
    const std::string_view words = text;
    const int64_t first = parse_seed(words.substr(0, dots), text), last = parse_seed(words.substr(dots + 2), text);
    if (last < first || last - first >= static_cast<int64_t>(most_runs))
      throw Error(message("--seeds: expected a range of 1 to ", most_runs, " seeds, got '", text, "'"));
    for (int64_t seed = first; seed <= last; ++seed) seeds.push_back(seed);
  } else {
    for (const std::string& word : split(text)) seeds.push_back(parse_seed(word, text));
  }
  refuse_twice(seeds, "--seeds");
  return seeds;
}

std::vector<GridRun> grid_runs(const std::vector<GridAxis>& axes, const std::vector<int64_t>& seeds) {
  std::vector<GridRun> runs(1);
  const auto multiply = [&](size_t by, auto&& extend) {
    if (runs.size() * by > most_runs) throw Error(message("a sweep of more than ", most_runs, " runs"));
    std::vector<GridRun> product;
    for (const GridRun& run : runs)
      for (size_t i = 0; i < by; ++i) extend(product.emplace_back(run), i);
    runs = std::move(product);
  };
  for (auto axis = axes.begin(); axis != axes.end(); ++axis) {
    if (std::any_of(axes.begin(), axis, [&](const GridAxis& other) { return other.key == axis->key; }))
      throw Error("--set " + axis->key + " is there twice; separate its values by commas");
    multiply(axis->values.size(), [&](GridRun& run, size_t i) {
      run.assignments.push_back({"--set", axis->key, axis->values[i]});
      if (axis->values.size() > 1) run.name += axis->key + "=" + axis->values[i] + ",";
    });
  }
  multiply(seeds.size(), [&](GridRun& run, size_t i) {
    run.seed = seeds[i];
    run.name = safe_file_name(run.name + message("s", seeds[i]));
  });
  return runs;
}

}  // namespace meander
