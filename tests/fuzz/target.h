#pragma once

// A fuzzer's target is a function of bytes that must come back, whatever they are. Clang's libFuzzer calls it millions
// of times; without it replay.cpp calls it for files.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>

#include <meander/kernels/error.h>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace meander::fuzz {

inline std::span<const std::byte> bytes(const uint8_t* data, size_t size) {
  return std::as_bytes(std::span(data, size));
}

// Ends the program where something that must hold doesn't: a fuzzer keeps the input.
inline void expect(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz: %s\n", what);
  std::abort();
}

// Calls f, which may refuse its input by an Error of one line; whether it took it.
template <class F>
bool takes(F&& f) {
  try {
    f();
    return true;
  } catch (const Error& error) {
    expect(!std::strchr(error.what(), '\n'), "the message has more than one line");
    expect(std::strlen(error.what()) < 4000, "the message is longer than anyone reads");
    return false;
  }
}

}  // namespace meander::fuzz
