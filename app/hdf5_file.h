#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <meander/kernels/error.h>

namespace meander {

// HDF5 files, through the program meander-hdf5 (app/hdf5), which alone is linked with libhdf5 and may crash on a
// damaged file. Nothing it says is believed before it is checked: it may have been taken over by the file.

// Throws Error if the program is not there, with `path` in front: to be asked before hours of work.
void expect_hdf5(const std::string& path);

// Where questions about a file go, and answers come from.
class Hdf5Answers {
 public:
  virtual ~Hdf5Answers() = default;
  virtual void ask(std::string_view question) = 0;
  virtual void read(void* to, size_t bytes) = 0;  // throws Error if there are no more
};

// Rows of numbers wanted of an array, whose shape must be [rows, width], or [rows] for a width of 1.
struct Hdf5Rows {
  std::string path;
  int64_t rows, width;
};
// Takes whole rows, from row `first` of the array wanted as number `index` on.
template <class T>
using TakeRows = std::function<void(size_t index, int64_t first, std::span<const T> numbers)>;

class Hdf5File {
 public:
  using Shape = std::vector<int64_t>;
  using Names = std::vector<std::string>;

  // Throws Error with the path if the file is none that can be read, or the program is not there. So do all functions,
  // with what is wrong in the file; after that nothing more can be asked.
  explicit Hdf5File(std::string path);
  Hdf5File(std::string name, std::unique_ptr<Hdf5Answers> answers);

  const std::string& path() const { return path_; }
  std::optional<Names> names(const std::string& group);  // sorted; nothing: there is no group
  // Texts, and whole numbers as decimals.
  std::optional<std::string> attribute(const std::string& object, const std::string& name);
  std::vector<std::optional<std::string>> attributes(const Names& objects, const std::string& name);
  std::optional<Names> texts(const std::string& array);
  // Checked against what is stored; nothing: there is no array.
  std::optional<Shape> shape(const std::string& array);
  std::vector<std::optional<Shape>> shapes(const Names& arrays);
  // All of an array's numbers as float32, in pieces.
  void read(const std::string& array, const Shape& shape, const std::function<void(std::span<const float>)>& take);
  // T: float or double. Every array must be there.
  template <class T>
  void read_rows(const std::vector<Hdf5Rows>& wanted, const TakeRows<T>& take);

  template <class... Parts>
  [[noreturn]] void fail(const Parts&... parts) const { throw Error(message(path_, ": ", parts...)); }

 private:
  // Asks `count` questions, several before the first answer is read; answer(i, letter) reads the rest of it.
  void converse(size_t count, const std::function<std::string(size_t)>& question,
                const std::function<void(size_t, char)>& answer);
  std::optional<Names> list(char what, const std::string& path);
  Shape read_shape();
  std::string read_text();
  template <class T>
  T number();

  std::string path_;
  std::unique_ptr<Hdf5Answers> answers_;
};

// Makes a file. Throws Failure if it cannot be written; what there is of it then is removed.
class Hdf5Writer {
 public:
  explicit Hdf5Writer(std::string path);  // nothing may be there
  ~Hdf5Writer();
  void attribute(const std::string& group, const std::string& name, const std::string& text);
  void attribute(const std::string& group, const std::string& name, int64_t number);
  // float, double, int64_t or uint8_t.
  template <class T>
  void add(const std::string& array, const std::vector<int64_t>& shape, const T* data);
  void add(const std::string& array, const std::vector<std::string>& texts);
  void finish();  // it is whole and on the disk

 private:
  void send(std::string_view bytes);
  struct Program;
  std::string path_;
  std::unique_ptr<Program> program_;
};

}  // namespace meander
