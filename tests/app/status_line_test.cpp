// Protects terminals from lines that wrap, and files from escape sequences.
#include <meander/app/status_line.h>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

using namespace meander;

namespace {

// A terminal of so many columns, or one that does not know how many (0).
class Terminal {
 public:
  explicit Terminal(unsigned short columns) : master_(posix_openpt(O_RDWR | O_NOCTTY)) {
    REQUIRE(master_ >= 0);
    REQUIRE(grantpt(master_) == 0);
    REQUIRE(unlockpt(master_) == 0);
    stream = std::fopen(ptsname(master_), "w");
    REQUIRE(stream);
    resize(columns);
  }
  ~Terminal() {
    std::fclose(stream);
    close(master_);
  }
  void resize(unsigned short columns) {
    const winsize size = {24, columns, 0, 0};
    REQUIRE(ioctl(master_, TIOCSWINSZ, &size) == 0);
  }
  // What was written since.
  std::string read() {
    std::string text;
    pollfd ready = {master_, POLLIN, 0};
    while (poll(&ready, 1, 20) > 0) {
      char piece[1024];
      text.append(piece, static_cast<size_t>(::read(master_, piece, sizeof piece)));
    }
    return text;
  }

  std::FILE* stream;

 private:
  int master_;
};

// TERM for one test.
class Term {
 public:
  explicit Term(const char* value) : before_(std::getenv("TERM") ? std::getenv("TERM") : "") {
    setenv("TERM", value, 1);
  }
  ~Term() { setenv("TERM", before_.c_str(), 1); }

 private:
  std::string before_;
};

const std::string erase = "\r\033[K";

}  // namespace

TEST_CASE("parts that do not fit are left out") {
  const std::vector<std::string> parts = {"step 10", "5 left", "x"};
  CHECK(fitted(parts, 100) == "step 10, 5 left, x");
  CHECK(fitted(parts, 18) == "step 10, 5 left, x");
  CHECK(fitted(parts, 17) == "step 10, 5 left");
  CHECK(fitted(parts, 14) == "step 10");
  CHECK(fitted(parts, 3) == "ste");
  CHECK(fitted(parts, 0) == "");
}

TEST_CASE("a line fits the terminal, also after its width changed") {
  const Term term("xterm");
  Terminal terminal(20);
  {
    StatusLine line(terminal.stream);
    CHECK(line.changes());
    line.show({"eleven more", "six in"});
    CHECK(terminal.read() == "eleven more, six in");  // 19
    terminal.resize(19);
    line.show({"eleven more", "six in"});
    CHECK(terminal.read() == erase + "eleven more");
    terminal.resize(5);
    line.show({"eleven more", "six in"});
    CHECK(terminal.read() == erase + "elev");
    terminal.resize(1);
    line.show({"eleven more", "six in"});
    CHECK(terminal.read() == erase);
    terminal.resize(0);
    line.show({std::string(70, 'a'), "eleven more"});
    CHECK(terminal.read() == erase + std::string(70, 'a'));
  }
  CHECK(terminal.read() == erase);
}

TEST_CASE("nothing is drawn again where it cannot be") {
  for (const char* value : {"dumb", ""}) {
    const Term term(value);
    Terminal terminal(10);
    StatusLine line(terminal.stream);
    CHECK(!line.changes());
    line.show({"eleven more", "six in"});
    line.clear();
    CHECK(terminal.read() == "eleven more, six in\r\n");
  }
  const Term term("xterm");
  std::FILE* const file = std::tmpfile();
  StatusLine line(file);
  CHECK(!line.changes());
  line.show({"a\033b", "c"});
  line.clear();
  std::rewind(file);
  char text[64] = {};
  CHECK(std::string(text, std::fread(text, 1, sizeof text, file)) == "a\\x1bb, c\n");
  std::fclose(file);
}
