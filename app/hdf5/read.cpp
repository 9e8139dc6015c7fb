#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include <meander/app/hdf5/common.h>

namespace meander::hdf5 {

namespace {

// From here on nothing can be opened, written to a file or left behind, and memory is small. Sanitizers reserve
// terabytes of addresses.
void confine() {
  const auto limit = [](int resource, rlim_t most) {
    const rlimit limits = {most, most};
    setrlimit(static_cast<__rlimit_resource>(resource), &limits);
  };
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_FSIZE, 1 << 16);  // standard error
  limit(RLIMIT_NPROC, 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  limit(RLIMIT_AS, rlim_t{1} << 30);
#endif
  limit(RLIMIT_NOFILE, 0);
}

// Ends the program (SIGXCPU) where the next piece takes longer than any that was not made to.
void renew_time() {
  constexpr rlim_t seconds = 20;
  rusage used;
  rlimit limits;
  getrusage(RUSAGE_SELF, &used);
  getrlimit(RLIMIT_CPU, &limits);
  const auto so_far = static_cast<rlim_t>(used.ru_utime.tv_sec + used.ru_stime.tv_sec);
  limits.rlim_cur = std::min(limits.rlim_max, so_far + seconds);
  setrlimit(RLIMIT_CPU, &limits);
}

// An array whose numbers are known to be in the file, in ways that are allowed, before any is read.
struct Array {
  Handle type, space;
  std::vector<hsize_t> shape;
  hsize_t count = 1, chunk_rows = 1;

  H5T_class_t kind() const { return H5Tget_class(type); }
};

class Reader {
 public:
  explicit Reader(const char* path) : file_(open_file(path)) {
    struct stat status;
    if (stat(path, &status) != 0) fail("cannot be opened");
    bytes_ = static_cast<uint64_t>(status.st_size);
    // Else libhdf5 clears one for every array.
    H5Pset_buffer(transfer_, conversion_.size(), conversion_.data(), background_.data());
  }

  void answer() {
    RequestHead head;
    while (take(&head, sizeof head)) {
      renew_time();
      path_ = take_text(head.path);
      const std::string name = take_text(head.name);
      Handle object = open(path_);
      const H5I_type_t kind = object < 0 ? H5I_BADID : H5Iget_type(object);
      if (kind == H5I_GROUP && head.what == 'l') list(object);
      else if ((kind == H5I_GROUP || kind == H5I_DATASET) && head.what == 'a') attribute(object, name);
      else if (kind == H5I_DATASET && head.what != 'l') array(object, head.what);
      else put('-');
    }
  }

 private:
  static Handle open_file(const char* path) {
    // The cache of what is not numbers is counted as stored: in memory it takes some ten times as much.
    const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
    H5AC_cache_config_t cache;
    cache.version = H5AC__CURR_CACHE_CONFIG_VERSION;
    H5Pget_mdc_config(access, &cache);
    cache.set_initial_size = true;
    cache.initial_size = cache.min_size = 1 << 20;
    cache.max_size = 4 << 20;
    H5Pset_mdc_config(access, &cache);
    Handle file(H5Fopen(path, H5F_ACC_RDONLY, access), H5Fclose);
    if (file < 0) fail_by_library("not a whole HDF5 file");
    return file;
  }

  [[noreturn]] void refuse(const std::string& why) const { fail((path_.empty() ? "" : path_ + ": ") + why); }
  [[noreturn]] void damaged() const { fail_by_library((path_.empty() ? "" : path_ + ": ") + "cannot be read"); }

