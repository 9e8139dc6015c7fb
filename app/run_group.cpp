#include <meander/app/run_group.h>

#include <algorithm>
#include <filesystem>
#include <regex>
#include <set>

#include <meander/app/run_recorder.h>
#include <meander/kernels/error.h>
#include <meander/envs/environments.h>

namespace meander {

namespace {

namespace fs = std::filesystem;

// As the environment is written elsewhere: file names are often in lower case.
std::string usual_spelling(const std::string& environment) {
  const auto lower = [](std::string text) {
    for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
  };
  for (const std::string& known : environment_names())
    if (lower(known) == lower(environment)) return known;
  return environment;
}

Run read_file(const std::string& path) {
  static const std::regex seeded("(.+)-s([0-9]{1,9})"), parts("([^-]+)-(.+?-v[0-9]+)(?:-(.+))?");
  Run run{path, "", "", "", {}, -1, Metrics(path)};
  std::string name = fs::path(path).stem().string();
  std::smatch match;
  if (std::regex_match(name, match, seeded)) {
    run.seed = std::stoll(match[2]);
    name = match.str(1);
  }
  if (std::regex_match(name, match, parts)) {
    run.algorithm = match[1];
    run.environment = usual_spelling(match[2]);
    run.variant = match[3];
  } else {
    run.algorithm = run.environment = name;
  }
  return run;
}

Run read_folder(const std::string& path) {
  const ConfigText text = read_config_text(path + "/" + run_file::config);
  RunConfig config = resolve("", "", &text, {});
  return {path, config.algorithm, config.environment, "", deciding_settings(config), config.training.seed,
          Metrics(path + "/" + run_file::metrics, config.algorithm_settings->renamed())};
}

bool is_file(const Run& run) { return run.settings.empty(); }

bool same_but_for_the_seed(const Run& a, const Run& b) {
  const auto folder = [](const Run& run) { return is_file(run) ? fs::path(run.path).parent_path() : fs::path(); };
  return a.algorithm == b.algorithm && a.environment == b.environment && a.variant == b.variant &&
         a.settings == b.settings && folder(a) == folder(b);
}

// "key=value" of the settings that differ among the groups of the same algorithm and environment.
std::vector<std::string> differences(const RunGroup& group, const std::vector<RunGroup>& groups) {
  const Run& run = group.runs.front();
  std::vector<std::string> words;
  for (size_t i = 0; i < run.settings.size(); ++i) {
    const bool differs = std::any_of(groups.begin(), groups.end(), [&](const RunGroup& group) {
      const Run& other = group.runs.front();
      return other.algorithm == run.algorithm && other.environment == run.environment && !is_file(other) &&
             other.settings[i] != run.settings[i];
    });
    if (differs) words.push_back(run.settings[i].first + "=" + run.settings[i].second);
  }
  return words;
}

}  // namespace

DecidingSettings deciding_settings(RunConfig& config) {
  DecidingSettings settings;
  for (const auto& table : {config.training_table(), config.algorithm_table()})
    for (const Setting& setting : table)
      if (const std::string& key = setting.key;
          key != "seed" && key != "steps" && key != "threads" && key != "overlap") {
        const auto* text = std::get_if<std::string*>(&setting.value);
        settings.emplace_back(key, text ? **text : value_text(setting));
      }
  return settings;
}

std::optional<Difference> difference(RunConfig& first, RunConfig& second) {
  if (first.algorithm != second.algorithm) return Difference{"algo", first.algorithm, second.algorithm};
  if (first.environment != second.environment) return Difference{"env", first.environment, second.environment};
  if (first.training.seed != second.training.seed)
    return Difference{"seed", message(first.training.seed), message(second.training.seed)};
  const DecidingSettings one = deciding_settings(first), two = deciding_settings(second);
  for (size_t i = 0; i < one.size(); ++i)
    if (one[i] != two[i] && one[i].first != "device") return Difference{one[i].first, one[i].second, two[i].second};
  return {};
}

Run read_run(const std::string& path) {
  if (fs::is_directory(path)) return read_folder(path);
  if (!fs::exists(path)) throw Error(path + ": no such run folder or .csv file");
  if (fs::path(path).extension() != ".csv") throw Error(path + ": neither a run folder nor a .csv file");
  return read_file(path);
}

std::vector<std::string> run_paths(const std::string& path) {
  if (!fs::is_directory(path) || fs::exists(path + "/" + run_file::config)) return {path};
  std::vector<std::string> paths;
  for (const auto& entry : fs::directory_iterator(path))
    if (fs::exists(entry.path() / run_file::config)) paths.push_back(entry.path().string());
  std::sort(paths.begin(), paths.end());
  return paths.empty() ? std::vector{path} : paths;
}

std::vector<RunGroup> group_runs(std::vector<Run> runs) {
  std::vector<RunGroup> groups;
  for (Run& run : runs) {
    auto group = std::find_if(groups.begin(), groups.end(), [&](const RunGroup& candidate) {
      return same_but_for_the_seed(candidate.runs.front(), run);
    });
    if (group == groups.end()) group = groups.insert(groups.end(), {run.environment, "", {}});
    for (const Run& other : group->runs)
      if (other.seed == run.seed)
        throw Error(message(other.path, " and ", run.path, ": the same configuration and seed; leave out one"));
    group->runs.push_back(std::move(run));
  }

  std::set<std::string> algorithms;
  for (RunGroup& group : groups) {
    algorithms.insert(group.runs.front().algorithm);
    std::sort(group.runs.begin(), group.runs.end(), [](const Run& a, const Run& b) { return a.seed < b.seed; });
  }
  std::set<std::pair<std::string, std::string>> taken;
  for (RunGroup& group : groups) {
    const Run& run = group.runs.front();
    std::vector<std::string> words = differences(group, groups);
    if (!run.variant.empty()) words.push_back(run.variant);
    if (words.empty() || is_file(run) || algorithms.size() > 1) words.insert(words.begin(), run.algorithm);
    for (const std::string& word : words) group.label += (group.label.empty() ? "" : " ") + word;
    // Files of one name in two folders.
    if (!taken.emplace(group.environment, group.label).second)
      group.label += " (" + fs::path(run.path).parent_path().string() + ")";
  }
  return groups;
}

}  // namespace meander
