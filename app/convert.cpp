#include <fmt/format.h>

#include <cstdio>

#include <meander/app/data_files.h>
#include <meander/app/output.h>
#include <meander/app/output_place.h>
#include <meander/app/progress.h>
#include <meander/app/replay_demonstrations.h>
#include <meander/app/verbs.h>
#include <meander/kernels/error.h>

namespace meander {

namespace {

// A file that is gone at the end, if it was made.
struct Temporary {
  std::string path;
  ~Temporary() { std::remove(path.c_str()); }
};

}  // namespace

int convert(const ConvertOptions& options) {
  const OutputPlace place(options.out, OutputPlace::kept);
  expect_writable(options.out);
  const bool to_hdf5 = !options.out.ends_with(".npz") && !options.out.ends_with(".safetensors");
  const auto observe = [&](const std::string& to) {
    print("{}\n", observe_demonstrations(options.what, options.data, to));
  };
  const bool states = holds_states_alone(options.what);
  if (states && to_hdf5) {
    place.put(observe);
  } else {
    DataFile file;
    if (states) {  // what is observed, as it would be read from a file
      const Temporary observed{free_name_beside(options.out) + ".hdf5"};
      observe(observed.path);
      DataOptions all;
      all.clip_actions = options.data.clip_actions;
      file = read_data_file(observed.path, nullptr, all);
    } else {
      file = read_data_file(options.what, nullptr, options.data);
    }
    place.put([&](const std::string& to) { write_data_set(to, file.data, file.environment); });
    print("{} transitions\n", count_text(file.data.transitions()));
    for (const std::string& remark : file.remarks) print("{}: {}\n", options.what, remark);
  }
  print("written to {}\n", options.out);
  return 0;
}

}  // namespace meander
