#include <meander/algos/presets.h>
#include <meander/app/run_config.h>

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include <meander/app/device.h>
#include <meander/app/version.h>
#include <meander/kernels/error.h>
#include <meander/core/file_bytes.h>
#include <meander/core/nearest.h>
#include <meander/envs/environments.h>

// Some texts break what the parser asserts ("[ ="). It then throws here; with NDEBUG it would take it for granted.
namespace meander {
[[noreturn]] static void refuse_toml() { throw Error("not TOML"); }
}
#pragma push_macro("NDEBUG")
#undef NDEBUG
#define TOML_ASSERT(holds) ((holds) ? void() : meander::refuse_toml())
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")

namespace meander {

namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\', out += c;
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) out += fmt::format("\\u{:04X}", c);
    else out += c;
  }
  return out + "\"";
}

// ---- the file -------------------------------------------------------------------------------------------------------

// What the parser cannot take, found before it is asked: it and its tables call themselves for every part of a dotted
// key, so that a key of very many would use up the stack (levels of lists and tables it counts itself), and of
// characters that are not ASCII it asks whether they are blanks in a way that has no answer. It stops at the first
// character that is not TOML, so strings and comments need to be right only up to there.
class Precheck {
 public:
  explicit Precheck(const ConfigText& file) : file_(file), text_(file.text) {}

  void run() {
    if (text_.starts_with("\xef\xbb\xbf")) at_ = 3;  // a byte order mark
    const auto is_one_of = [](char c, std::string_view those) { return those.find(c) != std::string_view::npos; };
    bool after_word = false;
    for (int dots = 0; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size()) - 1;
      } else if (c == '"' || c == '\'') {
        if (after_word) fail("not TOML: a quote after a word");
        pass_string(c);
      } else if (static_cast<unsigned char>(c) >= 0x80) {
        fail("not TOML: a character that stands only in strings");
      } else if (c == '.') {
        if (++dots >= most_parts) fail(message("not a setting: a key of more than ", most_parts, " parts"));
      } else if (is_one_of(c, "\n=,[]{}")) {
        dots = 0;
        line_ += c == '\n';
      }
      if (!is_one_of(c, " \t\r")) after_word = !is_one_of(c, "\n=,[{.");
    }
  }

 private:
  static constexpr int most_parts = 16;

  // To the last quote; three of them may follow up to two that belong to the string.
  void pass_string(char quote) {
    const size_t marks = text_.substr(at_, 3) == std::string(3, quote) ? 3 : 1;
    const std::string end(marks, quote);
    for (at_ += marks; at_ < text_.size() && text_.substr(at_, marks) != end; ++at_) {
      if (text_[at_] == '\\' && quote == '"' && ++at_ < text_.size() && marks == 3 &&
          (static_cast<unsigned char>(text_[at_]) >= 0x80 || text_[at_] <= ' '))
        fail("a string that goes on after a \\ at the end of its line is not read");
      if (at_ < text_.size()) line_ += text_[at_] == '\n';
    }
    at_ += marks - 1;
    for (int more = 0; marks == 3 && more < 2 && at_ + 1 < text_.size() && text_[at_ + 1] == quote; ++more) ++at_;
  }
  [[noreturn]] void fail(const std::string& what) const { throw Error(message(file_.name, ":", line_, ": ", what)); }

  const ConfigText& file_;
  std::string_view text_;
  size_t at_ = 0;
  int line_ = 1;
};

constexpr uint64_t longest_config = 1'000'000;  // bytes; every setting with its meaning takes 10 kB

toml::table parse(const ConfigText& file) {
  if (file.text.size() > longest_config)  // a checkpoint's may be
    throw Error(message(file.name, ": ", file.text.size(), " bytes, at most ", longest_config, " are read"));
  Precheck(file).run();
  try {
    return toml::parse(file.text, file.name);
  } catch (const toml::parse_error& error) {
    std::string what(error.description());
    for (char& c : what)
      if (c == '\n') c = ' ';
    throw Error(message(file.name, ":", error.source().begin.line, ": not TOML: ", what));
  } catch (const Error& error) {
    throw Error(message(file.name, ": ", error.what()));
  }
}

std::string place(const ConfigText& file, const toml::node& node) {
  return message(file.name, ":", node.source().begin.line, ": ");
}

