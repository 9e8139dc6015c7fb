#include <meander/app/hdf5_file.h>

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <type_traits>
#include <utility>

#include <meander/app/child_process.h>
#include <meander/app/hdf5/protocol.h>
#include <meander/app/npz_file.h>
#include <meander/app/output_place.h>
#include <meander/core/file_bytes.h>
#include <meander/core/json.h>
#include <meander/kernels/modules.h>

namespace meander {

namespace {

constexpr uint64_t most_bytes = 8 * uint64_t{hdf5::longest_text};  // of all texts that one call returns

std::string text_bytes(const std::string& text) {
  const auto length = static_cast<uint32_t>(text.size());
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + text;
}

template <class T>
std::string bytes_of(T number) {
  return {reinterpret_cast<const char*>(&number), sizeof number};
}

std::string request(char what, const std::string& path, const std::string& name = "") {
  return bytes_of(hdf5::RequestHead{what, static_cast<uint32_t>(path.size()), static_cast<uint32_t>(name.size())}) +
         path + name;
}

std::vector<std::string> command(const char* verb, const std::string& path) {
  const std::string program = kernels::find_beside_program("meander-hdf5");
  if (program.empty())
    throw Error(path + ": HDF5 files are read and written by the program meander-hdf5, which is not beside this one; "
                "./meander builds it where libhdf5 is installed (libhdf5-dev, without -DMEANDER_HDF5=OFF)");
  return {program, verb, path.starts_with('/') ? path : "./" + path};
}

// Why the program has ended, as one line.
std::string reason(ChildProcess& program) {
  const int status = program.wait();
  std::string said = program.error();
  said = said.substr(0, std::min<size_t>(said.find('\n'), 500));
  if (status == 1 && !said.empty()) return said;
  if (status == 128 + SIGXCPU) return "reading it takes longer than any file should; it is damaged, or made to";
  return message("the program that reads it ended with status ", status, ": the file is damaged, or made to do that");
}

class ProgramAnswers : public Hdf5Answers {
 public:
  explicit ProgramAnswers(const std::string& path)
      : path_(path), program_(command("read", path), ChildProcess::heard) {}

  void ask(std::string_view question) override { program_.write(question); }  // the answer says what failed
  void read(void* to, size_t bytes) override {
    constexpr int seconds = 60;
    const auto heeded = program_.read(to, bytes, seconds);
    if (heeded == ChildProcess::Heeded::silent) throw Error(message(path_, ": no answer in ", seconds, " seconds"));
    if (heeded == ChildProcess::Heeded::closed) throw Error(path_ + ": " + reason(program_));
  }

 private:
  std::string path_;
  ChildProcess program_;
};

}  // namespace

void expect_hdf5(const std::string& path) { command("write", path); }

Hdf5File::Hdf5File(std::string path) : path_(std::move(path)) {
  FileBytes{path_};  // a pipe would wait for its writer
  answers_ = std::make_unique<ProgramAnswers>(path_);
}

Hdf5File::Hdf5File(std::string name, std::unique_ptr<Hdf5Answers> answers)
    : path_(std::move(name)), answers_(std::move(answers)) {}

void Hdf5File::converse(size_t count, const std::function<std::string(size_t)>& question,
                        const std::function<void(size_t, char)>& answer) {
  // So little waits to be read on the other side, in few pieces, that asking never waits for it while it waits for us.
  constexpr size_t most = 16'000;
  std::vector<size_t> lengths(count);
  for (size_t asked = 0, waiting = 0, i = 0; i < count; waiting -= lengths[i++]) {
    std::string more;
    while (asked < count && (waiting < most / 2 || (!more.empty() && waiting < most))) {
      const std::string next = question(asked);
      waiting += lengths[asked++] = next.size();
      more += next;
    }
    if (!more.empty()) answers_->ask(more);
    answer(i, number<char>());
  }
}

std::optional<Hdf5File::Names> Hdf5File::names(const std::string& group) { return list('l', group); }
std::optional<Hdf5File::Names> Hdf5File::texts(const std::string& array) { return list('t', array); }

std::optional<Hdf5File::Names> Hdf5File::list(char what, const std::string& path) {
  std::optional<Names> result;
  converse(1, [&](size_t) { return request(what, path); }, [&](size_t, char letter) {
    if (letter == '-') return;
    if (letter != what) fail("an answer of the wrong kind");
    const auto count = number<uint64_t>();
    if (count > hdf5::most_texts) fail(quoted(path), " has too many names");
    result.emplace();
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < count; ++i) {
      result->push_back(read_text());
      bytes += result->back().size();
      if (bytes > most_bytes) fail(quoted(path), " has too long names");
    }
  });
  if (result && what == 'l') std::sort(result->begin(), result->end());
  return result;
}

