// What verify reads. Of the first byte: below 128 the rest is a file; from there on it is the settings of one of the
// tests' recordings of updates, whose tensors stay as they are: the size of such a file leaves them little to change.

#include <iterator>
#include <map>
#include <vector>

#include "../folder.h"
#include "target.h"
#include "tensors.h"
#include <meander/app/verify_environment.h>
#include <meander/app/verify_reference.h>
#include <meander/core/json.h>
#include <meander/kernels/threads.h>

using namespace meander;

const bool fuzz::first_byte_says = true;
bool fuzz::is_text(uint8_t first) { return first >= 128; }

namespace {

const char* const operations[] = {"dense", "gelu_tanh", "fourier", "logsumexp", "softmax", "layer_norm_constant_row",
                                  "c51_11", "mish", "log_softmax"};
const char* const recordings[] = {"sac_fixed", "qc_bfn_5step", "fql_horizon1", "mvp_horizon1", "som_default",
                                  "flow_map_online", "mfpo_small"};

std::string data_file(const std::string& name) { return std::string(MEANDER_TEST_DATA "/") + name + ".safetensors"; }

std::string file_of(const Json::Object& header, const std::string& data) {
  const std::string text = Json(header).dump();
  const uint64_t length = text.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + text + data;
}

// A few of a file's tensors as a file.
std::string part(const std::string& path, bool (*wanted)(const std::string& tensor, const std::string& word),
                 const std::string& word) {
  const SafetensorsFile file(path);
  Json::Object header{{"__metadata__", Json::Object(file.metadata().begin(), file.metadata().end())}};
  std::string data;
  for (const HeaderTensor& tensor : file.header().tensors) {
    if (!wanted(tensor.name, word)) continue;
    const auto bytes = file.bytes(tensor);
    const auto begin = static_cast<int64_t>(data.size());
    data.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    header[tensor.name] = Json::Object{{"dtype", tensor.dtype->name}, {"shape", tensor.shape},
                                       {"data_offsets", Json::List{begin, static_cast<int64_t>(data.size())}}};
  }
  return file_of(header, data);
}

// A recording around its settings.
struct Recording {
  std::string before, settings, after;  // before and after: of the header and what follows; settings: as its own text
};

const Recording& recording_of(uint8_t first) {
  static std::map<size_t, Recording> all;
  const size_t which = first % std::size(recordings);
  const auto [found, is_new] = all.try_emplace(which);
  Recording& r = found->second;
  if (!is_new) return r;
  const std::string file = read_text(data_file(recordings[which]));
  uint64_t length;
  std::memcpy(&length, file.data(), 8);
  Json::Object header = Json::parse(std::string_view(file).substr(8, length)).object();
  Json::Object metadata = header["__metadata__"].object();
  r.settings = metadata["settings"].text();
  metadata["settings"] = "HERE";
  header["__metadata__"] = metadata;
  const std::string text = Json(header).dump(), mark = "\"HERE\"";
  const size_t at = text.find(mark);
  r.before = text.substr(0, at);
  r.after = text.substr(at + mark.size());
  const size_t rest = r.after.size();
  r.after += file.substr(8 + length);
  const uint64_t fixed = r.before.size() + rest;
  r.before.insert(0, reinterpret_cast<const char*>(&fixed), 8);
  return r;
}

std::string with_settings(const Recording& r, const std::string& text) {
  std::string file = r.before + Json(text).dump() + r.after;
  uint64_t length;
  std::memcpy(&length, file.data(), 8);
  length += Json(text).dump().size();
  std::memcpy(file.data(), &length, 8);
  return file;
}

std::vector<CheckLine> verify(const SafetensorsFile& file) {
  if (is_environment_golden(file)) return verify_environment(file);
  if (is_learner_reference(file)) return verify_learner(file);
  if (is_update_reference(file)) return verify_updates(file);
  if (is_operation_reference(file)) return verify_operations(file);
  throw Error("none of them");
}

}  // namespace

std::string fuzz::whole_input(uint8_t first) {
  if (is_text(first)) return recording_of(first).settings;
  const size_t which = first % (std::size(operations) + 1);
  if (which == std::size(operations))
    return part(data_file("gym-Pendulum-v1"), [](const std::string&, const std::string&) { return true; }, "");
  const auto of_operation = [](const std::string& tensor, const std::string& word) {
    return tensor.starts_with(word + "/");
  };
  return part(data_file("ops"), of_operation, operations[which]);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  kernels::set_threads(1);
  std::string whole;
  std::span<const std::byte> bytes = fuzz::bytes(data + 1, size - 1);
  const bool taken = fuzz::takes([&] {
    if (size == 1) whole = fuzz::whole_input(data[0]);
    if (fuzz::is_text(data[0]))
      whole = with_settings(recording_of(data[0]), size == 1 ? whole : std::string(data + 1, data + size));
    if (!whole.empty()) bytes = std::as_bytes(std::span(whole));
    const auto lines = verify(SafetensorsFile(bytes, "file"));
    for (const CheckLine& line : lines) fuzz::expect(size > 1 || line.ok(), "a recording is out of tolerance");
  });
  fuzz::expect(taken || size > 1, "a recording is refused");
  return 0;
}
