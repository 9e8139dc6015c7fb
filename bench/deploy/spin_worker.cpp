// peer_deploy_spin: no policy, only as much arithmetic in registers as takes so long. How late it is at times is the
// machine's doing.
#include <algorithm>
#include <memory>

#include "bench/deploy/worker.h"

using namespace meander::bench;

namespace {

void spin(int64_t times) {
  uint64_t x = 1;
  for (int64_t i = 0; i < times; ++i) {
    x *= 0x9e3779b97f4a7c15u;
    asm volatile("" : "+r"(x));  // each product waits for the last
  }
}

double median_of(int64_t times) {
  std::vector<double> us(1001);
  for (double& t : us) {
    const double start = microseconds();
    spin(times);
    t = microseconds() - start;
  }
  std::ranges::nth_element(us, us.begin() + 500);
  return us[500];
}

}  // namespace

int main(int argc, char** argv) {
  return serve(argc, argv, [](const Inputs&, const std::string&, const std::string&) {
    auto times = std::make_shared<int64_t>(10'000);
    return Subject{.about = {{"version", "none"}},
                   .act = [times](uint64_t) { spin(*times); },
                   .last = [times](double us) {
                     *times = std::max<int64_t>(1, static_cast<int64_t>(1e4 * us / median_of(10'000)));
                   }};
  });
}