std::optional<std::string> Hdf5File::attribute(const std::string& object, const std::string& name) {
  return attributes({object}, name).front();
}

std::vector<std::optional<std::string>> Hdf5File::attributes(const Names& objects, const std::string& name) {
  std::vector<std::optional<std::string>> result(objects.size());
  uint64_t bytes = 0;
  converse(objects.size(), [&](size_t i) { return request('a', objects[i], name); }, [&](size_t i, char letter) {
    if (letter == 'a') bytes += (result[i] = read_text())->size();
    else if (letter != '-') fail("an answer of the wrong kind");
    if (bytes > most_bytes) fail("the attributes ", name, " are too long");
  });
  return result;
}

std::optional<Hdf5File::Shape> Hdf5File::shape(const std::string& array) { return shapes({array}).front(); }

std::vector<std::optional<Hdf5File::Shape>> Hdf5File::shapes(const Names& arrays) {
  std::vector<std::optional<Shape>> result(arrays.size());
  converse(arrays.size(), [&](size_t i) { return request('s', arrays[i]); }, [&](size_t i, char letter) {
    if (letter == 's') result[i] = read_shape();
    else if (letter != '-') fail("an answer of the wrong kind");
  });
  return result;
}

void Hdf5File::read(const std::string& array, const Shape& shape,
                    const std::function<void(std::span<const float>)>& take) {
  converse(1, [&](size_t) { return request('f', array); }, [&](size_t, char letter) {
    if (letter != 'f' || read_shape() != shape) fail(quoted(array), " has changed");
    int64_t left = 1;
    for (const int64_t dimension : shape) left *= dimension;
    std::vector<float> piece(static_cast<size_t>(std::min<int64_t>(left, 1 << 16)));
    for (; left > 0; left -= std::ssize(piece)) {
      piece.resize(static_cast<size_t>(std::min<int64_t>(left, std::ssize(piece))));
      answers_->read(piece.data(), piece.size() * sizeof(float));
      take(piece);
    }
  });
}

template <class T>
void Hdf5File::read_rows(const std::vector<Hdf5Rows>& wanted, const TakeRows<T>& take) {
  constexpr char what = sizeof(T) == sizeof(float) ? 'f' : 'd';
  std::vector<T> piece;
  converse(wanted.size(), [&](size_t i) { return request(what, wanted[i].path); }, [&](size_t i, char letter) {
    const auto& [path, rows, width] = wanted[i];
    if (letter == '-') fail("no array ", quoted(path));
    if (letter != what) fail("an answer of the wrong kind");
    const Shape shape = read_shape();
    if (shape != Shape{rows, width} && !(width == 1 && shape == Shape{rows}))
      fail(quoted(path), " has shape ", shape_text(shape), ", expected ",
           shape_text(width == 1 ? Shape{rows} : Shape{rows, width}));
    const int64_t step = std::clamp<int64_t>((1 << 16) / width, 1, std::max<int64_t>(rows, 1));
    for (int64_t row = 0; row < rows; row += step) {
      piece.resize(static_cast<size_t>(std::min(step, rows - row) * width));
      answers_->read(piece.data(), piece.size() * sizeof(T));
      take(i, row, piece);
    }
  });
}
template void Hdf5File::read_rows(const std::vector<Hdf5Rows>&, const TakeRows<float>&);
template void Hdf5File::read_rows(const std::vector<Hdf5Rows>&, const TakeRows<double>&);