std::string kind(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::string: return quoted(node.ref<std::string>());
    case toml::node_type::integer: return message(node.ref<int64_t>());
    case toml::node_type::floating_point: return fmt::format("{}", node.ref<double>());
    case toml::node_type::boolean: return node.ref<bool>() ? "true" : "false";
    case toml::node_type::array: return "a list";
    case toml::node_type::table: return "a table";
    default: return "a date or time";
  }
}

void apply_table(const ConfigText& file, const toml::node& node, const std::string& name,
                 const std::vector<Setting>& table, const std::vector<Renamed>& renamed) {
  if (!node.is_table()) throw Error(place(file, node) + name + ": expected a table, got " + kind(node));
  for (const auto& [toml_key, value] : *node.as_table()) {
    const std::string key(toml_key.str());
    const Setting* setting = find_setting(table, name_of_today(key, renamed));
    if (!setting) throw Error(place(file, value) + "no setting '" + key + "' in [" + name + "]" +
                              did_you_mean(key, names_of(table)));
    SettingValue typed;
    bool stored = true;
    if (value.is_boolean()) typed = value.ref<bool>();
    else if (value.is_integer()) typed = value.ref<int64_t>();
    else if (value.is_floating_point()) typed = value.ref<double>();
    else if (value.is_string()) typed = value.ref<std::string>();
    else stored = false;
    if (!stored || !store(*setting, typed))
      throw Error(place(file, value) + key + ": expected " + expectation(*setting) + ", got " + kind(value));
  }
}

// A name at the top of the file, or nothing.
std::string top_name(const ConfigText& file, const toml::table& root, const char* key) {
  const toml::node* node = root.get(key);
  if (!node) return "";
  if (!node->is_string()) throw Error(place(file, *node) + key + ": expected a text, got " + kind(*node));
  return node->ref<std::string>();
}

void apply_file(const ConfigText& file, const toml::table& root, RunConfig& config) {
  const std::vector<std::string> known = {"algo", "env", "version", "commit", "machine", "training", "algorithm"};
  for (const auto& [toml_key, value] : root) {
    const std::string key(toml_key.str());
    if (key == "training") apply_table(file, value, key, config.training_table(), {});
    else if (key == "algorithm")
      apply_table(file, value, key, config.algorithm_table(), config.algorithm_settings->renamed());
    else if (std::find(known.begin(), known.end(), key) == known.end()) {
      const bool lost = find_setting(config.training_table(), key) || find_setting(config.algorithm_table(), key);
      throw Error(place(file, value) + "no setting '" + key + "' outside a table" +
                  (lost ? message("; it belongs under [",
                                  find_setting(config.training_table(), key) ? "training" : "algorithm", "]")
                        : did_you_mean(key, known)));
    }
  }
}

void apply(const Assignment& assignment, RunConfig& config) {
  const auto training = config.training_table(), algorithm = config.algorithm_table();
  const Setting* setting = find_setting(training, assignment.key);
  if (!setting)
    setting = find_setting(algorithm, name_of_today(assignment.key, config.algorithm_settings->renamed()));
  if (!setting) {
    std::vector<std::string> known = names_of(training);
    for (const std::string& key : names_of(algorithm)) known.push_back(key);
    throw Error(message(assignment.origin, ": ", config.algorithm, " has no setting '", assignment.key, "'",
                        did_you_mean(assignment.key, known), " (meander config --algo ", config.algorithm,
                        " prints them all)"));
  }
  if (!store_text(*setting, assignment.text))
    throw Error(message(assignment.origin == "--set" ? "--set " + assignment.key : assignment.origin, ": expected ",
                        expectation(*setting), ", got '", assignment.text, "'"));
}

}  // namespace

