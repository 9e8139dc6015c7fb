#pragma once

#include <hdf5.h>

#include <cstdint>
#include <string>
#include <utility>

#include <meander/app/hdf5/protocol.h>

namespace meander::hdf5 {

// Says why on standard error and ends the program; without `reason`, of what libhdf5 says of its last error.
[[noreturn]] void fail(const std::string& what);
[[noreturn]] void fail_by_library(const std::string& what);

// An object of libhdf5, closed at the end.
class Handle {
 public:
  Handle() = default;
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_), std::swap(close_, other.close_);
    return *this;
  }
  operator hid_t() const { return id_; }

 private:
  hid_t id_ = -1;
  herr_t (*close_)(hid_t) = nullptr;
};

// Standard input and output. What cannot be written has no reader any more: that ends the program.
bool take(void* to, size_t bytes);  // false: the input has ended, and before the first byte
void put(const void* from, size_t bytes);
template <class T>
T take() {
  T value;
  if (!take(&value, sizeof value)) fail("the input has ended too early");
  return value;
}
template <class T>
void put(const T& value) {
  put(&value, sizeof value);
}
std::string take_text(uint32_t length);
void put_text(const std::string& text);
void flush();

// Answers requests for a file, or writes one.
void read_file(const char* path);
void write_file(const char* path);

}  // namespace meander::hdf5