template <class T>
T Hdf5File::number() {
  T value;
  answers_->read(&value, sizeof value);
  return value;
}

Hdf5File::Shape Hdf5File::read_shape() {
  const auto rank = number<uint32_t>();
  if (rank > hdf5::most_dimensions) fail("an array of ", rank, " dimensions");
  Shape shape(rank);
  int64_t count = 1;
  for (int64_t& dimension : shape) {
    dimension = number<int64_t>();
    if (dimension < 0 || __builtin_mul_overflow(count, std::max<int64_t>(dimension, 1), &count))
      fail("an array of shape ", shape_text(shape));
  }
  return shape;
}

std::string Hdf5File::read_text() {
  const auto length = number<uint32_t>();
  if (length > hdf5::longest_text) fail("a text of ", length, " bytes");
  std::string text(length, '\0');
  answers_->read(text.data(), length);
  return text;
}

// ---- writing --------------------------------------------------------------------------------------------------------

struct Hdf5Writer::Program {
  ChildProcess process;
  bool finished = false;
};

Hdf5Writer::Hdf5Writer(std::string path)
    : path_(std::move(path)), program_(new Program{ChildProcess(command("write", path_), ChildProcess::fed)}) {}

Hdf5Writer::~Hdf5Writer() {
  const bool finished = program_->finished;
  program_.reset();
  if (!finished) unlink(path_.c_str());
}

void Hdf5Writer::send(std::string_view bytes) {
  if (!program_->process.write(bytes))
    throw Failure(message("cannot write ", path_, ": ", reason(program_->process)));
}

void Hdf5Writer::attribute(const std::string& group, const std::string& name, const std::string& text) {
  send(request('a', group, name) + text_bytes(text));
}
void Hdf5Writer::attribute(const std::string& group, const std::string& name, int64_t number) {
  send(request('n', group, name) + bytes_of(number));
}

template <class T>
void Hdf5Writer::add(const std::string& array, const std::vector<int64_t>& shape, const T* data) {
  constexpr char what = std::is_same_v<T, float> ? 'f' : std::is_same_v<T, double> ? 'd' : sizeof(T) == 8 ? 'q' : 'b';
  std::string head = request(what, array) + bytes_of(static_cast<uint32_t>(shape.size()));
  int64_t count = 1;
  for (const int64_t dimension : shape) head += bytes_of(dimension), count *= dimension;
  send(head);
  send({reinterpret_cast<const char*>(data), static_cast<size_t>(count) * sizeof(T)});
}
template void Hdf5Writer::add(const std::string&, const std::vector<int64_t>&, const float*);
template void Hdf5Writer::add(const std::string&, const std::vector<int64_t>&, const double*);
template void Hdf5Writer::add(const std::string&, const std::vector<int64_t>&, const int64_t*);
template void Hdf5Writer::add(const std::string&, const std::vector<int64_t>&, const uint8_t*);

void Hdf5Writer::add(const std::string& array, const std::vector<std::string>& texts) {
  std::string bytes = request('t', array) + bytes_of(static_cast<uint64_t>(texts.size()));
  for (const std::string& text : texts) bytes += text_bytes(text);
  send(bytes);
}

void Hdf5Writer::finish() {
  program_->process.end_input();
  if (program_->process.wait() != 0) throw Failure(message("cannot write ", path_, ": ", reason(program_->process)));
  flush_to_disk(path_);
  program_->finished = true;
}

}  // namespace meander
