#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include <meander/kernels/error.h>

namespace meander {

// The program is not on this machine.
struct ProgramMissing : Failure {
  using Failure::Failure;
};

// Another program, running beside this one. It is in a process group of its own, so that Ctrl-C reaches this program
// alone, and is asked to end (SIGUSR1) when this one dies, however it dies.
class ChildProcess {
 public:
  // Starts command[0], looked for in the absolute folders of PATH if it has no slash, with the other words; `input` is
  // what it reads. Throws ProgramMissing, or Failure with the reason.
  explicit ChildProcess(const std::vector<std::string>& command, std::string_view input = {});
  // The same, but it reads what is written to it here, until end_input.
  enum Fed { fed };
  ChildProcess(const std::vector<std::string>& command, Fed);
  // The same, and what it writes to its standard output is read here.
  enum Heard { heard };
  ChildProcess(const std::vector<std::string>& command, Heard);
  ~ChildProcess();  // kills it
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  bool write(std::string_view bytes);  // waits until it has taken them; false: it reads no more
  void end_input();
  // Of a heard one: waits for so many bytes, until it closes its output or was silent for so long.
  enum class Heeded { all, closed, silent };
  Heeded read(void* to, size_t bytes, int seconds);
  void terminate();           // SIGTERM
  bool ended();               // asks without waiting
  int wait();                 // its exit status; 128 + the number of the signal that ended it
  std::string output() const; // what it has written to its standard output so far
  std::string error() const;  // to its standard error

 private:
  void start(const std::vector<std::string>& command);
  int socket();                 // makes feed_, and gives the other end

  int reason_ = 0;              // the errno that forbids a start
  int feed_ = -1;               // our end of a fed or heard one's sockets
  int input_, output_, error_;  // files without a name, but for the other ends
  pid_t pid_ = -1;
  int status_ = -1;
};

}  // namespace meander
