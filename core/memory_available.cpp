#include <meander/core/memory_available.h>

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>

#include <meander/kernels/control_groups.h>

namespace meander {
namespace {

std::size_t page() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

std::size_t of_the_system(const std::string& root) {
  std::ifstream in(root + "/proc/meminfo");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("MemAvailable:")) return std::stoull(line.substr(13)) * 1024;
  return static_cast<std::size_t>(sysconf(_SC_AVPHYS_PAGES)) * page();
}

std::size_t of_address_space(const std::string& root) {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return std::numeric_limits<std::size_t>::max();
  std::size_t pages = 0;
  std::ifstream(root + "/proc/self/statm") >> pages;
  return limit.rlim_cur - std::min<std::size_t>(limit.rlim_cur, pages * page());
}

}  // namespace

std::size_t memory_available(const std::string& root) {
  return std::min({of_the_system(root), kernels::memory_below_limit(root), of_address_space(root)});
}

}  // namespace meander
