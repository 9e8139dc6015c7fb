#include <meander/kernels/cuda/kernels.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include <meander/kernels/error.h>
#include <meander/kernels/cuda/devices.h>
#include <meander/kernels/dependencies.h>
#if !defined(__CUDACC__)
#include <meander/kernels/cuda/emulator/memory.h>
#endif

// Memory, stream and graphs of the device, and the table of all it has.
namespace meander::kernels::MEANDER_CUDA {

#if defined(__CUDACC__)

void check(cudaError_t status, const char* call, const char* file, int line) {
  if (status == cudaSuccess) return;
  const char* const slash = std::strrchr(file, '/');
  throw Failure(message("CUDA: ", cudaGetErrorString(status), ", in ", call, " (", slash ? slash + 1 : file, ":", line, ")"));
}

cudaStream_t stream() {
  static const cudaStream_t one = [] {
    cudaStream_t s;
    MEANDER_CUDA_CHECK(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
    return s;
  }();
  return one;
}

static int attribute(cudaDeviceAttr which) {
  int device = 0, value = 0;
  MEANDER_CUDA_CHECK(cudaGetDevice(&device));
  MEANDER_CUDA_CHECK(cudaDeviceGetAttribute(&value, which, device));
  return value;
}

int multiprocessors() {
  static const int count = attribute(cudaDevAttrMultiProcessorCount);
  return count;
}

DeviceRoom device_room() {
  static const DeviceRoom room{multiprocessors(), attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin)};
  return room;
}

int blocks_together(const void* kernel, int threads, size_t shared_bytes) {
  thread_local std::map<std::pair<const void*, size_t>, int> known;   // asking takes longer than a launch
  const auto [found, asked_first] = known.try_emplace({kernel, shared_bytes}, 0);
  if (!asked_first) return found->second;
  if (!attribute(cudaDevAttrCooperativeLaunch) ||
      shared_bytes > static_cast<size_t>(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin)))
    return 0;
  int blocks = 0;
  MEANDER_CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                          static_cast<int>(shared_bytes)));
  MEANDER_CUDA_CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, threads, shared_bytes));
  return found->second = blocks * multiprocessors();
}

namespace {

// Versions of CUDA as 1000 times the major and 10 times the minor number.
std::string version_text(int version) { return message(version / 1000, ".", version % 1000 / 10); }

const char* about() {
  static const std::string text = [] {
    int device = 0, driver = 0, toolkit = 0;
    cudaDeviceProp gpu;
    MEANDER_CUDA_CHECK(cudaGetDevice(&device));
    MEANDER_CUDA_CHECK(cudaGetDeviceProperties(&gpu, device));
    MEANDER_CUDA_CHECK(cudaDriverGetVersion(&driver));
    MEANDER_CUDA_CHECK(cudaRuntimeGetVersion(&toolkit));
    return message(gpu.name, " (compute ", gpu.major, ".", gpu.minor, ", ", gpu.totalGlobalMem >> 20, " MiB), driver for CUDA ",
                   version_text(driver), ", toolkit ", version_text(toolkit));
  }();
  return text.c_str();
}

bool is_integrated() { return attribute(cudaDevAttrIntegrated) != 0; }

void* allocate(size_t bytes) {
  void* p = nullptr;
  MEANDER_CUDA_CHECK(cudaMalloc(&p, bytes));
  return p;
}
void deallocate(void* p) { cudaFree(p); }   // at the end of the process the driver may be gone already: nothing to say
void synchronise() { MEANDER_CUDA_CHECK(cudaStreamSynchronize(stream())); }
void copy(void* to, const void* from, size_t bytes) {
  MEANDER_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream()));
  cudaPointerAttributes where;
  MEANDER_CUDA_CHECK(cudaPointerGetAttributes(&where, to));
  if (where.type == cudaMemoryTypeDevice) return;
  cudaStreamCaptureStatus recording;
  MEANDER_CUDA_CHECK(cudaStreamIsCapturing(stream(), &recording));
  if (recording == cudaStreamCaptureStatusNone) synchronise();
}
void* allocate_host(size_t bytes) {
  void* p = nullptr;
  MEANDER_CUDA_CHECK(cudaMallocHost(&p, bytes));
  return p;
}
void deallocate_host(void* p) { cudaFreeHost(p); }
void fill(void* p, int byte, size_t bytes) { MEANDER_CUDA_CHECK(cudaMemsetAsync(p, byte, bytes, stream())); }

using Node = cudaGraphNode_t;
void start_capture() { MEANDER_CUDA_CHECK(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal)); }
// What the next work to be recorded waits for: the work recorded before it, unless something else is set.
void set_capture_dependencies(std::vector<Node>& nodes) {
#if CUDART_VERSION >= 13000   // with a place for data of edges, which nobody needs here
  MEANDER_CUDA_CHECK(cudaStreamUpdateCaptureDependencies(stream(), nodes.data(), nullptr, nodes.size(),
                                                         cudaStreamSetCaptureDependencies));
#else
  MEANDER_CUDA_CHECK(cudaStreamUpdateCaptureDependencies(stream(), nodes.data(), nodes.size(),
                                                         cudaStreamSetCaptureDependencies));
#endif
}
std::vector<Node> capture_dependencies() {
  cudaStreamCaptureStatus status;
  const Node* nodes = nullptr;
  size_t count = 0;
#if CUDART_VERSION >= 13000
  MEANDER_CUDA_CHECK(cudaStreamGetCaptureInfo(stream(), &status, nullptr, nullptr, &nodes, nullptr, &count));
#else
  MEANDER_CUDA_CHECK(cudaStreamGetCaptureInfo_v2(stream(), &status, nullptr, nullptr, &nodes, &count));
#endif
  return {nodes, nodes + count};
}
void* finish_capture() {
  cudaGraph_t graph;
  MEANDER_CUDA_CHECK(cudaStreamEndCapture(stream(), &graph));
  cudaGraphExec_t ready;
  const cudaError_t status = cudaGraphInstantiate(&ready, graph, 0);
  cudaGraphDestroy(graph);
  check(status, "cudaGraphInstantiate", __FILE__, __LINE__);
  return ready;
}
void launch_graph(void* graph) { MEANDER_CUDA_CHECK(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), stream())); }
void destroy_graph(void* graph) { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)); }

}  // namespace

