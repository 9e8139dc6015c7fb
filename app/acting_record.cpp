#include <meander/app/acting_record.h>

#include <limits>

#include <meander/core/file_numbers.h>
#include <meander/core/json.h>
#include <meander/kernels/error.h>

namespace meander {

std::string acting_text(const EnvironmentInfo& task, const PolicyDescription& policy) {
  const auto doubles = [](const std::vector<float>& x) { return std::vector<double>(x.begin(), x.end()); };
  return Json(Json::Object{{"action_low", task.action_low},
                           {"action_high", task.action_high},
                           {"observation_mean", doubles(task.observation_mean)},
                           {"observation_deviation", doubles(task.observation_deviation)},
                           {"candidates", policy.act_candidates},
                           {"smaller", policy.scores && policy.scores->smaller}})
      .dump();
}

ActingRecord acting_record(const SafetensorsFile& checkpoint, const PolicyDescription& policy) {
  if (!checkpoint.metadata().contains(acting_key))
    throw Error(checkpoint.path() + ": written before checkpoints held the action range, the observation scaling and "
                "the choice of candidates: go on with the run (train --resume) to write one that does");
  const std::string what = checkpoint.path() + ": metadata " + acting_key;
  const Json record = Json::parse(checkpoint.metadata(acting_key));
  const auto numbers = [&](const char* name, int64_t size, bool may_be_none, double low) {
    std::vector<float> row;
    for (const Json& x : record.at(name).list())
      row.push_back(static_cast<float>(
          real_number(what + ", " + name, x.number(), low, std::numeric_limits<float>::max())));
    if (std::ssize(row) != size && !(may_be_none && row.empty()))
      throw Error(message(what, ", ", name, ": expected ", size, " numbers, got ", row.size()));
    return row;
  };
  constexpr double lowest = std::numeric_limits<float>::lowest();
  ActingRecord acting{
      .action_low = numbers("action_low", policy.actions, false, lowest),
      .action_high = numbers("action_high", policy.actions, false, lowest),
      .mean = numbers("observation_mean", policy.observations, true, lowest),
      .deviation = numbers("observation_deviation", policy.observations, true, std::numeric_limits<float>::min()),
      .candidates = whole_number(what + ", candidates", record.at("candidates").number(), 1, 4096),
      .smaller = record.at("smaller").boolean()};
  if (acting.mean.size() != acting.deviation.size())
    throw Error(what + ": a mean without a deviation, or the reverse");
  return acting;
}

}  // namespace meander
