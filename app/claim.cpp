#include <meander/app/claim.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

#include <meander/app/output.h>

namespace meander {

namespace {

namespace fs = std::filesystem;

std::string first_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

// The processes whose numbers mean something here: of this start of this machine, in this name space.
std::string machine() {
  struct stat space = {};
  stat("/proc/self/ns/pid", &space);
  return fmt::format("{}/{}", first_line("/proc/sys/kernel/random/boot_id"), space.st_ino);
}

// When a process began, in ticks since the machine did; empty if there is none that could still write, "?" if it cannot
// be told.
std::string start_of(int pid) {
  if (kill(pid, 0) != 0 && errno == ESRCH) return "";
  const std::string line = first_line(fmt::format("/proc/{}/stat", pid));
  std::istringstream words(line.substr(std::min(line.size(), line.rfind(')') + 1)));
  std::string word;
  words >> word;  // its state
  if (word == "Z" || word == "X") return "";
  for (int i = 0; i < 19; ++i) words >> word;
  return words ? word : "?";
}

// What a claim's file says: "process PID of HOST, started TICKS, machine M" and the counter.
struct Owner {
  std::string text;  // all of it, to see a change
  std::string host = "?", machine, started;
  int pid = 0;

  explicit Owner(const std::string& path) {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    char bytes[1024];
    const ssize_t n = file < 0 ? 0 : read(file, bytes, sizeof bytes);
    if (file >= 0) close(file);
    text.assign(bytes, static_cast<size_t>(std::max<ssize_t>(n, 0)));
    std::istringstream words(text);
    std::string word;
    words >> word >> pid >> word >> host >> word >> started >> word >> machine;
    for (char& c : host)
      if (c < '!' || c > '~') c = '?';
  }
};

// All of it, also where one write takes a part; false with errno.
bool write_from_start(int file, std::string_view content) {
  for (size_t done = 0; done < content.size();) {
    const ssize_t n = pwrite(file, content.data() + done, content.size() - done, static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = ENOSPC;
    if (n <= 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

}  // namespace

Claim::Claim(std::string what, std::string prefix, Time patience, Time beat)
    : what_(std::move(what)), prefix_(std::move(prefix)) {
  char host[256] = {};
  gethostname(host, sizeof host - 1);
  owner_ = fmt::format("process {} of {} started {} machine {}", getpid(), *host ? host : "?", start_of(getpid()),
                       machine());
  int before;
  do {
    before = newest();
    if (before > 0 && !stale(before, patience)) before = -1;  // gone meanwhile: look again
  } while (before < 0 || !make(before + 1));
  attempt_ = before + 1;
  for (; before > 0 && unlink(file(before).c_str()) == 0; --before) {}
  try {
    thread_ = std::thread([this, beat] { this->beat(beat); });
  } catch (const std::system_error&) {
    // No thread can be had: others on this machine see the process all the same.
  }
}

Claim::~Claim() {
  {
    const std::lock_guard lock(mutex_);
    released_ = true;
  }
  release_.notify_all();
  if (thread_.joinable()) thread_.join();
  if (is_named(attempt_)) unlink(file(attempt_).c_str());
  close(fd_);
}

void Claim::check() const {
  struct stat newer;
  if (is_named(attempt_) && lstat(file(attempt_ + 1).c_str(), &newer) != 0) return;
  throw ClaimLost(message(what_, ": another process has taken it over, for ", file(attempt_),
                          " is no longer the newest claim; this one writes nothing more there"));
}

// The greatest number of a claim that is there, 0 without one.
int Claim::newest() const {
  const fs::path path(prefix_);
  const std::string name = path.filename().string() + ".";
  int most = 0;
  std::error_code error;
  for (fs::directory_iterator entry(path.has_parent_path() ? path.parent_path() : fs::path("."), error), end;
       !error && entry != end; entry.increment(error)) {
    const std::string found = entry->path().filename().string();
    if (!found.starts_with(name) || found.size() > name.size() + 9) continue;
    const std::string number = found.substr(name.size());
    if (number.empty() || number.find_first_not_of("0123456789") != number.npos) continue;
    most = std::max(most, std::stoi(number));
  }
  return most;
}

// Whether nobody holds that claim any more; false if it went away. Throws Error if somebody does.
bool Claim::stale(int attempt, Time patience) const {
  const std::string path = file(attempt);
  struct stat status;
  const Owner first(path);
  if (lstat(path.c_str(), &status) != 0) return false;
  const auto held = [&](const std::string& by) {
    return Error(message(what_, ": ", by, " is writing to it; wait for it or stop it"));
  };
  if (first.machine == machine() && !first.machine.starts_with('/')) {
    const std::string started = start_of(first.pid);
    if (started == first.started || started == "?") throw held(message("process ", first.pid));
    return true;
  }
  warn("meander: {} is claimed by process {} of {}: waiting {} s for a sign of it\n", what_, first.pid,
             first.host, (patience.count() + 999) / 1000);
  const auto start = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - start < patience) {
    std::this_thread::sleep_for(std::min<Time>(Time(200), patience / 10));
    if (lstat(path.c_str(), &status) != 0) return false;
    if (Owner(path).text != first.text) throw held(message("process ", first.pid, " of ", first.host));
  }
  return newest() == attempt;
}

std::string Claim::text() const { return fmt::format("{}\nbeat {:020}\n", owner_, beats_); }

// False if another process was faster.
bool Claim::make(int attempt) {
  static std::atomic<int> number = 0;  // several of this process, too
  const std::string path = file(attempt), partial = fmt::format("{}.partial-{}-{}", path, getpid(), ++number);
  const auto fail = [&](int error) {
    if (fd_ >= 0) close(fd_);
    unlink(partial.c_str());
    throw Failure(message("cannot write to ", what_, ": ", std::strerror(error)));
  };
  unlink(partial.c_str());
  fd_ = open(partial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd_ < 0) fail(errno);
  const std::string content = text();
  if (!write_from_start(fd_, content)) fail(errno);
  if (fsync(fd_) != 0) fail(errno);  // after a loss of power a claim is whole or not there
  bool made = link(partial.c_str(), path.c_str()) == 0;
  const int error = errno;
  struct stat status;
  if (!made && fstat(fd_, &status) == 0 && status.st_nlink == 2) made = true;  // done, but the answer was lost
  if (!made && (error == EPERM || error == EOPNOTSUPP || error == ENOSYS)) {   // a file system without links
    close(fd_);
    fd_ = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    made = fd_ >= 0;
    if (!made && errno != EEXIST) fail(errno);
    if (made && !write_from_start(fd_, content)) {
      const int reason = errno;
      unlink(path.c_str());
      fail(reason);
    }
  } else if (!made && error != EEXIST) {
    fail(error);
  }
  unlink(partial.c_str());
  if (!made && fd_ >= 0) close(fd_), fd_ = -1;
  return made;
}

bool Claim::is_named(int attempt) const {
  struct stat ours, named;
  return fstat(fd_, &ours) == 0 && lstat(file(attempt).c_str(), &named) == 0 && ours.st_ino == named.st_ino &&
         ours.st_dev == named.st_dev;
}

// Into the file that was made, whatever has its name by now. What fails shows in check.
void Claim::beat(Time interval) {
  std::unique_lock lock(mutex_);
  while (!release_.wait_for(lock, interval, [this] { return released_; })) {
    ++beats_;
    const std::string content = text();
    [[maybe_unused]] const ssize_t n = pwrite(fd_, content.data(), content.size(), 0);
    close(dup(fd_));  // a network disk sends what was written when a descriptor is closed
  }
}

}  // namespace meander
