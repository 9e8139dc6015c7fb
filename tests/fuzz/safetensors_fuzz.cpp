// A file of tensors: the header, and that all it offers lies in the file.

#include <algorithm>

#include "target.h"
#include "tensors.h"
#include <meander/core/safetensors.h>

using namespace meander;

const bool fuzz::first_byte_says = false;
bool fuzz::is_text(uint8_t) { return false; }
std::string fuzz::whole_input(uint8_t) { return ""; }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> bytes = fuzz::bytes(data, size);
  fuzz::takes([&] {
    const SafetensorsFile file(bytes, "file");
    unsigned sum = 0;
    uint64_t stored = 0;
    for (const HeaderTensor& tensor : file.header().tensors) {
      for (const std::byte byte : file.bytes(tensor)) sum += static_cast<unsigned>(byte);
      stored += tensor.end - tensor.begin;
      fuzz::expect(file.contains(tensor.name) == tensor.dtype->known, "what is offered is what the engine knows");
    }
    uint64_t header_length;
    std::memcpy(&header_length, data, sizeof header_length);
    fuzz::expect(stored + header_length + 8 == size, "the tensors leave gaps");
    for (const auto& [name, tensor] : file.tensors())
      for (int64_t i = 0; i < tensor.size() * meander::bytes(tensor.dtype); ++i)
        sum += static_cast<unsigned>(tensor.data[i]);
    volatile unsigned keep = sum;
    (void)keep;
    fuzz::takes([&] { file.values<double>("weights", 3); });
    fuzz::takes([&] { file.metadata("format"); });
  });
  return 0;
}