  // The object at a path, or none; only by links that stay within the file. The groups on the way stay open: the next
  // path mostly has the same.
  Handle open(const std::string& path) {
    std::vector<std::string> parts;
    for (size_t at = 0, end; at < path.size(); at = end + 1) {
      end = std::min(path.find('/', at), path.size());
      if (end > at) parts.push_back(path.substr(at, end - at));
    }
    if (parts.empty()) return Handle(H5Gopen2(file_, "/", H5P_DEFAULT), H5Gclose);
    const std::string last = parts.back();
    parts.pop_back();
    size_t same = 0;
    while (same < std::min(parts.size(), way_.size()) && way_[same].first == parts[same]) ++same;
    way_.resize(same);
    for (; same < parts.size(); ++same) {
      Handle next = open_child(parts[same]);
      if (next < 0 || H5Iget_type(next) != H5I_GROUP) return {};
      way_.emplace_back(parts[same], std::move(next));
    }
    return open_child(last);
  }

  Handle open_child(const std::string& name) {
    const hid_t parent = way_.empty() ? hid_t{file_} : hid_t{way_.back().second};
    H5L_info_t link;
    if (H5Lget_info(parent, name.c_str(), &link, H5P_DEFAULT) < 0) {
      if (H5Lexists(parent, name.c_str(), H5P_DEFAULT) == 0) return {};
      damaged();
    }
    if (link.type != H5L_TYPE_HARD) refuse("a link to somewhere else, which is not followed");
    Handle object(H5Oopen(parent, name.c_str(), H5P_DEFAULT), H5Oclose);
    if (object < 0) damaged();
    return object;
  }

  void list(hid_t group) {
    H5G_info_t about;
    if (H5Gget_info(group, &about) < 0) damaged();
    if (about.nlinks > most_texts) refuse("more than " + std::to_string(most_texts) + " names");
    std::vector<std::string> names;
    const auto add = [](hid_t, const char* name, const H5L_info_t*, void* to) -> herr_t {
      static_cast<std::vector<std::string>*>(to)->push_back(name);
      return 0;
    };
    if (H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, nullptr, add, &names) < 0) damaged();
    put_texts('l', names);
  }

  void put_texts(char tag, const std::vector<std::string>& texts) {
    put(tag);
    put(static_cast<uint64_t>(texts.size()));
    for (const std::string& text : texts) put_text(text);
  }

  void attribute(hid_t object, const std::string& name) {
    const htri_t there = H5Aexists(object, name.c_str());
    if (there < 0) damaged();
    if (there == 0) return put('-');
    const Handle attribute(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose);
    const Handle type(H5Aget_type(attribute), H5Tclose), space(H5Aget_space(attribute), H5Sclose);
    if (attribute < 0 || type < 0 || space < 0) damaged();
    const auto wrong = [&] { refuse("attribute " + name + " is neither one text nor one whole number"); };
    if (H5Sget_simple_extent_npoints(space) != 1) wrong();
    std::string text;
    if (H5Tget_class(type) == H5T_INTEGER) {
      int64_t number;
      if (H5Aread(attribute, H5T_NATIVE_INT64, &number) < 0) damaged();
      text = std::to_string(number);
    } else if (H5Tget_class(type) != H5T_STRING) {
      wrong();
    } else if (H5Tis_variable_str(type)) {
      char* read = nullptr;
      if (H5Aread(attribute, type, &read) < 0) damaged();
      text = read ? read : "";
      H5free_memory(read);
    } else {
      text = fixed_text(type, [&](char* to) { return H5Aread(attribute, type, to); });
    }
    put('a');
    put_text(text);
  }

  template <class Read>
  std::string fixed_text(hid_t type, Read&& read) {
    const size_t size = H5Tget_size(type);
    if (size > longest_text) refuse("a text of more than " + std::to_string(longest_text) + " bytes");
    std::string text(size, '\0');
    if (read(text.data()) < 0) damaged();
    return text.substr(0, text.find('\0'));
  }

  void expect_own_storage(hid_t plan) const {
    const H5D_layout_t layout = H5Pget_layout(plan);
    if (layout == H5D_VIRTUAL || H5Pget_external_count(plan) != 0) refuse("its numbers lie in other files");
    if (layout != H5D_COMPACT && layout != H5D_CONTIGUOUS && layout != H5D_CHUNKED) damaged();
  }

