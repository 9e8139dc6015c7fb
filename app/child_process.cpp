#include <meander/app/child_process.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <utility>

namespace meander {

namespace {

std::string text_of(int file) {
  std::string text;
  char piece[4096];
  for (ssize_t n; (n = pread(file, piece, sizeof piece, static_cast<off_t>(text.size()))) > 0;)
    text.append(piece, static_cast<size_t>(n));
  return text;
}

bool write_all(int file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(file, text.data(), text.size());
    if (n < 0 && errno != EINTR) return false;
    if (n > 0) text.remove_prefix(static_cast<size_t>(n));
  }
  return lseek(file, 0, SEEK_SET) == 0;
}

// Where the program of this name is, by the absolute folders of PATH: one in the current folder, which may hold
// anything, is never started. Empty if it is nowhere.
std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* const path = std::getenv("PATH");
  std::istringstream folders(path ? path : "/usr/local/bin:/usr/bin:/bin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string file = folder + "/" + name;
    struct stat status;
    if (folder.starts_with('/') && stat(file.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
        access(file.c_str(), X_OK) == 0)
      return file;
  }
  return {};
}

// A file without a name; -1, and why, if there can be none.
int nameless_file(const char* name, int& reason) {
  const int file = memfd_create(name, MFD_CLOEXEC);
  if (file < 0) reason = errno;
  return file;
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& command, std::string_view input)
    : input_(nameless_file("input", reason_)), output_(nameless_file("output", reason_)),
      error_(nameless_file("error", reason_)) {
  if (input_ >= 0 && !write_all(input_, input)) reason_ = errno;
  start(command);
}

ChildProcess::ChildProcess(const std::vector<std::string>& command, Fed)
    : input_(socket()), output_(nameless_file("output", reason_)), error_(nameless_file("error", reason_)) {
  start(command);
  close(std::exchange(input_, -1));  // or this side would never notice that the program has ended
}

ChildProcess::ChildProcess(const std::vector<std::string>& command, Heard)
    : input_(socket()), output_(input_), error_(nameless_file("error", reason_)) {
  start(command);
  close(std::exchange(input_, -1));
  output_ = -1;
}

// Sockets instead of a pipe: writing to one whose reader is gone can be asked not to raise SIGPIPE.
int ChildProcess::socket() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0) return feed_ = ends[1], ends[0];
  reason_ = errno;
  return -1;
}

void ChildProcess::start(const std::vector<std::string>& command) {
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);

  int report[2];  // closed by the start of the program, or brings the reason why it did not start
  const std::string program = find_program(command[0]);
  bool missing = program.empty();
  int reason = reason_;
  if (!missing && reason == 0 && pipe2(report, O_CLOEXEC) != 0) reason = errno;
  if (!missing && reason == 0) {
    pid_ = fork();
    if (pid_ == 0) {
      setpgid(0, 0);
      // Sent once for each thread that this program has, as one after the other is gone: a run takes a second SIGTERM
      // for impatience, but any number of SIGUSR1 for one request, which ends other programs, too.
      prctl(PR_SET_PDEATHSIG, SIGUSR1);
      dup2(input_, STDIN_FILENO);
      dup2(output_, STDOUT_FILENO);
      dup2(error_, STDERR_FILENO);
      execv(program.c_str(), words.data());
      const int failed = errno;
      [[maybe_unused]] const ssize_t n = ::write(report[1], &failed, sizeof failed);
      _exit(127);
    }
    if (pid_ < 0) reason = errno;
    close(report[1]);
    while (pid_ > 0 && ::read(report[0], &reason, sizeof reason) < 0 && errno == EINTR) {}
    close(report[0]);
    missing = reason == ENOENT;
  }
  if (!missing && reason == 0) return;
  if (pid_ > 0) waitpid(pid_, nullptr, 0);
  if (output_ == input_) output_ = -1;
  for (const int file : {input_, feed_, output_, error_}) close(file);
  if (missing) throw ProgramMissing(command[0] + " is missing");
  throw Failure("cannot start " + command[0] + ": " + std::strerror(reason));
}

ChildProcess::~ChildProcess() {
  if (status_ < 0) {
    kill(pid_, SIGKILL);
    wait();
  }
  for (const int file : {input_, feed_, output_, error_}) close(file);
}

bool ChildProcess::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = send(feed_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno != EINTR) return false;
    if (n > 0) bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

void ChildProcess::end_input() { close(std::exchange(feed_, -1)); }

ChildProcess::Heeded ChildProcess::read(void* to, size_t bytes, int seconds) {
  for (char* at = static_cast<char*>(to); bytes > 0;) {
    pollfd waiting = {feed_, POLLIN, 0};
    const int ready = poll(&waiting, 1, seconds * 1000);
    if (ready == 0) return Heeded::silent;
    const ssize_t n = ready < 0 ? -1 : recv(feed_, at, bytes, 0);
    if (n == 0 || (n < 0 && errno != EINTR)) return Heeded::closed;
    if (n > 0) at += n, bytes -= static_cast<size_t>(n);
  }
  return Heeded::all;
}

void ChildProcess::terminate() {
  if (status_ < 0) kill(pid_, SIGTERM);
}

bool ChildProcess::ended() {
  if (status_ >= 0) return true;
  siginfo_t info = {};
  return waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
}

int ChildProcess::wait() {
  int status = 0;
  while (status_ < 0 && waitpid(pid_, &status, 0) < 0 && errno == EINTR) {}
  if (status_ < 0) status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return status_;
}

std::string ChildProcess::output() const { return text_of(output_); }
std::string ChildProcess::error() const { return text_of(error_); }

}  // namespace meander
