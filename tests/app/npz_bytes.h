#pragma once

// Archives and arrays as NumPy writes them, and such as nobody would.

#include <zip.h>

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

namespace meander {

using Members = std::map<std::string, std::string>;

inline void write_zip(const std::string& path, const Members& members, int method = ZIP_CM_STORE) {
  int code = 0;
  zip_t* archive = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code);
  REQUIRE(archive);
  for (const auto& [name, bytes] : members) {
    const zip_int64_t index = zip_file_add(archive, (name + ".npy").c_str(),
                                           zip_source_buffer(archive, bytes.data(), bytes.size(), 0), 0);
    zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), method, 0);
  }
  REQUIRE(zip_close(archive) == 0);
}

// An array as NumPy writes it, of version 1.
template <class T>
std::string npy(const std::string& descr, const std::string& shape, const std::vector<T>& values,
                const std::string& order = "False") {
  const std::string text = "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }\n";
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += {static_cast<char>(text.size()), 0};
  bytes += text;
  return bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

}  // namespace meander
