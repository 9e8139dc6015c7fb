// Protects what meander_policy.h promises beside its numbers: a status for each cause, the fallback after every error,
// memory that is read and written only where it says, and the actions of a chunk one after the other.
#include <doctest/doctest.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <limits>

#include "policies.h"
#include <meander/core/environment.h>

using namespace meander;
using namespace meander::testing;

namespace {

struct Arm final : Environment {   // takes what it is given
  EnvironmentInfo about;
  std::vector<double> taken;
  const EnvironmentInfo& info() const override { return about; }
  void reset(Stream&) override {}
  Step step(std::span<const double> action) override {
    taken.assign(action.begin(), action.end());
    return {};
  }
  std::span<const double> observation() const override { return {}; }
  std::vector<double> save() const override { return {}; }
  void load(std::span<const double>) override {}
};

const meander_noise noise = {1, 2, MEANDER_EVALUATE};

}  // namespace

TEST_CASE("each cause of a refusal has its status, and the action is then the fallback") {
  const Made made = make("mfpo", 3);
  Opened opened(blob_of(made.agent->policy()));
  const std::vector<float> good(S, 0.2f), fallback = {0.25f, -0.75f};
  std::vector<float> action(A, 9.0f);
  void* const room = opened.workspace.get();
  const size_t size = opened.workspace.size();
  const auto expect = [&](meander_status status, auto&& call) {
    CAPTURE(meander_status_text(status));
    for (const float* given : {static_cast<const float*>(nullptr), fallback.data()}) {
      opened.policy.fallback = given;
      action.assign(A, 9.0f);
      CHECK(call() == status);
      CHECK(action[0] == (given ? 0.25f : 0.0f));
      CHECK(action[1] == (given ? -0.75f : 0.0f));
    }
  };
  const auto act = [&](void* workspace, size_t bytes, const float* observation, uint32_t candidates) {
    return meander_act(&opened.policy, workspace, bytes, observation, noise, candidates, action.data(), nullptr);
  };
  expect(MEANDER_BAD_ARGUMENT, [&] { return act(nullptr, size, good.data(), 0); });
  expect(MEANDER_BAD_ARGUMENT, [&] { return act(room, size, nullptr, 0); });
  expect(MEANDER_BAD_ARGUMENT, [&] { return act(room, size, good.data(), 5000); });
  expect(MEANDER_NOT_ALIGNED, [&] { return act(static_cast<char*>(room) + 4, size - 4, good.data(), 1); });
  expect(MEANDER_SMALL_WORKSPACE, [&] { return act(room, size - 1, good.data(), 0); });
  expect(MEANDER_SMALL_WORKSPACE, [&] { return act(room, size, good.data(), opened.policy.candidates + 16); });
  expect(MEANDER_OVERLAP, [&] { return act(room, size, static_cast<float*>(room), 0); });
  expect(MEANDER_OVERLAP, [&] { return act(room, size, action.data(), 0); });
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    std::vector<float> observation = good;
    observation[S - 1] = bad;
    expect(MEANDER_BAD_OBSERVATION, [&] { return act(room, size, observation.data(), 0); });
  }
  const std::vector<float> huge(S, std::numeric_limits<float>::max());
  expect(MEANDER_BAD_RESULT, [&] { return act(room, size, huge.data(), 0); });
  CHECK(meander_act(&opened.policy, room, size, good.data(), noise, 0, nullptr, nullptr) == MEANDER_BAD_ARGUMENT);
  CHECK(act(room, size, good.data(), 0) == MEANDER_OK);
  CHECK(act(room, size, good.data(), 0) == MEANDER_OK);
  for (int status = -1; status < 20; ++status) CHECK(std::strlen(meander_status_text(meander_status(status))) > 10);
}

TEST_CASE("a policy without critics has one candidate and no value") {
  const Made made = make("mfpo", 3);
  const PolicyDescription& about = made.agent->policy();
  const Opened opened(policy_blob(about, acting_of(about, false), {.candidates = 1}));
  REQUIRE(opened.status == MEANDER_OK);
  CHECK(opened.policy.has_critics == 0);
  CHECK(meander_workspace_size(&opened.policy, 2) == 0);
  std::vector<float> action;
  float q;
  CHECK(opened.act(std::vector<float>(S, 0.1f), noise, 2, action) == MEANDER_BAD_ARGUMENT);
  CHECK(opened.act(std::vector<float>(S, 0.1f), noise, 1, action, &q) == MEANDER_BAD_ARGUMENT);
  CHECK(opened.act(std::vector<float>(S, 0.1f), noise, 1, action) == MEANDER_OK);
}

