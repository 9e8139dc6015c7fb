#include <meander/app/recorded_task.h>

#include <meander/kernels/error.h>

namespace meander {

RecordedTask::RecordedTask(const SafetensorsFile& file, const Json& settings) {
  const auto width = [&](const char* size, const char* tensor) {
    const int64_t said = settings.at(size).whole(), rows = settings.at("batch").whole();
    const int64_t there = file.at(tensor).size();
    // Divided, not multiplied: the sizes may be any numbers.
    if (said < 1 || said > 1'000'000 || rows < 1 || rows > there || there % rows != 0 || there / rows % said != 0)
      throw Error(message(size, " is ", said, " and batch ", rows, ", but ", tensor, " has ", there, " numbers"));
    return static_cast<int>(said);
  };
  observations = width("obs", "u1/batch/obs");
  actions = width("act", "u1/batch/act");
  batch = settings.at("batch").whole();
  for (const auto& [name, tensor] : file.tensors()) numbers_ += tensor.size();
}

void RecordedTask::expect_room_for(AlgorithmSettings& settings) const {
  const std::vector<Setting> table = settings.settings();
  const auto number = [&](const std::string& key) {
    const Setting* const setting = find_setting(table, key);
    return setting ? *std::get<int64_t*>(setting->value) : 0;
  };
  for (const std::string network : {"", "actor_", "critic_"}) {
    const int64_t width = number(network + "width"), layers = number(network + "layers");
    if (width * (observations + (layers - 1) * width) > numbers_)
      throw Error(message(network, "width is ", width, ", for which the file has too few numbers"));
  }
}

int64_t states_in(const SafetensorsFile& file, const std::string& name, int64_t width) {
  const int64_t size = file.at(name).size();
  if (size == 0 || size % width != 0)
    throw Error(message(file.path(), ": ", quoted(name), " has ", size, " numbers, which are no rows of ", width));
  return size / width;
}

}  // namespace meander