// One of the kernels that were compiled for all architectures of this build, and that do nothing.
__global__ void nothing() {}

const DeviceKernels* find(const char** why) {
  static const char* reason = [] {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status == cudaErrorInsufficientDriver) return "no NVIDIA driver, or one older than this program's CUDA toolkit";
    if (status != cudaSuccess || count == 0) return "no GPU found";
    cudaFuncAttributes attributes;   // here is said what the first launch would say
    return cudaFuncGetAttributes(&attributes, nothing) == cudaSuccess
               ? ""
               : "this build has no kernels for the GPU that was found: set CMAKE_CUDA_ARCHITECTURES";
  }();
  *why = reason;
  return *reason ? nullptr : &table();
}

#else

int multiprocessors() { return device_room().multiprocessors; }

namespace {
void synchronise() { expect_no_capture("synchronise"); }
void launch_graph(void* graph) { replay(*static_cast<const Graph*>(graph)); }
void destroy_graph(void* graph) { destroy(static_cast<Graph*>(graph)); }
}  // namespace

const DeviceKernels* find(const char** why) {
  *why = "";
  return &table();
}

#endif

// ---- recording in branches -------------------------------------------------------------------------------------------
namespace {

struct Branches {
  Dependencies dependencies;
  std::vector<std::vector<Node>> ends;   // of each call: what there is to wait for
};
thread_local std::unique_ptr<Branches> branches;   // null: no work is being recorded, or one call after the other

void begin_capture(bool in_branches) {
  start_capture();
  if (in_branches) branches = std::make_unique<Branches>();
}
void* end_capture() {
  branches.reset();
  return finish_capture();
}

// Records what `run` queues as one call.
template <class Run>
void record(const Accesses& accesses, Run run) {
  std::vector<Node> before;
  for (const size_t call : branches->dependencies.add(accesses)) {
    const std::vector<Node>& ends = branches->ends[call];
    before.insert(before.end(), ends.begin(), ends.end());
  }
  // Two calls have the same end where one of them had nothing to do.
  std::sort(before.begin(), before.end());
  before.erase(std::unique(before.begin(), before.end()), before.end());
  set_capture_dependencies(before);
  run();
  branches->ends.push_back(capture_dependencies());
}

// A function of the table that knows what it touches. `Of` is its entry in for_each_function.
template <class Of, auto member>
struct Known;
template <class Of, class... Arguments, void (*DeviceKernels::*member)(Arguments...)>
struct Known<Of, member> {
  static inline void (*run)(Arguments...);
  static inline const char* name;

  static Accesses accesses_of(Arguments... arguments) {
    Accesses accesses(table());
    Of()(accesses, arguments...);
    return accesses;
  }
  static void call(Arguments... arguments) {
#if !defined(__CUDACC__)
    if constexpr (!std::is_same_v<Function<member>, Function<&DeviceKernels::copy>>)
      expect_reachable(name, accesses_of(arguments...));
#endif
    if (branches) return record(accesses_of(arguments...), [&] { run(arguments...); });
#if defined(MEANDER_CHECKS_ACCESSES)
    const Opened opened(accesses_of(arguments...));
#endif
    run(arguments...);
  }
};

}  // namespace

const DeviceKernels& table() {
  static const DeviceKernels kernels = [] {
    DeviceKernels k{};
    k.about = about;
    k.allocate = allocate;
    k.deallocate = deallocate;
    k.copy = copy;
    k.allocate_host = allocate_host;
    k.deallocate_host = deallocate_host;
    k.fill = fill;
    k.synchronise = synchronise;
    k.begin_capture = begin_capture;
    k.end_capture = end_capture;
    k.launch_graph = launch_graph;
    k.destroy_graph = destroy_graph;
#if defined(__CUDACC__)
    k.name = "cuda";
    k.shares_memory = is_integrated();
#else
    k.name = "cuda-emulated";
    k.shares_memory = false;
#endif
#define MEANDER_ENTER(name) k.name = MEANDER_CUDA::name;
    MEANDER_ALL_FUNCTIONS(MEANDER_ENTER, MEANDER_ENTER)
#undef MEANDER_ENTER
    for_each_function([&]<auto member, class Of>(Function<member>, const char* name, Of) {
      Known<Of, member>::name = name;
      Known<Of, member>::run = k.*member;
      k.*member = Known<Of, member>::call;
    });
    return k;
  }();
  return kernels;
}

}  // namespace meander::kernels::MEANDER_CUDA