TEST_CASE("what is no policy, or not of this version, is refused by name") {
  const Made made = make("sac", 3);
  const auto blob = blob_of(made.agent->policy());
  const auto open = [&](auto&& change, size_t cut = 0) {
    const Memory memory(blob);
    change(memory.get());
    meander_policy policy;
    const meander_status status = meander_policy_open(&policy, memory.get(), blob.size() - cut, 0);
    if (status != MEANDER_OK) {   // it is not open, and acting says so
      float action = 5;
      CHECK(policy.blob == nullptr);
      CHECK(meander_act(&policy, nullptr, 0, nullptr, noise, 0, &action, nullptr) == MEANDER_BAD_ARGUMENT);
      CHECK(meander_workspace_size(&policy, 0) == 0);
      CHECK(std::string(meander_isa(&policy)) == "none");
    }
    return status;
  };
  CHECK(open([](uint8_t*) {}) == MEANDER_OK);
  CHECK(open([](uint8_t* b) { b[0] = 'x'; }) == MEANDER_NOT_A_POLICY);
  CHECK(open([](uint8_t* b) { ++b[8]; }) == MEANDER_OTHER_VERSION);
  CHECK(open([](uint8_t* b) { ++b[10]; }) == MEANDER_OK);   // a minor version
  CHECK(open([](uint8_t* b) { b[12] = 1; }) == MEANDER_OTHER_VERSION);   // a feature
  CHECK(open([](uint8_t*) {}, 64) == MEANDER_TRUNCATED);
  CHECK(open([](uint8_t*) {}, blob.size() - 100) == MEANDER_TRUNCATED);
  meander_policy policy;
  const Memory memory(blob.size() + 64);
  std::memcpy(memory.get() + 4, blob.data(), blob.size());
  CHECK(meander_policy_open(&policy, memory.get() + 4, blob.size(), 0) == MEANDER_NOT_ALIGNED);
  CHECK(meander_policy_open(&policy, nullptr, 0, 0) == MEANDER_BAD_ARGUMENT);
  CHECK(meander_policy_open(nullptr, memory.get(), blob.size(), 0) == MEANDER_BAD_ARGUMENT);
}

TEST_CASE("every byte of a blob is in the checksum") {
  const Made made = make("sac", 3);
  const auto blob = blob_of(made.agent->policy());
  const Memory memory(blob);
  meander_policy policy;
  int noticed = 0, changed = 0;
  for (size_t i = 0; i < blob.size(); i += blob.size() > 5000 ? 7 : 1) {
    memory.get()[i] ^= 0x10;
    noticed += meander_policy_open(&policy, memory.get(), blob.size(), 1) != MEANDER_OK;
    memory.get()[i] ^= 0x10;
    ++changed;
  }
  CHECK(noticed == changed);
}

TEST_CASE("every word of the structure is refused or harmless, whatever it holds") {
  for (const char* name : {"mfpo", "sac", "fql", "mvp"}) {
    CAPTURE(name);
    const Made made = make(name, 3);
    const auto blob = blob_of(made.agent->policy(), true);
    const Memory memory(blob);
    const auto& header = *reinterpret_cast<const deploy::Header*>(memory.get());
    std::vector<size_t> words;
    for (size_t at = 8; at < sizeof(deploy::Header); at += 4) words.push_back(at);
    for (const uint32_t network : header.network)
      for (size_t at = 0; network && at < sizeof(deploy::Network); at += 4) words.push_back(network + at);
    int opened = 0, refused = 0;
    for (const size_t word : words) {
      uint32_t before;
      std::memcpy(&before, memory.get() + word, 4);
      for (const uint32_t value : {0u, 1u, 2u, 3u, 8u, 9u, 63u, 64u, 65u, 4096u, 8193u, 0x7fffffffu, 0x80000000u,
                                   0xffffffc0u, 0xffffffffu, before - 64, before + 64, before + 1, before * 2}) {
        std::memcpy(memory.get() + word, &value, 4);
        meander_policy policy;
        if (meander_policy_open(&policy, memory.get(), blob.size(), 0) != MEANDER_OK) {
          ++refused;
          continue;
        }
        ++opened;
        const size_t room = meander_workspace_size(&policy, 0);
        const Memory workspace(room);
        std::vector<float> observation(policy.observations, 0.1f), action(policy.chunk * policy.actions);
        const meander_status status = meander_act(&policy, workspace.get(), room, observation.data(), noise, 0,
                                                  action.data(), nullptr);
        CHECK((status == MEANDER_OK || status == MEANDER_BAD_RESULT));
        meander_policy_test(&policy, workspace.get(), room, nullptr);
        meander_scale_action(&policy, action.data(), action.data());
      }
      std::memcpy(memory.get() + word, &before, 4);
    }
    CHECK(opened > 100);
    CHECK(refused > 500);
  }
}

