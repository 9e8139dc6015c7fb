// Protects that two processes never write to one folder: who claims it, who waits, who takes over, and that an owner
// who was passed over finds out.

#include <meander/app/claim.h>

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>

#include "../folder.h"

using namespace meander;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

std::string refusal(const Folder& folder, Claim::Time patience = 50ms) {
  try {
    const Claim claim(folder.path(), Claim::in(folder.path()), patience);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

// A claim as a process of another machine leaves it.
void leave_claim(const Folder& folder, int attempt, const std::string& beat = "7") {
  write_text(folder.file("claim." + std::to_string(attempt)),
             "process 12 of elsewhere started 99 machine other/1\nbeat " + beat + "\n");
}

}  // namespace

TEST_CASE("a claim keeps others out as long as its owner lives, and leaves nothing") {
  const Folder folder;
  {
    const Claim claim(folder.path(), Claim::in(folder.path()));
    claim.check();
    CHECK(refusal(folder).find("process " + std::to_string(getpid())) != std::string::npos);
  }
  CHECK(folder.files() == 0);
  CHECK(refusal(folder) == "");
}

TEST_CASE("the claim of a process that was killed is taken over at once") {
  const Folder folder;
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const Claim claim(folder.path(), Claim::in(folder.path()));
    kill(getpid(), SIGKILL);
  }
  // Not yet waited for, it is still listed.
  siginfo_t info = {};
  waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);
  CHECK(fs::exists(folder.file("claim.1")));
  {
    const Claim claim(folder.path(), Claim::in(folder.path()), 1h);
    CHECK(claim.attempt() == 2);
    CHECK(folder.files() == 1);
  }
  waitpid(child, nullptr, 0);
}

TEST_CASE("another machine's claim is stale when its counter stands still, and not before") {
  const Folder folder;
  leave_claim(folder, 4);
  std::atomic<bool> over = false;
  std::thread owner([&] {
    for (int beat = 0; !over; ++beat) leave_claim(folder, 4, std::to_string(beat)), std::this_thread::sleep_for(5ms);
  });
  CHECK(refusal(folder, 2s).find("process 12 of elsewhere is writing to it") != std::string::npos);
  over = true;
  owner.join();
  const auto start = std::chrono::steady_clock::now();
  const Claim claim(folder.path(), Claim::in(folder.path()), 60ms);
  CHECK(std::chrono::steady_clock::now() - start >= 60ms);
  CHECK(claim.attempt() == 5);
  CHECK(!fs::exists(folder.file("claim.4")));
}

TEST_CASE("what is no claim of anybody's is passed over in the end") {
  const Folder folder;
  write_text(folder.file("claim.3"), "");
  fs::create_symlink("/dev/null", folder.file("claim.7"));
  fs::create_directory(folder.file("claim.9"));
  write_text(folder.file("claim.x"), "");
  const Claim claim(folder.path(), Claim::in(folder.path()), 20ms);
  CHECK(claim.attempt() == 10);
}

TEST_CASE("the counter goes up") {
  const Folder folder;
  const Claim claim(folder.path(), Claim::in(folder.path()), 1s, 2ms);
  const std::string first = read_text(folder.file("claim.1"));
  std::string now = first;
  for (int i = 0; i < 2000 && now == first; ++i) {
    std::this_thread::sleep_for(5ms);
    now = read_text(folder.file("claim.1"));
  }
  CHECK(now != first);
  CHECK(now.size() == first.size());
}

TEST_CASE("an owner that was passed over finds out") {
  const Folder folder;
  const Claim claim(folder.path(), Claim::in(folder.path()), 1s, 2ms);
  SUBCASE("while the other one takes over") { leave_claim(folder, 2); }
  SUBCASE("by one who has taken over") { fs::rename(folder.file("claim.1"), folder.file("claim.2")); }
  SUBCASE("by one who is done") { fs::remove(folder.file("claim.1")); }
  SUBCASE("by one who came after that") {
    fs::remove(folder.file("claim.1"));
    leave_claim(folder, 1);
    std::this_thread::sleep_for(10ms);  // its own counter does not end up there
    CHECK(read_text(folder.file("claim.1")).find("elsewhere") != std::string::npos);
  }
  CHECK_THROWS_AS(claim.check(), ClaimLost);
}

// Eight at once, many times: never two owners.
TEST_CASE("one of many who claim at the same time gets it") {
  const Folder folder;
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> owners = 0, most = 0, done = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i)
      threads.emplace_back([&] {
        while (done < 8) {
          try {
            const Claim claim(folder.path(), Claim::in(folder.path()));
            most = std::max<int>(most, ++owners);
            std::this_thread::yield();
            --owners;
            ++done;
            return;
          } catch (const Error&) {
            std::this_thread::yield();
          }
        }
      });
    for (std::thread& thread : threads) thread.join();
    CHECK(most == 1);
    CHECK(folder.files() == 0);
  }
}

TEST_CASE("where nothing can be written the claim says so") {
  const Folder folder;
  CHECK_THROWS_AS(Claim("none", folder.file("none/claim")), Failure);
}

TEST_CASE("a claim of a file lies beside it") {
  const Folder folder;
  const Claim claim("x.npz", Claim::beside(folder.file("x.npz")));
  CHECK(fs::exists(folder.file("x.npz.claim.1")));
}
