// A file of tensors: the header, and that all it offers lies in the file.

#include <algorithm>

#include "target.h"
#include <meander/core/safetensors.h>

using namespace meander;

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t most) __attribute__((weak));

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

// Mutates the header or the data; the header's length mostly stays right.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most, unsigned seed) {
  uint64_t length = 0;
  if (size >= 8) std::memcpy(&length, data, 8);
  if (size < 8 || length > size - 8 || seed % 16 == 0) return LLVMFuzzerMutate(data, size, most);
  const std::string body(reinterpret_cast<char*>(data) + 8 + length, size - 8 - length);
  if (seed % 4 == 0 && !body.empty())
    return 8 + length + LLVMFuzzerMutate(data + 8 + length, body.size(), most - 8 - length);
  if (most < 8 + body.size()) return size;
  length = LLVMFuzzerMutate(data + 8, length, most - 8 - body.size());
  std::memcpy(data, &length, 8);
  std::copy(body.begin(), body.end(), data + 8 + length);
  return 8 + length + body.size();
}