TEST_CASE("a part that would end beyond the blob is refused") {
  const Made made = make("mfpo", 3);
  const auto blob = blob_of(made.agent->policy(), true);
  const Memory memory(blob);
  auto& header = *reinterpret_cast<deploy::Header*>(memory.get());
  auto& network = *reinterpret_cast<deploy::Network*>(memory.get() + header.network[0]);
  const auto refused = [&](uint32_t& offset, uint32_t there) {
    const uint32_t before = offset;
    meander_policy policy;
    offset = header.size - there;
    const meander_status status = meander_policy_open(&policy, memory.get(), blob.size(), 0);
    offset = before;
    return status == MEANDER_MALFORMED;
  };
  CHECK(refused(header.network[0], 256));   // of 288 bytes
  CHECK(refused(header.times, 64));
  CHECK(refused(header.atoms, 64));         // 21 atoms
  CHECK(refused(header.tests, 128));
  CHECK(refused(network.state_weight, 256));
  CHECK(refused(network.layer[0].weight, 64));
  CHECK(refused(network.layer[1].bias, 64));
  CHECK(refused(network.layer[0].scale, 64));
  CHECK(refused(network.layer[0].shift, 64));
  CHECK(refused(header.text, 0));           // 15 bytes
  CHECK(refused(header.mean, 0));
}

TEST_CASE("an action is mapped to the task's range as the environment does it") {
  const Made made = make("mfpo", 3);
  const Opened opened(blob_of(made.agent->policy()));
  const ActingRecord acting = acting_of(made.agent->policy(), false);
  Arm arm;
  arm.about.name = "arm", arm.about.actions = A;
  arm.about.action_low.assign(acting.action_low.begin(), acting.action_low.end());
  arm.about.action_high.assign(acting.action_high.begin(), acting.action_high.end());
  for (const float x : {-2.0f, -1.0f, -0.3f, 0.0f, 0.77f, 1.0f, 1.5f}) {
    std::vector<float> action = {x, -x};
    arm.act(action);
    REQUIRE(meander_scale_action(&opened.policy, action.data(), action.data()) == MEANDER_OK);
    for (size_t i = 0; i < A; ++i) CHECK(action[i] == doctest::Approx(arm.taken[i]).epsilon(3e-7));   // float32
  }
}

TEST_CASE("the normals have the names and the bits of the engine's") {
  const Made made = make("mfpo", 3);
  Opened opened(blob_of(made.agent->policy()));
  const uint32_t widest = opened.policy.isa;
  for (const size_t n : {1u, 2u, 5u, 63u, 64u, 65u, 190u}) {
    std::vector<float> expected(n), got(n + 1, 3.0f);
    kernels::philox_normal({uint64_t{7} << 40 | 5, 18, uint64_t{9} << 35}, nullptr, static_cast<int64_t>(n), expected.data());
    for (opened.policy.isa = 0; opened.policy.isa <= widest; ++opened.policy.isa) {
      const bool exact = std::string(meander_isa(&opened.policy)).find("no fused") == std::string::npos;
      REQUIRE(meander_normals(&opened.policy, {uint64_t{7} << 40 | 5, uint64_t{9} << 35, 18}, n, got.data()) == MEANDER_OK);
      for (size_t i = 0; i < n; ++i) CHECK(std::fabs(got[i] - expected[i]) <= (exact ? 0.0f : 2e-6f));
      CHECK(got[n] == 3.0f);
    }
    opened.policy.isa = widest;
  }
}

