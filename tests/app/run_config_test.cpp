#include <meander/app/run_config.h>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <meander/kernels/error.h>
#include "../folder.h"

using namespace meander;

namespace {

RunConfig from_text(const std::string& text, const std::vector<Assignment>& assignments = {}) {
  const ConfigText file{text, "my.toml"};
  return resolve("mfpo", "Pendulum-v1", &file, assignments);
}

std::string error_of(const std::string& text) {
  try {
    from_text(text);
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find('\n') == std::string::npos);
    return error.what();
  }
  return "";
}

std::string setting_error(const std::string& text) {
  try {
    resolve("mfpo", "", nullptr, {parse_assignment(text)});
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

std::string text_of(RunConfig& config, const std::string& key) {
  for (const auto& table : {config.training_table(), config.algorithm_table()})
    for (const Setting& setting : table)
      if (setting.key == key) return value_text(setting);
  return "none";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

// What `config` prints is what `--config` reads: every setting, with values far from the defaults too.
TEST_CASE("the printed configuration reads back") {
  for (const std::string& algorithm : algorithm_names()) {
    RunConfig config = resolve(algorithm, "Pendulum-v1", nullptr, {});
    // Change every setting that can be changed within its range.
    for (const auto& table : {config.training_table(), config.algorithm_table()})
      for (const Setting& s : table) {
        if (auto* v = std::get_if<bool*>(&s.value)) **v = !**v;
        if (auto* v = std::get_if<int64_t*>(&s.value)) **v = **v < s.high ? **v + 1 : **v - 1;
        if (auto* v = std::get_if<double*>(&s.value)) **v = **v * 0.7 + (s.low + 1e-3 > 0 ? 1e-3 : 0);
        if (auto* v = std::get_if<std::string*>(&s.value); v && !s.choices.empty()) **v = s.choices.back();
      }
    const std::string text = to_toml(config);
    const ConfigText file{text, "printed"};
    RunConfig again = resolve("", "", &file, {});
    CHECK(again.algorithm == algorithm);
    CHECK(again.environment == "Pendulum-v1");
    CHECK(to_toml(again) == text);
    for (const auto& table : {config.training_table(), config.algorithm_table()})
      for (const Setting& s : table) CHECK_MESSAGE(contains(text, s.meaning), s.key);
  }
}

// Defaults, then the environment's, then the file, then the command line.
TEST_CASE("later sources win") {
  RunConfig plain = resolve("mfpo", "", nullptr, {});
  CHECK(text_of(plain, "clipped_double_q") == "true");
  RunConfig cheetah = resolve("mfpo", "HalfCheetah-v4", nullptr, {});
  CHECK(text_of(cheetah, "clipped_double_q") == "false");
  const ConfigText file{"algo = 'mfpo'\nenv = 'HalfCheetah-v4'\n[training]\nsteps = 500\nseed = 3\n"
                        "[algorithm]\nclipped_double_q = true\nbatch_size = 64\n", "my.toml"};
  RunConfig config = resolve("", "", &file, {{"--steps", "steps", "1e6"}, {"--set", "batch_size", "32"}});
  CHECK(config.environment == "HalfCheetah-v4");
  CHECK(config.training.steps == 1'000'000);
  CHECK(config.training.seed == 3);
  CHECK(text_of(config, "clipped_double_q") == "true");
  CHECK(text_of(config, "batch_size") == "32");
  CHECK(resolve("", "Pendulum-v1", &file, {}).environment == "Pendulum-v1");
}

TEST_CASE("a bad configuration file is named with its line") {
  CHECK(contains(error_of("[training]\nsteps = = 5\n"), "my.toml:2: not TOML"));
  CHECK(error_of("[training]\nsteps = \"many\"\n") ==
        "my.toml:2: steps: expected a whole number from 1 to 1000000000000, got \"many\"");
  CHECK(contains(error_of("[training]\nsteps = 2.5\n"), "expected a whole number"));
  CHECK(contains(error_of("[training]\nsteps = -1\n"), "from 1"));
  CHECK(contains(error_of("[training]\nsteps = [1]\n"), "got a list"));
  CHECK(contains(error_of("[training]\nstps = 5\n"), "my.toml:2: no setting 'stps' in [training]; did you mean steps"));
  CHECK(contains(error_of("[algorithm]\nproposals = 'bth'\n"), "one of both, policy, gaussian"));
  CHECK(contains(error_of("[algorithm]\nclipped_double_q = 1\n"), "true or false"));
  CHECK(contains(error_of("[algoritm]\nx = 1\n"), "did you mean algorithm?"));
  CHECK(contains(error_of("batch_size = 1\n"), "belongs under [algorithm]"));
  CHECK(contains(error_of("training = 1\n"), "expected a table"));
  CHECK(contains(error_of("[training]\nsteps = nan\n"), "expected a whole number"));
  CHECK(contains(error_of("[algorithm]\ndiscount = nan\n"), "expected a number from 0 to 1"));
  CHECK_THROWS_AS(read_config_text("/nowhere/my.toml"), Error);
}

// Protects the stack, and the time: a parser that calls itself for every part of a key or level of a list.
TEST_CASE("keys and lists of very many parts or levels are refused") {
  const auto repeated = [](const char* part, int n) {
    std::string text;
    for (int i = 0; i < n; ++i) text += part;
    return text;
  };
  const std::string many = repeated("a.", 200'000) + "a";
  for (const std::string& text :
       {many + " = 1\n", "[" + many + "]\n", "[[" + many + "]]\n", "x = {" + many + " = 1}\n",
        repeated("a . ", 200'000) + "a = 1\n", repeated("\"\".", 200'000) + "a = 1\n",
        repeated("'#'.", 200'000) + "a = 1\n", "x = '''\n'''\n" + many + " = 1\n",
        "x = \"\"\"a\"\"\"\"\"\n" + many + " = 1\n", "x = \"\"\n" + many + " = 1\n"})
    CHECK_MESSAGE(contains(error_of(text), "a key of more than 16 parts"), text.substr(0, 40));
  CHECK(contains(error_of("x = \"\"\"\n\n\"\"\"\n" + many + " = 1\n"), "my.toml:4: "));
  for (const std::string& text : {"x = " + repeated("[", 200'000), "x = " + repeated("{a=", 200'000),
                                  repeated("[", 200'000), "x = " + repeated("{a.b.c.d.e.f.g.h=", 50'000)})
    CHECK_MESSAGE(contains(error_of(text), "not TOML"), text.substr(0, 40));
  for (const char* text : {"[ =", "[ .a]", "[[ =]]", "[\t#]"})
    CHECK_MESSAGE(contains(error_of(text), "not TOML"), text);
  // Of these the parser asks whether they are blanks.
  for (const char* text : {"\n\xc3\xa9 = 1", "\nx = 1\xc2\xa0", "\n[\xe2\x80\x83x]",
                           "\nx = +\"\"\"a\"\"\xc5\x93\"\"\""})
    CHECK_MESSAGE(contains(error_of(text), "my.toml:2: not TOML"), text);
  CHECK(contains(error_of("x = \"\"\"\\\n\xc3\xa9\"\"\""), "a \\ at the end of its line"));
  from_text("\xef\xbb\xbf# \xc3\xa9\n[training]\ndata = '\xc3\xa9.npz'\n");
  // Dots elsewhere are no parts of a key.
  const std::string dots = repeated("1.", 20);
  from_text("# " + dots + "\n[training]\ndata = \"" + dots + "\\\"" + dots + "\" # " + dots + "\nsteps = 5\n");
  from_text("[training]\ndata = '''\n" + dots + "'" + dots + "'''\n");
  CHECK(contains(error_of("x = '" + dots + "\n" + many), "not TOML"));  // a string ends with its line
}

TEST_CASE("a configuration file is a file, of a size that one has") {
  const Folder folder;
  write_text(folder.file("empty.toml"), "");
  CHECK(read_config_text(folder.file("empty.toml")).text == "");
  write_text(folder.file("long.toml"), std::string(1'000'001, '\n'));
  CHECK_THROWS_WITH_AS(read_config_text(folder.file("long.toml")), doctest::Contains("at most 1000000"), Error);
  REQUIRE(mkfifo(folder.file("pipe.toml").c_str(), 0600) == 0);
  CHECK_THROWS_WITH_AS(read_config_text(folder.file("pipe.toml")), doctest::Contains("not a regular file"), Error);
  CHECK_THROWS_AS(read_config_text(folder.path()), Error);
}

TEST_CASE("a bad --set is named") {
  CHECK(contains(setting_error("bathc=1"), "did you mean batch_size?"));
  CHECK(contains(setting_error("batch_szie=1"), "did you mean batch_size?"));
  CHECK(contains(setting_error("qqqqqqqq=1"), "meander config --algo mfpo"));
  CHECK(contains(setting_error("batch_size=-3"), "--set batch_size: expected a whole number from 1 to 65536, got"));
  CHECK(contains(setting_error("batch_size=abc"), "got 'abc'"));
  CHECK(contains(setting_error("batch_size="), "got ''"));
  CHECK(contains(setting_error("batch_size=1.5"), "whole number"));
  CHECK(contains(setting_error("batch_size=99999999999999999999"), "whole number"));
  CHECK(contains(setting_error("discount=nan"), "from 0 to 1"));
  CHECK(contains(setting_error("discount=inf"), "from 0 to 1"));
  CHECK(contains(setting_error("proposals=none"), "one of both, policy, gaussian"));
  CHECK(contains(setting_error("clipped_double_q=yes"), "true or false"));
  CHECK_THROWS_AS(parse_assignment("batch_size"), Error);
  CHECK_THROWS_AS(parse_assignment("=3"), Error);
}

TEST_CASE("unknown names are errors") {
  CHECK_THROWS_AS(resolve("", "", nullptr, {}), Error);
  CHECK_THROWS_WITH_AS(resolve("mfop", "", nullptr, {}), doctest::Contains("mfpo"), Error);
  CHECK_THROWS_WITH_AS(resolve("mfpo", "HalfChetah-v4", nullptr, {}), doctest::Contains("HalfCheetah-v4"), Error);
}

// A checkpoint holds one as well, whose length nobody has looked at.
TEST_CASE("a configuration longer than any is refused wherever it comes from") {
  CHECK(error_of(std::string(1'000'000, '\n')) == "");
  CHECK(error_of(std::string(1'000'001, '\n')) == "my.toml: 1000001 bytes, at most 1000000 are read");
}
