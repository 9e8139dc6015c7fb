#include <meander/app/event_file.h>

#include <doctest/doctest.h>

#include "event_reader.h"
#include "../folder.h"

using namespace meander;

// Known answers (RFC 3720, B.4): a wrong checksum makes TensorBoard drop the file silently.
TEST_CASE("crc32c") {
  CHECK(crc32c("123456789") == 0xe3069283u);
  CHECK(crc32c(std::string(32, '\0')) == 0x8a9136aau);
  CHECK(crc32c(std::string(32, '\xff')) == 0x62a8ab43u);
}

// The fields of TensorFlow's event.proto, read back by a second implementation.
TEST_CASE("events can be read back") {
  Folder folder;
  {
    EventFile file(folder.file("events"));
    file.write(300, 1.5e9, std::vector<EventFile::Scalar>{{"loss", 0.25f}, {"q_mean", -1e20f}});
    file.write(5'000'000'000, 1.5e9 + 1, std::vector<EventFile::Scalar>{{std::string(300, 'x'), 1.0f}});
  }
  const auto events = EventReader::read(read_text(folder.file("events")));
  REQUIRE(events.size() == 3);
  CHECK(events[0].version == "brain.Event:2");
  CHECK(events[1].step == 300);
  CHECK(events[1].wall_time == 1.5e9);
  CHECK(events[1].scalars == std::map<std::string, float>{{"loss", 0.25f}, {"q_mean", -1e20f}});
  CHECK(events[2].step == 5'000'000'000);
  CHECK(events[2].scalars.at(std::string(300, 'x')) == 1.0f);
}

// A resumed run goes on in the same file behind its checkpoint: no second header, nothing of the lost steps.
TEST_CASE("a file is cut back and continued") {
  Folder folder;
  int64_t size;
  const std::vector<EventFile::Scalar> one = {{"loss", 1.0f}};
  {
    EventFile file(folder.file("events"));
    file.write(1, 0, one);
    size = file.size();
    file.write(2, 0, one);
  }
  EventFile(folder.file("events"), size).write(7, 0, one);
  const auto events = EventReader::read(read_text(folder.file("events")));
  REQUIRE(events.size() == 3);
  CHECK(events[1].step == 1);
  CHECK(events[2].step == 7);
}
