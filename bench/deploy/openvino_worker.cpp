// peer_deploy_openvino: a graph by OpenVINO's C interface, on one thread. It looks the few functions that it calls up
// by name, so that it is built without OpenVINO.
#include <memory>
#include <stdexcept>

#include "bench/deploy/worker.h"

using namespace meander::bench;

namespace {

struct Shape {
  int64_t rank;
  int64_t* sizes;
};
struct Version {
  const char *number, *description;
};
constexpr int float32 = 4;

Subject open_graph(const Inputs& inputs, const std::string& path, const std::string& library) {
  void* const loaded = load_library(library);
  const auto last_error = reinterpret_cast<const char* (*)()>(symbol(loaded, "ov_get_last_err_msg"));
  const auto call = [=](const char* name, auto... arguments) {  // 0, or what went wrong
    if (reinterpret_cast<int (*)(decltype(arguments)...)>(symbol(loaded, name))(arguments...))
      throw std::runtime_error(std::string(name) + ": " + last_error());
  };
  Version version{};
  call("ov_get_openvino_version", &version);
  void *core = nullptr, *model = nullptr, *compiled = nullptr, *request = nullptr;
  call("ov_core_create", &core);
  call("ov_core_read_model", static_cast<const void*>(core), path.c_str(), static_cast<const char*>(nullptr), &model);
  const char* const options[] = {"INFERENCE_NUM_THREADS", "1",     "NUM_STREAMS",        "1", "PERFORMANCE_HINT",
                                 "LATENCY",               "INFERENCE_PRECISION_HINT", "f32", "ENABLE_CPU_PINNING",
                                 "NO"};
  const auto compile = reinterpret_cast<int (*)(const void*, const void*, const char*, size_t, void**, ...)>(
      symbol(loaded, "ov_core_compile_model"));
  if (compile(core, model, "CPU", std::size(options), &compiled, options[0], options[1], options[2], options[3],
              options[4], options[5], options[6], options[7], options[8], options[9]))
    throw std::runtime_error(std::string("ov_core_compile_model: ") + last_error());
  call("ov_compiled_model_create_infer_request", static_cast<const void*>(compiled), &request);

  Subject subject{.about = {{"version", version.number}},
                  .observation = std::vector<float>(static_cast<size_t>(inputs.observations)),
                  .noise = std::vector<float>(static_cast<size_t>(inputs.candidates * inputs.numbers)),
                  .action = std::vector<float>(static_cast<size_t>(inputs.numbers))};
  const auto bind = [&](const char* name, std::vector<float>& numbers, int64_t rows) {
    int64_t sizes[2] = {rows, static_cast<int64_t>(numbers.size()) / rows};
    void* tensor = nullptr;
    call("ov_tensor_create_from_host_ptr", float32, Shape{2, sizes}, static_cast<void*>(numbers.data()), &tensor);
    call("ov_infer_request_set_tensor", request, name, static_cast<const void*>(tensor));
  };
  bind("observation", subject.observation, 1);
  bind("noise", subject.noise, inputs.candidates);
  bind("action", subject.action, 1);
  const auto infer = reinterpret_cast<int (*)(void*)>(symbol(loaded, "ov_infer_request_infer"));
  subject.act = [=](uint64_t) {
    if (infer(request)) throw std::runtime_error(std::string("ov_infer_request_infer: ") + last_error());
  };
  return subject;
}

}  // namespace

int main(int argc, char** argv) { return serve(argc, argv, open_graph); }
