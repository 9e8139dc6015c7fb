#include <meander/core/nearest.h>

#include <algorithm>
#include <cctype>
#include <utility>

namespace meander {
namespace {

// Twice the edit distance, so that a letter in the wrong case can count as half a mistake.
int distance(const std::string& a, const std::string& b) {
  constexpr int mistake = 2, wrong_case = 1;
  const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
  const auto replace = [&](char x, char y) { return x == y ? 0 : lower(x) == lower(y) ? wrong_case : mistake; };
  std::vector<int> two_up, up, row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = mistake * static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    two_up = std::exchange(up, std::exchange(row, std::vector<int>(b.size() + 1)));
    row[0] = mistake * static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({up[j] + mistake, row[j - 1] + mistake, up[j - 1] + replace(a[i - 1], b[j - 1])});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], two_up[j - 2] + mistake);
    }
  }
  return row[b.size()];
}

}  // namespace

std::string nearest_name(const std::string& name, const std::vector<std::string>& known) {
  // Farther than half of the name's length is a different name, not a misspelt one.
  int best = std::max<int>(2, static_cast<int>(name.size()));
  std::vector<std::string> names;
  for (const std::string& candidate : known) {
    const int d = distance(name, candidate);
    if (d < best) names.clear();
    if (d <= best) names.push_back(candidate);
    best = std::min(best, d);
  }
  std::string joined;
  for (size_t i = 0; i < std::min<size_t>(3, names.size()); ++i) joined += (i ? ", " : "") + names[i];
  return joined;
}

std::string did_you_mean(const std::string& name, const std::vector<std::string>& known) {
  std::string near = nearest_name(name, known);
  for (auto key = known.begin(); near.empty() && key != known.end(); ++key)
    if (name.size() >= 3 && !nearest_name(name, {key->substr(0, name.size())}).empty()) near = *key;
  return near.empty() ? "" : "; did you mean " + near + "?";
}

}  // namespace meander
