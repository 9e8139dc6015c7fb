#pragma once

// Reads a TensorBoard event file back, written apart from app/event_file.cpp: records, checksums, and of each event the
// step and the scalars.

#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <meander/app/event_file.h>

namespace meander {

struct ReadEvent {
  double wall_time = 0;
  int64_t step = 0;
  std::string version;
  std::map<std::string, float> scalars;
};

class EventReader {
 public:
  static std::vector<ReadEvent> read(const std::string& file) {
    std::vector<ReadEvent> events;
    EventReader records(file);
    while (!records.done()) {
      const std::string length_bytes = records.take(8);
      uint64_t length;
      std::memcpy(&length, length_bytes.data(), 8);
      if (records.fixed<uint32_t>() != masked_crc32c(length_bytes)) throw std::runtime_error("checksum of a length");
      const std::string data = records.take(length);
      if (records.fixed<uint32_t>() != masked_crc32c(data)) throw std::runtime_error("checksum of an event");
      events.push_back(event(data));
    }
    return events;
  }

 private:
  explicit EventReader(std::string bytes) : bytes_(std::move(bytes)) {}
  bool done() const { return at_ == bytes_.size(); }
  std::string take(size_t n) {
    if (n > bytes_.size() - at_) throw std::runtime_error("cut off");
    at_ += n;
    return bytes_.substr(at_ - n, n);
  }
  template <class T>
  T fixed() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<uint8_t>(take(1)[0]);
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
  }
  static ReadEvent event(const std::string& data) {
    ReadEvent event;
    EventReader fields(data);
    while (!fields.done()) {
      switch (fields.varint()) {
        case 1 << 3 | 1: event.wall_time = fields.fixed<double>(); break;
        case 2 << 3 | 0: event.step = static_cast<int64_t>(fields.varint()); break;
        case 3 << 3 | 2: event.version = fields.take(fields.varint()); break;
        case 5 << 3 | 2: summary(fields.take(fields.varint()), event); break;
        default: throw std::runtime_error("a field we never write");
      }
    }
    return event;
  }
  static void summary(const std::string& data, ReadEvent& event) {
    EventReader values(data);
    while (!values.done()) {
      if (values.varint() != (1 << 3 | 2)) throw std::runtime_error("not a value");
      EventReader fields(values.take(values.varint()));
      std::string tag;
      float number = 0;
      while (!fields.done()) {
        const uint64_t key = fields.varint();
        if (key == (1 << 3 | 2)) tag = fields.take(fields.varint());
        else if (key == (2 << 3 | 5)) number = fields.fixed<float>();
        else throw std::runtime_error("not a scalar");
      }
      event.scalars[tag] = number;
    }
  }

  std::string bytes_;
  size_t at_ = 0;
};

}  // namespace meander
