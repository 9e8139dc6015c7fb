// The header of a file of tensors by itself: no more than a few microseconds each, so that there can be tens of millions.

#include "target.h"
#include "tensors.h"
#include <meander/core/safetensors_header.h>

using namespace meander;

const bool fuzz::first_byte_says = false;
bool fuzz::is_text(uint8_t) { return false; }
std::string fuzz::whole_input(uint8_t) { return ""; }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::takes([&] {
    uint64_t position = 0;
    const SafetensorsHeader header = parse_safetensors_header(fuzz::bytes(data, size));
    for (const HeaderTensor& tensor : header.tensors) {
      fuzz::expect(position == 0 || tensor.begin == position, "the tensors leave gaps");
      position = tensor.end;
    }
    fuzz::expect(header.tensors.empty() || position == size, "the last tensor doesn't end with the file");
  });
  return 0;
}
