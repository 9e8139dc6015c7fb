// peer_deploy_meander: an exported policy by the source that comes with it. With `--inputs FILE BLOB K COUNT` it writes
// the rows that all workers act on instead.
#include <meander_policy.h>

#include <algorithm>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <iostream>
#include <random>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/deploy/worker.h"

using namespace meander::bench;

namespace {

void check(meander_status status) {
  if (status != MEANDER_OK) throw std::runtime_error(meander_status_text(status));
}

struct Mapped {
  const void* bytes;
  size_t size;
};
Mapped map(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY);
  struct stat about;
  if (file < 0 || fstat(file, &about)) throw std::runtime_error("cannot open " + path);
  const auto size = static_cast<size_t>(about.st_size);
  void* const bytes = mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
  close(file);
  if (bytes == MAP_FAILED) throw std::runtime_error("cannot map " + path);
  return {bytes, size};
}

double median_open(const Mapped& blob, int checksum) {
  std::vector<double> us(101);
  for (double& t : us) {
    meander_policy policy;
    const double start = microseconds();
    check(meander_policy_open(&policy, blob.bytes, blob.size, checksum));
    t = microseconds() - start;
  }
  std::ranges::nth_element(us, us.begin() + 50);
  return us[50];
}

Subject open_policy(const Inputs& inputs, const std::string& path, const std::string&) {
  const double start = microseconds();
  const Mapped blob = map(path);
  meander_policy policy;
  check(meander_policy_open(&policy, blob.bytes, blob.size, 1));
  const auto candidates = static_cast<uint32_t>(inputs.candidates);
  const size_t size = meander_workspace_size(&policy, candidates);
  if (!size || policy.observations != inputs.observations || policy.chunk * policy.actions != inputs.numbers)
    throw std::runtime_error("this policy has other sizes");
  void* const workspace = std::aligned_alloc(64, (size + 63) / 64 * 64);
  const double load = microseconds() - start;
  Subject subject{.about = {{"version", meander_isa(&policy)}, {"load_us", load}, {"workspace", size},
                            {"open_us", median_open(blob, 0)}, {"checked_open_us", median_open(blob, 1)}},
                  .observation = std::vector<float>(policy.observations),
                  .action = std::vector<float>(static_cast<size_t>(inputs.numbers))};
  subject.act = [=, observation = subject.observation.data(), action = subject.action.data()](uint64_t row) {
    check(meander_act(&policy, workspace, size, observation, {input_seed, row, MEANDER_EVALUATE}, candidates, action,
                      nullptr));
  };
  return subject;
}

int write_inputs(const char* to, const char* path, uint32_t candidates, uint64_t count) {
  const Mapped blob = map(path);
  meander_policy policy;
  check(meander_policy_open(&policy, blob.bytes, blob.size, 1));
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> row(policy.observations + candidates * policy.chunk * policy.actions);
  std::ofstream file(to, std::ios::binary);
  for (uint64_t i = 0; i < count; ++i) {
    std::generate_n(row.begin(), policy.observations, [&] { return uniform(random); });
    check(meander_normals(&policy, {input_seed, i, MEANDER_EVALUATE}, row.size() - policy.observations,
                          row.data() + policy.observations));
    file.write(reinterpret_cast<const char*>(row.data()), static_cast<std::streamsize>(row.size() * sizeof(float)));
  }
  if (!file.flush()) throw std::runtime_error(std::string("cannot write ") + to);
  std::cout << "{\"observations\": " << policy.observations << ", \"numbers\": " << policy.chunk * policy.actions
            << "}\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6 || std::string(argv[1]) != "--inputs") return serve(argc, argv, open_policy);
  try {
    return write_inputs(argv[2], argv[3], static_cast<uint32_t>(std::stoul(argv[4])), std::stoul(argv[5]));
  } catch (const std::exception& error) {
    std::cerr << argv[0] << ": " << error.what() << "\n";
    return 2;
  }
}