  // Whether they unpack to more than is stored.
  bool expect_filters(hid_t plan) const {
    bool deflated = false;
    for (int i = 0; i < H5Pget_nfilters(plan); ++i) {
      size_t none = 0;
      const H5Z_filter_t filter =
          H5Pget_filter2(plan, static_cast<unsigned>(i), nullptr, &none, nullptr, 0, nullptr, nullptr);
      if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_FLETCHER32)
        refuse("packed by filter " + std::to_string(filter) + "; gzip and shuffle are read");
      deflated |= filter == H5Z_FILTER_DEFLATE;
    }
    return deflated;
  }

  // What is declared held against what is stored. Deflate makes at most 1032 bytes of one.
  Array checked(Handle& object) {
    Array array;
    array.space = Handle(H5Dget_space(object), H5Sclose);
    array.type = Handle(H5Dget_type(object), H5Tclose);
    if (array.space < 0 || array.type < 0) damaged();
    // Only what lies in the file in one piece, as it is, has a place there; of all else the list of properties, which
    // takes as long as the rest, is looked at.
    const bool plain = H5Dget_offset(object) != HADDR_UNDEF;
    Handle plan;
    bool deflated = false;
    if (!plain) {
      plan = Handle(H5Dget_create_plist(object), H5Pclose);
      if (plan < 0) damaged();
      expect_own_storage(plan);
      deflated = expect_filters(plan);
    }
    if (H5Sget_simple_extent_type(array.space) == H5S_NULL) refuse("an array without a shape");
    const int rank = H5Sget_simple_extent_ndims(array.space);
    if (rank < 0 || rank > static_cast<int>(most_dimensions)) damaged();
    array.shape.resize(static_cast<size_t>(rank));
    if (rank > 0 && H5Sget_simple_extent_dims(array.space, array.shape.data(), nullptr) < 0) damaged();
    uint64_t bytes = H5Tget_size(array.type);
    for (const hsize_t dimension : array.shape) {
      if (dimension > INT64_MAX || __builtin_mul_overflow(bytes, dimension, &bytes)) bytes = UINT64_MAX;
      array.count *= dimension;
    }
    if (std::find(array.shape.begin(), array.shape.end(), 0u) != array.shape.end()) bytes = array.count = 0;
    uint64_t stored = std::min<uint64_t>(H5Dget_storage_size(object), bytes_);
    if (deflated) stored = stored * 1032 + 64;
    if (bytes > stored)
      refuse("states " + (bytes == UINT64_MAX ? "more" : std::to_string(bytes)) +
             " bytes of numbers, of which at most " + std::to_string(stored) + " are stored");
    if (!plain && H5Pget_layout(plan) == H5D_CHUNKED && rank > 0) reopen(object, plan, array);
    return array;
  }

  // With room for all the chunks that a row meets, so that each is unpacked once.
  void reopen(Handle& object, hid_t plan, Array& array) {
    const size_t rank = array.shape.size();
    std::vector<hsize_t> chunk(rank);
    if (H5Pget_chunk(plan, static_cast<int>(rank), chunk.data()) != static_cast<int>(rank)) damaged();
    constexpr uint64_t most = 256 << 20, usual = 1 << 20;
    uint64_t bytes = H5Tget_size(array.type), chunks = 1;
    for (size_t i = 0; i < rank && bytes <= most; ++i) {
      const uint64_t across = i == 0 ? 1 : (array.shape[i] + chunk[i] - 1) / chunk[i];
      chunks *= across;
      bytes = chunk[i] > most || across > most ? most + 1 : bytes * chunk[i] * across;
    }
    if (bytes > most) refuse("chunks of more than 256 MB");
    array.chunk_rows = chunk[0];
    if (bytes <= usual) return;
    const Handle access(H5Pcreate(H5P_DATASET_ACCESS), H5Pclose);
    H5Pset_chunk_cache(access, std::max<size_t>(521, chunks * 10 + 1), bytes, 1.0);
    { const Handle closed(std::move(object)); }  // one that is open keeps its cache
    const hid_t parent = way_.empty() ? hid_t{file_} : hid_t{way_.back().second};
    object = Handle(H5Dopen2(parent, path_.substr(path_.rfind('/') + 1).c_str(), access), H5Dclose);
    if (object < 0) damaged();
  }

