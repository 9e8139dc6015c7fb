#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include <meander/app/files.h>

namespace meander {

// Scalars for TensorBoard: a file of TFRecords (length, its checksum, data, its checksum), each holding an Event of
// TensorFlow's event.proto. Written by hand: three messages of it are needed.
class EventFile {
 public:
  // Opens or creates it; of an existing file the first `keep` bytes stay.
  explicit EventFile(std::string path, int64_t keep = INT64_MAX);

  using Scalar = std::pair<std::string, float>;
  // Values of step `step`; wall_time in seconds since 1970.
  void write(int64_t step, double wall_time, std::span<const Scalar> scalars);
  int64_t size() const { return file_.size(); }
  void flush() { file_.flush(); }

 private:
  void write_record(const std::string& data);
  AppendFile file_;
};

// CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), and the form TFRecords store: rotated by 15, plus a constant.
uint32_t crc32c(std::string_view bytes);
uint32_t masked_crc32c(std::string_view bytes);

}  // namespace meander
