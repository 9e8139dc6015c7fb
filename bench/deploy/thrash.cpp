// peer_deploy_thrash: walks over more memory than any cache holds, writing, until it is ended.
#include <cstddef>
#include <vector>

int main() {
  std::vector<unsigned char> other(512 << 20);
  for (;;)
    for (size_t i = 0; i < other.size(); i += 64) {
      ++other[i];
      asm volatile("" : : "r"(other.data()) : "memory");
    }
}
