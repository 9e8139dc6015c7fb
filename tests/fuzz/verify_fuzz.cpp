// What verify reads, but for recordings of whole updates, which verify_updates_fuzz.cpp has: the file after the first
// byte, which says of what it was made.

#include <iterator>

#include "target.h"
#include "tensors.h"
#include "verified.h"
#include <meander/core/json.h>
#include <meander/kernels/threads.h>

using namespace meander;

const bool fuzz::first_byte_says = true;
bool fuzz::is_text(uint8_t) { return false; }

namespace {

const char* const operations[] = {"dense", "gelu_tanh", "fourier", "logsumexp", "softmax", "layer_norm_constant_row",
                                  "c51_11", "mish", "log_softmax"};

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

}  // namespace

std::string fuzz::whole_input(uint8_t first) {
  const size_t which = first % (std::size(operations) + 1);
  if (which == std::size(operations))
    return part(fuzz::data_file("gym-Pendulum-v1"), [](const std::string&, const std::string&) { return true; }, "");
  const auto of_operation = [](const std::string& tensor, const std::string& word) {
    return tensor.starts_with(word + "/");
  };
  return part(fuzz::data_file("ops"), of_operation, operations[which]);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  kernels::set_threads(1);
  const std::string whole = size == 1 ? fuzz::whole_input(data[0]) : "";
  const std::span<const std::byte> bytes =
      size == 1 ? std::as_bytes(std::span(whole)) : fuzz::bytes(data + 1, size - 1);
  const bool taken = fuzz::takes([&] {
    for (const CheckLine& line : fuzz::verified(SafetensorsFile(bytes, "file")))
      fuzz::expect(size > 1 || line.ok(), "a recording is out of tolerance");
  });
  fuzz::expect(taken || size > 1, "a recording is refused");
  return 0;
}
