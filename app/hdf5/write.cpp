#include <algorithm>
#include <vector>

#include <meander/app/hdf5/common.h>

namespace meander::hdf5 {

namespace {

struct Kind {
  char what;
  hid_t file, memory;
  size_t width;
};

void expect(hid_t status, const std::string& what) {
  if (status < 0) fail_by_library("cannot write " + what);
}

// Rows as they come, one piece after another.
void write_array(hid_t file, const std::string& path, const Kind& kind, hid_t link) {
  std::vector<hsize_t> shape(take<uint32_t>());
  if (shape.size() > most_dimensions) fail("too many dimensions");
  hsize_t count = 1;
  for (hsize_t& dimension : shape) count *= dimension = static_cast<hsize_t>(take<int64_t>());
  const Handle space(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), H5Sclose);
  const Handle set(H5Dcreate2(file, path.c_str(), kind.file, space, link, H5P_DEFAULT, H5P_DEFAULT), H5Dclose);
  expect(set, path);
  if (count == 0) return;
  const hsize_t rows = shape.empty() ? 1 : shape[0], width = count / rows;
  const hsize_t step = std::clamp<hsize_t>((1 << 20) / width, 1, rows);
  std::vector<char> bytes(step * width * kind.width);
  for (hsize_t row = 0; row < rows; row += step) {
    const hsize_t n = std::min(step, rows - row), here = n * width;
    if (!take(bytes.data(), here * kind.width)) fail("the input has ended too early");
    const Handle memory(H5Screate_simple(1, &here, nullptr), H5Sclose);
    if (!shape.empty()) {
      std::vector<hsize_t> begin(shape.size(), 0), size = shape;
      begin[0] = row, size[0] = n;
      H5Sselect_hyperslab(space, H5S_SELECT_SET, begin.data(), nullptr, size.data(), nullptr);
    }
    expect(H5Dwrite(set, kind.memory, memory, space, H5P_DEFAULT, bytes.data()), path);
  }
}

// As h5py writes lists of bytes: texts of one length, filled with zeros.
void write_texts(hid_t file, const std::string& path, hid_t link) {
  const hsize_t count = take<uint64_t>();
  if (count > most_texts) fail("too many texts");
  std::vector<std::string> texts(count);
  size_t width = 1;
  for (std::string& text : texts) width = std::max(width, (text = take_text(take<uint32_t>())).size());
  std::string all;
  for (std::string& text : texts) all += text.append(width - text.size(), '\0');
  const Handle type(H5Tcopy(H5T_C_S1), H5Tclose), space(H5Screate_simple(1, &count, nullptr), H5Sclose);
  H5Tset_size(type, width);
  H5Tset_strpad(type, H5T_STR_NULLPAD);
  const Handle set(H5Dcreate2(file, path.c_str(), type, space, link, H5P_DEFAULT, H5P_DEFAULT), H5Dclose);
  expect(set, path);
  if (count > 0) expect(H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, all.data()), path);
}

void write_attribute(hid_t file, const std::string& path, const std::string& name, char what, hid_t link) {
  const bool there = path.empty() || H5Lexists(file, path.c_str(), H5P_DEFAULT) > 0;
  const Handle group(there ? H5Gopen2(file, path.empty() ? "/" : path.c_str(), H5P_DEFAULT)
                           : H5Gcreate2(file, path.c_str(), link, H5P_DEFAULT, H5P_DEFAULT), H5Gclose);
  expect(group, path);
  const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  if (what == 'n') {
    const int64_t number = take<int64_t>();
    const Handle attribute(H5Acreate2(group, name.c_str(), H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
    expect(attribute, name);
    expect(H5Awrite(attribute, H5T_NATIVE_INT64, &number), name);
  } else {
    const std::string text = take_text(take<uint32_t>());
    const char* const pointer = text.c_str();
    const Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    const Handle attribute(H5Acreate2(group, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
    expect(attribute, name);
    expect(H5Awrite(attribute, type, &pointer), name);
  }
}

}  // namespace

void write_file(const char* path) {
  const Kind kinds[] = {{'f', H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 4}, {'d', H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 8},
                        {'q', H5T_STD_I64LE, H5T_NATIVE_INT64, 8}, {'b', H5T_STD_U8LE, H5T_NATIVE_UINT8, 1}};
  Handle file(H5Fcreate(path, H5F_ACC_EXCL, H5P_DEFAULT, H5P_DEFAULT), H5Fclose);
  expect(file, "the file");
  const Handle link(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  H5Pset_create_intermediate_group(link, 1);
  for (RequestHead head; take(&head, sizeof head);) {
    const std::string where = take_text(head.path), name = take_text(head.name);
    const auto kind =
        std::find_if(std::begin(kinds), std::end(kinds), [&](const Kind& k) { return k.what == head.what; });
    if (kind != std::end(kinds)) write_array(file, where, *kind, link);
    else if (head.what == 't') write_texts(file, where, link);
    else write_attribute(file, where, name, head.what, link);
  }
  if (H5Fflush(file, H5F_SCOPE_GLOBAL) < 0) fail_by_library("cannot write the file");
  { const Handle closed(std::move(file)); }
}

}  // namespace meander::hdf5
