// peer_deploy_onnxruntime: a graph by ONNX Runtime's C interface, on one thread. Its Python package has the library but
// no header: the interface is a table of functions that only ever grows at its end, so their places are named here.
#include <memory>
#include <stdexcept>

#include "bench/deploy/worker.h"

using namespace meander::bench;

namespace {

struct Base {
  const void* const* (*table)(uint32_t version);
  const char* (*version)();
};
enum Place {
  error_message = 2, create_env = 3, create_session = 7, run = 9, create_session_options = 10, execution_mode = 13,
  optimization_level = 23, intra_op_threads = 24, inter_op_threads = 25, create_tensor = 49, create_cpu_memory_info = 69
};
constexpr int log_errors = 3, sequential = 0, optimize_all = 99, float32 = 1, arena_allocator = 1, default_memory = 0;

const void* const* table;

// A function of the interface returns null, or what went wrong.
template <class... Arguments>
void call(Place place, Arguments... arguments) {
  void* const status = reinterpret_cast<void* (*)(Arguments...)>(const_cast<void*>(table[place]))(arguments...);
  if (status)
    throw std::runtime_error(
        reinterpret_cast<const char* (*)(const void*)>(const_cast<void*>(table[error_message]))(status));
}

void* tensor(const void* memory, std::vector<float>& numbers, int64_t rows) {
  const int64_t shape[2] = {rows, static_cast<int64_t>(numbers.size()) / rows};
  void* made = nullptr;
  call<const void*, void*, size_t, const int64_t*, size_t, int, void**>(
      create_tensor, memory, numbers.data(), numbers.size() * sizeof(float), shape, 2, float32, &made);
  return made;
}

Subject open_graph(const Inputs& inputs, const std::string& path, const std::string& library) {
  const Base* const base =
      reinterpret_cast<const Base* (*)()>(symbol(load_library(library), "OrtGetApiBase"))();
  table = base->table(20);
  if (!table) throw std::runtime_error("this ONNX Runtime has another interface");
  void *env = nullptr, *options = nullptr, *session = nullptr, *memory = nullptr;
  call<int, const char*, void**>(create_env, log_errors, "bench", &env);
  call<void**>(create_session_options, &options);
  call<void*, int>(intra_op_threads, options, 1);
  call<void*, int>(inter_op_threads, options, 1);
  call<void*, int>(execution_mode, options, sequential);
  call<void*, int>(optimization_level, options, optimize_all);
  call<const void*, const char*, const void*, void**>(create_session, env, path.c_str(), options, &session);
  call<int, int, void**>(create_cpu_memory_info, arena_allocator, default_memory, &memory);

  Subject subject{.about = {{"version", base->version()}},
                  .observation = std::vector<float>(static_cast<size_t>(inputs.observations)),
                  .noise = std::vector<float>(static_cast<size_t>(inputs.candidates * inputs.numbers)),
                  .action = std::vector<float>(static_cast<size_t>(inputs.numbers))};
  struct Bound {
    const void* in[2];
    void* out[1];
  };
  auto bound = std::make_shared<Bound>(Bound{{tensor(memory, subject.observation, 1),
                                              tensor(memory, subject.noise, inputs.candidates)},
                                             {tensor(memory, subject.action, 1)}});
  subject.act = [=](uint64_t) {
    static const char *const in[] = {"observation", "noise"}, *const out[] = {"action"};
    call<void*, const void*, const char* const*, const void* const*, size_t, const char* const*, size_t, void**>(
        run, session, nullptr, in, bound->in, 2, out, 1, bound->out);
  };
  return subject;
}

}  // namespace

int main(int argc, char** argv) { return serve(argc, argv, open_graph); }
