#include <meander/app/event_file.h>

#include <array>
#include <bit>
#include <chrono>

namespace meander {

// ---- protocol buffers: a field is a key (number * 8 + wire type) and a value ----------------------------------------

namespace {

enum WireType { varint = 0, eight_bytes = 1, bytes = 2, four_bytes = 5 };

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void put_key(std::string& out, int field, WireType type) { put_varint(out, static_cast<uint64_t>(field * 8 + type)); }

template <class T>
void put_raw(std::string& out, T value) {  // little-endian, as this machine
  static_assert(std::endian::native == std::endian::little);
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_bytes(std::string& out, int field, const std::string& value) {
  put_key(out, field, bytes);
  put_varint(out, value.size());
  out += value;
}

std::string event(double wall_time, int64_t step) {
  std::string out;
  put_key(out, 1, eight_bytes);  // Event.wall_time
  put_raw(out, wall_time);
  put_key(out, 2, varint);       // Event.step
  put_varint(out, static_cast<uint64_t>(step));
  return out;
}

}  // namespace

// ---- records --------------------------------------------------------------------------------------------------------

uint32_t crc32c(std::string_view data) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> t{};
    for (uint32_t i = 0; i < 256; ++i) {
      t[i] = i;
      for (int bit = 0; bit < 8; ++bit) t[i] = t[i] >> 1 ^ (t[i] & 1 ? 0x82f63b78u : 0);
    }
    return t;
  }();
  uint32_t crc = ~0u;
  for (const char c : data) crc = crc >> 8 ^ table[(crc ^ static_cast<uint8_t>(c)) & 0xff];
  return ~crc;
}

uint32_t masked_crc32c(std::string_view data) { return std::rotr(crc32c(data), 15) + 0xa282ead8u; }

EventFile::EventFile(std::string path, int64_t keep) : file_(std::move(path), keep) {
  if (file_.size() > 0) return;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  std::string first = event(std::chrono::duration<double>(now).count(), 0);
  put_bytes(first, 3, "brain.Event:2");  // Event.file_version
  write_record(first);
}

void EventFile::write(int64_t step, double wall_time, std::span<const Scalar> scalars) {
  std::string summary;
  for (const auto& [tag, number] : scalars) {
    std::string value;
    put_bytes(value, 1, tag);          // Summary.Value.tag
    put_key(value, 2, four_bytes);     // Summary.Value.simple_value
    put_raw(value, number);
    put_bytes(summary, 1, value);      // Summary.value
  }
  std::string out = event(wall_time, step);
  put_bytes(out, 5, summary);          // Event.summary
  write_record(out);
}

void EventFile::write_record(const std::string& data) {
  std::string record;
  put_raw(record, static_cast<uint64_t>(data.size()));
  put_raw(record, masked_crc32c(record));
  record += data;
  put_raw(record, masked_crc32c(data));
  file_.write(record);
}

}  // namespace meander
