// peer_deploy_thrash: walks over more memory than any cache holds, writing, until it or who started it is ended.
#include <sys/prctl.h>

#include <csignal>
#include <cstddef>
#include <vector>

int main() {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::vector<unsigned char> other(512 << 20);
  for (;;)
    for (size_t i = 0; i < other.size(); i += 64) {
      ++other[i];
      asm volatile("" : : "r"(other.data()) : "memory");
    }
}