TEST_CASE("the actions of a chunk come one after the other, and the next decision after the last") {
  const Made made = make("mvp", 3);
  Opened opened(blob_of(made.agent->policy()));
  const uint32_t h = opened.policy.chunk;
  REQUIRE(h == 3);
  std::vector<float> memory(h * A), action(A), decision;
  meander_chunk chunk = {memory.data(), 0};
  const auto observation = [](uint32_t step) { return std::vector<float>(S, 0.1f * static_cast<float>(step)); };
  for (uint32_t step = 0; step < 3 * h; ++step) {
    REQUIRE(meander_next_action(&opened.policy, &chunk, opened.workspace.get(), opened.workspace.size(),
                                observation(step).data(), {1, step, MEANDER_EVALUATE}, 0, action.data()) == MEANDER_OK);
    if (step % h == 0) REQUIRE(opened.act(observation(step), {1, step, MEANDER_EVALUATE}, 0, decision) == MEANDER_OK);
    for (uint32_t i = 0; i < A; ++i) CHECK(action[i] == decision[step % h * A + i]);
  }
  // After an error there is no rest of a plan to be executed.
  const std::vector<float> fallback(A, 0.5f), bad(S, NAN);
  opened.policy.fallback = fallback.data();
  CHECK(meander_next_action(&opened.policy, &chunk, opened.workspace.get(), opened.workspace.size(), bad.data(), noise, 0,
                            action.data()) == MEANDER_BAD_OBSERVATION);
  CHECK(action == fallback);
  CHECK(chunk.left == 0);
}

TEST_CASE("nothing is written beyond the workspace that is asked for, nor read beyond the blob") {
  for (const std::string& name : algorithm_names()) {   // the address sanitizer watches the ends
    CAPTURE(name);
    const Made made = make(name, 3);
    const Opened opened(blob_of(made.agent->policy(), true));
    const uint32_t most = opened.policy.has_critics ? 40 : 1;
    for (uint32_t candidates = 1; candidates <= most; ++candidates) {
      const size_t size = meander_workspace_size(&opened.policy, candidates);
      const Memory room(size + 64);
      std::memset(room.get() + size, 0x5a, 64);
      std::vector<float> observation(opened.policy.observations, 0.3f);
      std::vector<float> action(opened.policy.chunk * opened.policy.actions);
      REQUIRE(meander_act(&opened.policy, room.get(), size, observation.data(), noise, candidates, action.data(),
                          nullptr) == MEANDER_OK);
      for (size_t i = 0; i < 64; ++i) CHECK(room.get()[size + i] == 0x5a);
    }
  }
}

#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("a decision makes no system call") {
  const Made made = make("mfpo", 3);
  const Opened opened(blob_of(made.agent->policy()));
  const std::vector<float> observation(S, 0.2f);
  std::vector<float> action(A);
  const auto ends_with = [&](bool with_a_call) {
    const pid_t child = fork();
    if (child == 0) {   // from here on any call but read, write and exit ends the process
      if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) syscall(SYS_exit, 99);
      meander_status status = MEANDER_OK;
      for (uint64_t step = 0; step < 100 && status == MEANDER_OK; ++step)
        status = meander_act(&opened.policy, opened.workspace.get(), opened.workspace.size(), observation.data(),
                             {0, step, MEANDER_EVALUATE}, 0, action.data(), nullptr);
      if (with_a_call) getppid();
      syscall(SYS_exit, status);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return status;
  };
  const int without = ends_with(false), with = ends_with(true);
  if (WEXITSTATUS(without) == 99) {
    MESSAGE("skipped: a process cannot be held to so few calls here (an emulator?)");
    return;
  }
  CHECK(without == 0);
  CHECK(with != 0);
}
#endif

TEST_CASE("the text of a blob is what it was given") {
  const Made made = make("sac", 3);
  const Opened opened(blob_of(made.agent->policy()));
  const char* text;
  size_t size;
  REQUIRE(meander_policy_text(&opened.policy, &text, &size) == MEANDER_OK);
  CHECK(std::string(text, size) == "task of a test\n");
}
