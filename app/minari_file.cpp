#include <meander/app/minari_file.h>

#include <algorithm>
#include <filesystem>

#include <meander/app/episode_arrays.h>
#include <meander/app/npz_file.h>
#include <meander/core/file_bytes.h>
#include <meander/core/json.h>
#include <meander/core/text.h>
#include <meander/envs/environments.h>

namespace meander {

namespace {

// What the file or the one beside it says under a name, a text or a number.
class MinariMetadata {
 public:
  explicit MinariMetadata(Hdf5File& file) : file_(file) {
    const auto beside = std::filesystem::path(file.path()).parent_path() / "metadata.json";
    if (!std::filesystem::exists(beside)) return;
    const std::string text = read_file(beside.string(), 8 << 20);
    try {
      beside_ = Json::parse(text);
      if (!beside_.is_object()) throw Error("expected an object");
    } catch (const Error& error) {
      throw Error(message(beside.string(), ": ", error.what()));
    }
  }
  std::string operator()(const std::string& name) {
    const Json* const found = beside_.is_object() ? beside_.find(name) : nullptr;
    if (!found) return file_.attribute("", name).value_or("");
    return found->is_text() ? found->text() : found->dump();
  }

 private:
  Hdf5File& file_;
  Json beside_;
};

std::string environment_of(const Hdf5File& file, const std::string& spec) {
  if (spec.empty() || spec == "null") return "";
  try {
    return Json::parse(spec).at("id").text();
  } catch (const Error& error) {
    file.fail("env_spec: ", error.what());
  }
}

// Divides actions by the range of the environment's, if we know it and it is not 1.
void normalise_actions(DataFile& result) {
  const auto known = environment_names();
  if (std::find(known.begin(), known.end(), result.environment) == known.end()) return;
  const EnvironmentInfo info = environment_info(result.environment);
  DataSet& data = result.data;
  if (info.actions != data.actions) return;  // refused where it is to be used
  const auto usual = [](const std::vector<double>& bounds, double bound) {
    return std::all_of(bounds.begin(), bounds.end(), [&](double x) { return x == bound; });
  };
  if (usual(info.action_low, -1) && usual(info.action_high, 1)) return;
  for (int64_t i = 0; i < std::ssize(data.action); ++i) {
    const double low = info.action_low[i % data.actions], high = info.action_high[i % data.actions];
    data.action[i] = static_cast<float>((data.action[i] - (low + high) / 2) / ((high - low) / 2));
  }
  result.remarks.push_back(message("actions were brought from the range of ", result.environment, " to [-1, 1]"));
}

}  // namespace

bool has_minari_layout(const Hdf5File::Names& root) { return !in_order(root, "episode_").empty(); }

DataFile read_minari(Hdf5File& file, const DataOptions& options) {
  DataFile result;
  MinariMetadata metadata(file);
  result.environment = environment_of(file, metadata("env_spec"));
  const Hdf5File::Names names = in_order(file.names("").value_or(Hdf5File::Names{}), "episode_");
  if (names.empty()) file.fail("no group episode_0");
  const size_t most = options.episodes > 0 ? static_cast<size_t>(options.episodes) : names.size();
  const size_t episodes = std::min(most, names.size());

  // Which arrays an observation is of.
  Hdf5File::Names keys = split(options.observation_keys);
  const auto there = file.names(names[0] + "/observations");
  if (there && keys.empty()) {
    std::string known;
    for (const std::string& key : *there) known += (known.empty() ? "" : ",") + key;
    file.fail("observations are several arrays: say which, and in which order, with --observation-keys, e.g. ",
              shown(known));
  }
  if (!there && !keys.empty()) file.fail("observations are one array: --observation-keys goes with several");
  if (!there) keys = {"observations"};
  const std::string within = there ? "/observations" : "";
  const KeyColumns columns = key_columns(file, names[0] + within, there.value_or(Hdf5File::Names{}), keys);

  Hdf5File::Names arrays;
  for (size_t i = 0; i < episodes; ++i) {
    arrays.push_back(names[i] + "/actions");
    arrays.push_back(names[i] + within + "/" + keys[0]);
  }
  const auto shapes = file.shapes(arrays);
  std::vector<int64_t> steps;
  std::vector<uint8_t> followed;
  int64_t actions = 0, total = 0;
  for (size_t i = 0; i < episodes; ++i) {
    int64_t width = columns.widths[0];
    const int64_t n = expect_rows(file, arrays[2 * i], shapes[2 * i], actions);
    const int64_t rows = expect_rows(file, arrays[2 * i + 1], shapes[2 * i + 1], width);
    if (n < 1) file.fail(names[i], " has no step");
    if (rows != n && rows != n + 1)
      file.fail(names[i], " has ", n, " actions and ", rows, " observations; there is one more, or as many");
    steps.push_back(n);
    followed.push_back(rows == n + 1);
    if (__builtin_add_overflow(total, n, &total)) file.fail("too many steps");
  }
  if (const std::string said = metadata("total_steps"); episodes == names.size() && !said.empty() &&
                                                        parse_whole(said) != total)
    result.remarks.push_back(message("total_steps is ", quoted(said), ", but there are ", total));

  EpisodeArrays episode(file, steps, columns.width, actions);
  const auto wanted_of = [&](const std::string& name) {
    std::vector<Hdf5Rows> wanted;
    for (size_t i = 0; i < episodes; ++i) wanted.push_back({names[i] + "/" + name, steps[i], 1});
    return wanted;
  };
  const std::vector<uint8_t> terminated = episode.flags(wanted_of("terminations"));
  const std::vector<uint8_t> truncated = episode.flags(wanted_of("truncations"));
  int64_t within_episodes = 0, dropped = 0, repeated = 0;
  for (size_t i = 0, step = 0; i < episodes; ++i)
    for (int64_t left = steps[i]; left > 0; --left, ++step) {
      const bool last = left == 1;
      within_episodes += !last && (terminated[step] || truncated[step]);
      episode.add_step(last, followed[i] || terminated[step]);
      repeated += last && !followed[i] && terminated[step];
      dropped += last && !followed[i] && !terminated[step];
    }
  DataSet& data = episode.allocate();

  std::vector<Hdf5Rows> wanted;
  for (size_t i = 0; i < episodes; ++i) {
    wanted.push_back({names[i] + "/actions", steps[i], actions});
    wanted.push_back({names[i] + "/rewards", steps[i], 1});
    for (size_t k = 0; k < keys.size(); ++k)
      wanted.push_back({names[i] + within + "/" + keys[k], steps[i] + followed[i], columns.widths[k]});
  }
  const size_t each = 2 + keys.size();
  file.read_rows<float>(wanted, [&](size_t index, int64_t begin, std::span<const float> numbers) {
    const size_t slot = index % each, width = static_cast<size_t>(wanted[index].width);
    const int64_t first = episode.first_step(index / each);
    int64_t row = episode.row(first) + begin;
    for (size_t at = 0; at < numbers.size(); at += width, ++row) {
      float* const to = slot == 0 ? &data.action[row * data.actions]
                        : slot == 1 ? &data.reward[row]
                                    : &data.observation[row * data.observations + columns.offsets[slot - 2]];
      std::copy_n(&numbers[at], width, to);
    }
  });
  for (size_t step = 0; step < terminated.size(); ++step)
    if (terminated[step]) data.mask[episode.row(static_cast<int64_t>(step))] = 0;
  for (size_t i = 0; i < episodes; ++i)
    if (!followed[i]) episode.repeat(episode.first_step(i) + steps[i] - 1);
  result.data = episode.take();
  normalise_actions(result);

  const auto say = [&](const char* what, const std::string& value) {
    if (!value.empty()) result.about.emplace_back(what, value);
  };
  say("layout", "Minari");
  say("data set", metadata("dataset_id"));
  const auto remark = [&](int64_t n, const auto&... parts) {
    if (n > 0) result.remarks.push_back(message(n, parts...));
  };
  remark(repeated, " episodes have no observation after their true end: that before it, which doesn't count, is taken");
  remark(dropped, dropped == 1 ? " step is" : " steps are", " dropped: the episode was cut there, and what followed ",
         "is not in the file");
  remark(within_episodes, " terminations or truncations are not at their episode's end");
  return result;
}

}  // namespace meander
