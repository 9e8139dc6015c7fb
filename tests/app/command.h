#pragma once

// The built program, started as a user starts it, and what to ask of what it left.

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <functional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "../folder.h"
#include <meander/core/safetensors.h>

namespace meander {

using Words = std::vector<std::string>;

struct Result {
  int status = -1;  // of exit; 128 + the signal that ended it
  std::string out, error;
};

// The command, running in a folder.
class Process {
 public:
  // `before` is called in the new process.
  Process(const Folder& folder, Words words, rlim_t file_limit = RLIM_INFINITY,
          const std::function<void()>& before = {})
      : out_(folder.file(".out")), error_(folder.file(".error")) {
    words.insert(words.begin(), MEANDER_COMMAND);
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const std::string where = folder.file("");
    pid_ = fork();
    if (pid_ != 0) return;
    const int out = open(out_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const int error = open(error_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(out, STDOUT_FILENO);
    dup2(error, STDERR_FILENO);
    // They are ignored where the tests run in the background.
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) std::signal(number, SIG_DFL);
    const rlimit limit = {file_limit, file_limit};
    if (file_limit != RLIM_INFINITY) setrlimit(RLIMIT_FSIZE, &limit);
    if (before) before();
    if (chdir(where.c_str()) == 0) execv(arguments[0], arguments.data());
    _exit(99);
  }
  ~Process() {
    if (pid_ > 0) kill(pid_, SIGKILL), waitpid(pid_, nullptr, 0);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t id() const { return pid_; }
  void signal(int number) { kill(pid_, number); }
  bool ended() {
    siginfo_t info = {};
    waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT);
    return info.si_pid != 0;
  }
  Result wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_text(out_), read_text(error_)};
  }

 private:
  pid_t pid_;
  std::string out_, error_;
};

inline Result meander_in(const Folder& folder, const Words& words, rlim_t file_limit = RLIM_INFINITY,
                         const std::function<void()>& before = {}) {
  return Process(folder, words, file_limit, before).wait();
}

// MFPO at a size that makes a thousand updates in a second.
inline Words small_settings() {
  Words words;
  for (const char* setting : {"actor_width=8", "actor_layers=1", "critic_width=8", "critic_layers=1", "batch_size=8",
                              "policy_proposals=2", "gaussian_proposals=2", "atoms=11", "start_steps=150",
                              "evaluation_interval=170", "evaluation_episodes=1", "log_interval=50",
                              "checkpoint_interval=120", "replay_capacity=250"}) {
    words.push_back("--set");
    words.push_back(setting);
  }
  return words;
}

inline Words small_run(const Words& more) {
  Words words = {"train", "--algo", "mfpo", "--env", "Pendulum-v1", "--threads", "1"};
  for (const Words& others : {small_settings(), more}) words.insert(words.end(), others.begin(), others.end());
  return words;
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

inline bool is_one_line(const std::string& text) { return !text.empty() && text.find('\n') == text.size() - 1; }

inline std::vector<Words> csv(const std::string& path) {
  std::vector<Words> rows;
  std::istringstream lines(read_text(path));
  for (std::string line; std::getline(lines, line);) {
    Words row;
    line += ',';
    std::istringstream cells(line);
    for (std::string cell; std::getline(cells, cell, ',');) row.push_back(cell);
    rows.push_back(row);
  }
  return rows;
}

inline int64_t last_step(const std::string& metrics) {
  const auto rows = csv(metrics);
  return rows.size() < 2 || rows.back().size() < 2 ? 0 : std::atoll(rows.back()[0].c_str());
}

inline void check_same_tensors(const std::string& a, const std::string& b) {
  const SafetensorsFile one(a), two(b);
  REQUIRE(one.tensors().size() == two.tensors().size());
  for (const auto& [name, tensor] : one.tensors()) {
    const FileTensor& other = two.at(name);
    REQUIRE_MESSAGE(tensor.shape == other.shape, name);
    const auto size = static_cast<size_t>(tensor.size() * bytes(tensor.dtype));
    CHECK_MESSAGE(std::memcmp(tensor.data, other.data, size) == 0, name);
  }
}

// Waits until the metrics have passed `step`; false if the process ended before.
inline bool wait_for_step(Process& process, const std::string& metrics, int64_t step) {
  while (last_step(metrics) < step) {
    if (process.ended()) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace meander
