#include <meander/algos/settings.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <mutex>
#include <set>

#include <meander/core/text.h>
#include <meander/kernels/error.h>

namespace meander {

namespace {

// What is not a word of TOML is a text.
SettingValue parse(const std::string& text) {
  if (text == "true" || text == "false") return text == "true";
  if (const auto whole = parse_whole(text)) return *whole;
  if (const auto real = parse_number(text)) return *real;
  return text;
}

std::string number_text(double number) {
  const bool whole = number == std::floor(number) && std::fabs(number) <= static_cast<double>(largest_whole);
  return whole ? message(static_cast<int64_t>(number)) : message(number);
}

}  // namespace

const Setting* find_setting(const std::vector<Setting>& table, const std::string& key) {
  const auto found = std::find_if(table.begin(), table.end(), [&](const Setting& s) { return s.key == key; });
  return found == table.end() ? nullptr : &*found;
}

std::vector<std::string> names_of(const std::vector<Setting>& table) {
  std::vector<std::string> names;
  for (const Setting& setting : table) names.push_back(setting.key);
  return names;
}

std::string expectation(const Setting& setting) {
  if (std::holds_alternative<bool*>(setting.value)) return "true or false";
  if (std::holds_alternative<std::string*>(setting.value)) {
    std::string words;
    for (const std::string& word : setting.choices) words += (words.empty() ? "one of " : ", ") + word;
    return words.empty() ? "a text" : words;
  }
  std::string text = std::holds_alternative<int64_t*>(setting.value) ? "a whole number" : "a number";
  if (setting.low > -1e300) text += " from " + number_text(setting.low);
  if (setting.high < 1e300) text += (setting.low > -1e300 ? " to " : " up to ") + number_text(setting.high);
  return text;
}

bool store(const Setting& setting, const SettingValue& value) {
  if (auto* to = std::get_if<bool*>(&setting.value)) {
    const bool* from = std::get_if<bool>(&value);
    if (from) **to = *from;
    return from;
  }
  if (auto* to = std::get_if<std::string*>(&setting.value)) {
    const std::string* from = std::get_if<std::string>(&value);
    if (!from || (!setting.choices.empty() &&
                  std::find(setting.choices.begin(), setting.choices.end(), *from) == setting.choices.end()))
      return false;
    **to = *from;
    return true;
  }
  double number;
  if (const int64_t* whole = std::get_if<int64_t>(&value)) number = static_cast<double>(*whole);
  else if (const double* real = std::get_if<double>(&value)) number = *real;
  else return false;
  if (!(number >= setting.low && number <= setting.high)) return false;
  if (auto* to = std::get_if<double*>(&setting.value)) {
    **to = number;
    return true;
  }
  // 2^53 as a real number may have been its neighbour.
  const bool real = std::holds_alternative<double>(value);
  const int64_t most = largest_whole - (real ? 1 : 0);
  if (number != std::floor(number) || std::fabs(number) > static_cast<double>(most)) return false;
  const int64_t whole = real ? static_cast<int64_t>(number) : std::get<int64_t>(value);
  if (whole > most || whole < -most) return false;
  *std::get<int64_t*>(setting.value) = whole;
  return true;
}

bool store_text(const Setting& setting, const std::string& text) {
  const bool is_text = std::holds_alternative<std::string*>(setting.value);
  if (text.empty()) return false;
  return store(setting, is_text ? SettingValue(text) : parse(text));
}

std::vector<Renamed> renamed_flow_times() {
  return {{"interval_mean", "logit_mean"}, {"interval_deviation", "logit_deviation"}};
}

std::string name_of_today(const std::string& name, const std::vector<Renamed>& renamed) {
  const auto found = std::find_if(renamed.begin(), renamed.end(), [&](const Renamed& r) { return r.before == name; });
  if (found == renamed.end()) return name;
  static std::mutex one_at_a_time;
  static std::set<std::string> said;
  const std::lock_guard lock(one_at_a_time);
  if (said.insert(name).second) std::cerr << "meander: '" << name << "' is called '" << found->now << "' now\n";
  return found->now;
}

void set(AlgorithmSettings& algorithm, const std::string& key, const std::string& text) {
  const std::vector<Setting> table = algorithm.settings();
  const std::string name = name_of_today(key, algorithm.renamed());
  const Setting* const setting = find_setting(table, name);
  if (!setting) throw Error(algorithm.name() + " has no setting '" + key + "'" + did_you_mean(key, names_of(table)));
  if (!store_text(*setting, text)) throw Error(name + ": expected " + expectation(*setting) + ", got '" + text + "'");
}

std::unique_ptr<Agent> make_agent(const std::string& algorithm, const EnvironmentInfo& task,
                                  const SettingTexts& settings, uint64_t seed) {
  const auto made = make_algorithm(algorithm);
  made->adapt(task);
  for (const auto& [key, text] : settings) set(*made, key, text);
  return made->make_agent(task.observations, task.actions, seed);
}

}  // namespace meander
