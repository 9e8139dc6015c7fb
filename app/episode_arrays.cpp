#include <meander/app/episode_arrays.h>

#include <algorithm>
#include <climits>
#include <map>
#include <sstream>

#include <meander/app/npz_file.h>
#include <meander/core/json.h>
#include <meander/core/memory_limit.h>
#include <meander/core/text.h>

namespace meander {

Hdf5File::Names in_order(const Hdf5File::Names& names, const std::string& prefix) {
  std::map<int64_t, std::string> numbered;
  for (const std::string& name : names)
    if (name.starts_with(prefix) && name.find_first_not_of("0123456789", prefix.size()) == std::string::npos)
      if (const auto number = parse_whole(name.substr(prefix.size()))) numbered.emplace(*number, name);
  Hdf5File::Names result;
  for (const auto& [number, name] : numbered) result.push_back(name);
  return result;
}

Hdf5File::Names split(const std::string& list) {
  Hdf5File::Names words;
  std::istringstream text(list);
  for (std::string word; std::getline(text, word, ',');)
    if (!word.empty()) words.push_back(word);
  return words;
}

int64_t expect_rows(const Hdf5File& file, const std::string& array, const std::optional<Hdf5File::Shape>& shape,
                    int64_t& width) {
  if (!shape) file.fail("no array ", quoted(array));
  if (shape->size() != 2 || shape->at(1) < 1 || shape->at(1) > INT_MAX || (width > 0 && shape->at(1) != width))
    file.fail(quoted(array), " has shape ", shape_text(*shape), ", expected rows of ",
              width > 0 ? message(width, " numbers") : "numbers");
  width = shape->at(1);
  return shape->at(0);
}

KeyColumns key_columns(Hdf5File& file, const std::string& group, const Hdf5File::Names& there,
                       const Hdf5File::Names& keys) {
  KeyColumns columns;
  for (const std::string& key : keys) {
    const auto shape = file.shape(group + "/" + key);
    if (!shape) {
      std::string known;
      for (const std::string& name : there) known += (known.empty() ? "" : ",") + name;
      file.fail(group, " has no array ", quoted(key), "; --observation-keys takes some of ", shown(known));
    }
    int64_t width = 0;
    expect_rows(file, group + "/" + key, shape, width);
    columns.offsets.push_back(columns.width);
    columns.widths.push_back(width);
    columns.width += width;
  }
  if (columns.width < 1 || columns.width > INT_MAX) file.fail("observations of ", columns.width, " numbers");
  return columns;
}

EpisodeArrays::EpisodeArrays(Hdf5File& file, const std::vector<int64_t>& steps, int64_t observations, int64_t actions)
    : file_(file) {
  data_.observations = static_cast<int>(observations);
  data_.actions = static_cast<int>(actions);
  unsigned __int128 total = 0;
  for (const int64_t n : steps) {
    first_.push_back(static_cast<int64_t>(total));
    total += static_cast<unsigned __int128>(n);
  }
  expect_room(total + steps.size());
  row_.reserve(static_cast<size_t>(total));
  data_.terminal.reserve(static_cast<size_t>(total) + steps.size());
}

void EpisodeArrays::expect_room(unsigned __int128 rows) const {
  const auto bytes = rows * ((int64_t{data_.observations} + data_.actions + 3) * sizeof(float));
  expect_memory(file_.path() + ": the data set",
                static_cast<uint64_t>(std::min<unsigned __int128>(bytes, UINT64_MAX)));
}

std::vector<uint8_t> EpisodeArrays::flags(const std::vector<Hdf5Rows>& wanted) {
  std::vector<uint8_t> flags;
  flags.reserve(row_.capacity());
  file_.read_rows<float>(wanted, [&](size_t index, int64_t first, std::span<const float> numbers) {
    for (const float& x : numbers) {
      if (x != 0 && x != 1)
        file_.fail(wanted[index].path, " holds ", x, " in row ", first + (&x - numbers.data()), ", expected 0 or 1");
      flags.push_back(x == 1);
    }
  });
  return flags;
}

void EpisodeArrays::add_step(bool ends, bool followed) {
  row_.push_back(std::ssize(data_.terminal));
  data_.terminal.push_back(ends && !followed);
  if (ends && followed) data_.terminal.push_back(1);
}

DataSet& EpisodeArrays::allocate() {
  const size_t rows = data_.terminal.size();
  expect_room(rows);
  data_.observation.resize(rows * static_cast<size_t>(data_.observations));
  data_.action.resize(rows * static_cast<size_t>(data_.actions));
  data_.reward.resize(rows);
  data_.mask.assign(rows, 1.0f);
  return data_;
}

void EpisodeArrays::repeat(int64_t step) {
  const int64_t at = row(step);
  if (data_.terminal[at]) return;
  const auto from = data_.observation.begin() + at * data_.observations;
  std::copy_n(from, data_.observations, from + data_.observations);
}

}  // namespace meander