std::vector<Setting> RunConfig::training_table() {
  std::vector<Setting> table = training.settings();
  table.push_back({"action_repeat", &task.action_repeat, "control steps",
                   "that take the same action, as one step of the environment; rewards are summed", 1, 1000, {}});
  table.push_back({"time_limit", &task.time_limit, "control steps", "of an episode; 0: the task's own", 0, 1e9, {}});
  table.push_back({"observation_scaling", &task.observation_scaling, "",
                   "standard: less the mean and over the deviation of 5,000 random steps", 0, 0, {"none", "standard"}});
  table.push_back({"data_filter", &data_options.filter, "",
                   "of a file in robomimic's layout: the demonstrations that mask/... lists", 0, 0, {}});
  table.push_back({"data_observation_keys", &data_options.observation_keys, "",
                   "a,b: where a file's observations are several arrays, these, in this order", 0, 0, {}});
  table.push_back({"data_episodes", &data_options.episodes, "episodes", "of the data set, the first; 0: all", 0, 1e9,
                   {}});
  table.push_back({"data_clip_actions", &data_options.clip_actions, "",
                   "clip the data set's actions to [-1, 1], instead of refusing others", 0, 0, {}});
  table.push_back({"threads", &threads, "threads", "of the CPU; 0: all. The results do not depend on it", 0, 1024, {}});
  table.push_back({"device", &device, "",
                   "where the agent learns and acts: cpu, cuda, cuda:1, cuda-emulated; the environments step on the CPU", 0,
                   0, {}});
  return table;
}

std::vector<Setting> RunConfig::algorithm_table() { return algorithm_settings->settings(); }

Assignment parse_assignment(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    throw Error("--set: expected key=value, got '" + text + "'");
  return {"--set", text.substr(0, equals), text.substr(equals + 1)};
}

ConfigText read_config_text(const std::string& path) {
  try {
    return {read_file(path, longest_config), path};
  } catch (const Error& error) {
    throw Error(message("configuration file ", error.what(), " (meander config prints one to start from)"));
  }
}

RunConfig resolve(const std::string& algorithm, const std::string& environment, const ConfigText* file,
                  const std::vector<Assignment>& assignments) {
  toml::table root;
  if (file) root = parse(*file);
  RunConfig config;
  config.algorithm = algorithm.empty() && file ? top_name(*file, root, "algo") : algorithm;
  config.environment = environment.empty() && file ? top_name(*file, root, "env") : environment;
  if (config.algorithm.empty()) throw Error("no algorithm given: add --algo, one of " + joined(algorithm_names()));
  config.algorithm_settings = make_algorithm(config.algorithm);
  config.algorithm_settings->adapt_loop(config.training);
  if (!config.environment.empty()) config.algorithm_settings->adapt(environment_info(config.environment));
  for (const Assignment& assignment : assignments)
    if (assignment.origin == "--preset")
      apply_preset(*config.algorithm_settings, config.training, assignment.text, config.environment);
  if (file) config.machine = top_name(*file, root, "machine");
  if (file) apply_file(*file, root, config);
  for (const Assignment& assignment : assignments)
    if (assignment.origin != "--preset") apply(assignment, config);
  expect_device_name(config.device);
  return config;
}

std::string value_text(const Setting& setting) {
  if (auto* v = std::get_if<bool*>(&setting.value)) return **v ? "true" : "false";
  if (auto* v = std::get_if<int64_t*>(&setting.value)) return message(**v);
  if (auto* v = std::get_if<std::string*>(&setting.value)) return quoted(**v);
  const std::string text = fmt::format("{}", *std::get<double*>(setting.value));
  return text.find_first_not_of("-0123456789") == std::string::npos ? text + ".0" : text;  // TOML's mark of a real
}

std::string to_toml(RunConfig& config) {
  std::string text = fmt::format("# {}, as Meander {} runs it.\n", config.algorithm_settings->title(), version());
  text += fmt::format("version = {}\ncommit = {}\n", quoted(version()), quoted(commit()));
  if (!config.machine.empty()) text += fmt::format("machine = {}\n", quoted(config.machine));
  text += fmt::format("algo = {}\n", quoted(config.algorithm));
  text += config.environment.empty() ? "# env = \"...\"  (its defaults are not applied here)\n"
                                     : fmt::format("env = {}\n", quoted(config.environment));
  for (const bool of_training : {true, false}) {
    const std::vector<Setting> table = of_training ? config.training_table() : config.algorithm_table();
    size_t width = 0;
    for (const Setting& s : table) width = std::max(width, s.key.size() + 3 + value_text(s).size());
    text += of_training ? "\n[training]\n" : "\n[algorithm]\n";
    for (const Setting& s : table) {
      std::string meaning = s.meaning;
      if (!s.choices.empty()) meaning += " (" + joined(s.choices) + ")";
      if (!s.unit.empty()) meaning += " [" + s.unit + "]";
      text += fmt::format("{:<{}}  # {}\n", s.key + " = " + value_text(s), width, meaning);
    }
  }
  return text;
}

}  // namespace meander
