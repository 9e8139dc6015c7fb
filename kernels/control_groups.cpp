#include <meander/kernels/control_groups.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>
#include <vector>

namespace meander::kernels {
namespace {

bool lists(const std::string& names, const std::string& name) {
  std::istringstream in(names);
  for (std::string one; std::getline(in, one, ',');)
    if (one == name) return true;
  return false;
}

// A path as /proc/self/mountinfo writes it: blanks and backslashes in octal.
std::string unescaped(const std::string& path) {
  std::string out;
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '\\' && i + 3 < path.size()) {
      out += static_cast<char>((path[i + 1] - '0') * 64 + (path[i + 2] - '0') * 8 + (path[i + 3] - '0'));
      i += 3;
    } else {
      out += path[i];
    }
  }
  return out;
}

bool within(const std::string& path, const std::string& folder) {
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

// The folders of this process's group and of those above it that can be seen, in the hierarchy of version 1 with the
// controller, or in that of version 2 if `controller` is empty.
std::vector<std::string> folders(const std::string& root, const std::string& controller) {
  std::string group;
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // number:controllers:path
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (controller.empty() ? controllers.empty() : lists(controllers, controller)) group = line.substr(second + 1);
  }
  if (group.empty()) return {};

  std::ifstream mounts(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream in(line);
    std::string skip, top, point, word, type, options;
    in >> skip >> skip >> skip >> top >> point;
    while (in >> word && word != "-") {}
    in >> type >> skip >> options;
    if (controller.empty() ? type != "cgroup2" : type != "cgroup" || !lists(options, controller)) continue;
    top = unescaped(top);
    point = root + unescaped(point);
    if (top == "/") top.clear();
    // A container may see its own group as the top, under another path than the system's.
    std::string folder = within(group, top) ? point + group.substr(top.size()) : point;
    while (folder.size() > point.size() && folder.back() == '/') folder.pop_back();
    std::vector<std::string> found{folder};
    while (folder.size() > point.size()) found.push_back(folder = folder.substr(0, folder.rfind('/')));
    return found;
  }
  return {};
}

// The first number of a file; `none` if there is no such file or no number in it ("max").
double number_in(const std::string& file, double none) {
  double x;
  return std::ifstream(file) >> x ? x : none;
}

// The number behind a word in a file of lines WORD NUMBER.
double number_of(const std::string& file, const std::string& word) {
  std::ifstream in(file);
  std::string name;
  for (double x; in >> name >> x;)
    if (name == word) return x;
  return 0;
}

constexpr double unlimited = std::numeric_limits<double>::infinity();

}  // namespace

double processor_quota(const std::string& root) {
  double least = unlimited;
  for (const std::string& folder : folders(root, "")) {
    double quota, period;
    std::ifstream in(folder + "/cpu.max");
    if (in >> quota >> period && quota > 0 && period > 0) least = std::min(least, quota / period);
  }
  for (const std::string& folder : folders(root, "cpu")) {
    const double quota = number_in(folder + "/cpu.cfs_quota_us", -1),
                 period = number_in(folder + "/cpu.cfs_period_us", -1);
    if (quota > 0 && period > 0) least = std::min(least, quota / period);
  }
  return least;
}

std::size_t memory_below_limit(const std::string& root) {
  double least = unlimited;
  const auto look = [&](const std::string& folder, const char* limit, const char* used, const char* cached) {
    const double left = number_in(folder + limit, unlimited) - number_in(folder + used, 0) +
                        number_of(folder + "/memory.stat", cached);
    least = std::min(least, std::max(left, 0.0));
  };
  for (const std::string& folder : folders(root, ""))
    look(folder, "/memory.max", "/memory.current", "inactive_file");
  for (const std::string& folder : folders(root, "memory"))
    look(folder, "/memory.limit_in_bytes", "/memory.usage_in_bytes", "total_inactive_file");
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  return least < static_cast<double>(most) ? static_cast<std::size_t>(least) : most;
}

}  // namespace meander::kernels
