// The settings of one of the tests' recordings of updates, which the first byte picks; its tensors stay as they are,
// since the size of such a file leaves them little to change. An update takes up to seconds under the sanitizers: apart
// from verify_fuzz.cpp, whose files take a thousandth of that.

#include <iterator>
#include <map>

#include "../folder.h"
#include "target.h"
#include "tensors.h"
#include "verified.h"
#include <meander/core/json.h>
#include <meander/kernels/threads.h>

using namespace meander;

const bool fuzz::first_byte_says = true;
bool fuzz::is_text(uint8_t) { return true; }

namespace {

const char* const recordings[] = {"sac_fixed", "qc_bfn_5step", "fql_horizon1", "mvp_horizon1", "som_default",
                                  "flow_map_online", "mfpo_small"};

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
  const std::string file = read_text(fuzz::data_file(recordings[which]));
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

}  // namespace

std::string fuzz::whole_input(uint8_t first) { return recording_of(first).settings; }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  kernels::set_threads(1);
  const Recording& recording = recording_of(data[0]);
  const std::string file =
      with_settings(recording, size == 1 ? recording.settings : std::string(data + 1, data + size));
  const bool taken = fuzz::takes([&] {
    for (const CheckLine& line : fuzz::verified(SafetensorsFile(std::as_bytes(std::span(file)), "file")))
      fuzz::expect(size > 1 || line.ok(), "a recording is out of tolerance");
  });
  fuzz::expect(taken || size > 1, "a recording is refused");
  return 0;
}
