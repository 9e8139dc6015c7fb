#include "kernels/cuda/kernels.h"

#include <cstring>
#include <map>
#include <new>
#include <utility>

#include "core/error.h"
#include "kernels/cuda/devices.h"

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

void begin_capture() { MEANDER_CUDA_CHECK(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal)); }
void* end_capture() {
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

const DeviceKernels* find(const char** why) {
  static const char* reason = [] {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status == cudaSuccess && count > 0) return "";
    return status == cudaErrorInsufficientDriver ? "no NVIDIA driver, or one older than this program's CUDA toolkit"
                                                 : "no GPU found";
  }();
  *why = reason;
  return *reason ? nullptr : &table();
}

#else

int multiprocessors() { return 2; }

namespace {
void* allocate_host(size_t bytes) { return ::operator new(bytes, std::align_val_t(64)); }
void deallocate_host(void* p) { ::operator delete(p, std::align_val_t(64)); }
void synchronise() {}
void* end_graph() { return end_capture(); }
void launch_graph(void* graph) { replay(*static_cast<const Graph*>(graph)); }
void destroy_graph(void* graph) { destroy(static_cast<Graph*>(graph)); }
}  // namespace

const DeviceKernels* find(const char** why) {
  *why = "";
  return &table();
}

#endif

#if defined(__CUDACC__)
void register_cuda() { register_device(Device::cuda, find); }
#else
void register_emulator() { register_device(Device::cuda_emulated, find); }
#endif

const DeviceKernels& table() {
  static const DeviceKernels kernels = [] {
    DeviceKernels k{};
    k.allocate = allocate;
    k.deallocate = deallocate;
    k.copy = copy;
    k.allocate_host = allocate_host;
    k.deallocate_host = deallocate_host;
    k.fill = fill;
    k.synchronise = synchronise;
    k.begin_capture = begin_capture;
    k.launch_graph = launch_graph;
    k.destroy_graph = destroy_graph;
#if defined(__CUDACC__)
    k.name = "cuda";
    k.shares_memory = is_integrated();
    k.end_capture = end_capture;
#else
    k.name = "cuda-emulated";
    k.shares_memory = false;
    k.end_capture = end_graph;
#endif
    add_arrays(k);
    add_elementwise(k);
    add_rows(k);
    add_random(k);
    add_optimiser(k);
    add_products(k);
    add_mlp(k);
    add_embedding(k);
    add_losses(k);
    add_mean_flow(k);
    add_mfpo(k);
    add_candidates(k);
    add_replay(k);
    return k;
  }();
  return kernels;
}

}  // namespace meander::kernels::MEANDER_CUDA