  void put_shape(char tag, const Array& array) {
    put(tag);
    put(static_cast<uint32_t>(array.shape.size()));
    for (const hsize_t dimension : array.shape) put(static_cast<int64_t>(dimension));
  }

  void array(Handle& object, char what) {
    const Array array = checked(object);
    if (what == 's') return put_shape('s', array);
    if (what == 't') return texts(object, array);
    const H5T_class_t kind = array.kind();
    if (kind != H5T_FLOAT && kind != H5T_INTEGER && kind != H5T_ENUM)
      refuse(kind == H5T_STRING ? "holds texts, not numbers" : "holds no numbers");
    put_shape(what, array);
    if (what == 'f') numbers<float>(object, array, H5T_NATIVE_FLOAT);
    else numbers<double>(object, array, H5T_NATIVE_DOUBLE);
  }

  template <class T>
  void numbers(hid_t set, const Array& array, hid_t type) {
    if (array.count == 0) return;
    const hsize_t rows = array.shape.empty() ? 1 : array.shape[0], width = array.count / rows;
    constexpr hsize_t piece = 1 << 18;
    if (width > piece * 64) refuse("rows of more than " + std::to_string(piece * 64) + " numbers");
    hsize_t step = std::clamp<hsize_t>(piece / width, 1, rows);
    if (step > array.chunk_rows) step -= step % array.chunk_rows;
    std::vector<T> values(step * width);
    for (hsize_t row = 0; row < rows; row += step) {
      renew_time();
      // Memory of the selection's own shape: libhdf5 goes through others number by number.
      std::vector<hsize_t> begin(array.shape.size(), 0), size = array.shape;
      if (!begin.empty()) begin[0] = row, size[0] = std::min(step, rows - row);
      const Handle here(H5Screate_simple(static_cast<int>(size.size()), size.data(), nullptr), H5Sclose);
      if (!begin.empty() &&
          H5Sselect_hyperslab(array.space, H5S_SELECT_SET, begin.data(), nullptr, size.data(), nullptr) < 0)
        damaged();
      if (H5Dread(set, type, here, array.space, transfer_, values.data()) < 0) damaged();
      put(values.data(), std::min(step, rows - row) * width * sizeof(T));
    }
  }

  void texts(hid_t set, const Array& array) {
    if (array.kind() != H5T_STRING || array.shape.size() != 1) refuse("expected a list of texts");
    if (array.count > most_texts) refuse("more than " + std::to_string(most_texts) + " texts");
    std::vector<std::string> read;
    if (H5Tis_variable_str(array.type)) {
      std::vector<char*> pointers(array.count);
      if (array.count && H5Dread(set, array.type, H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers.data()) < 0) damaged();
      for (const char* text : pointers) read.push_back(text ? text : "");
    } else {
      const size_t width = H5Tget_size(array.type);
      if (width * array.count > longest_text) refuse("texts of more than " + std::to_string(longest_text) + " bytes");
      std::string all(width * array.count, '\0');
      if (array.count && H5Dread(set, array.type, H5S_ALL, H5S_ALL, H5P_DEFAULT, all.data()) < 0) damaged();
      for (hsize_t i = 0; i < array.count; ++i) {
        const std::string text = all.substr(i * width, width);
        read.push_back(text.substr(0, text.find('\0')));
      }
    }
    put_texts('t', read);
  }

  Handle file_;
  uint64_t bytes_ = 0;
  Handle transfer_{H5Pcreate(H5P_DATASET_XFER), H5Pclose};
  std::vector<char> conversion_ = std::vector<char>(1 << 20), background_ = conversion_;
  std::string path_;  // of the request
  std::vector<std::pair<std::string, Handle>> way_;
};

}  // namespace

void read_file(const char* path) {
  Reader reader(path);
  confine();
  reader.answer();
}

}  // namespace meander::hdf5
