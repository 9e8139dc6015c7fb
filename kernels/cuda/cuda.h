#pragma once

// What every kernel file (kernels/cuda/*.cu) includes, and all it may include of CUDA: the toolkit's own headers under
// nvcc, the emulator's twin of them under any other compiler. The kernels live in namespace
// meander::kernels::MEANDER_CUDA, which is `cuda` or `emulated`, and use
//     launch(kernel, grid, block, bytes of dynamic shared memory, arguments...)    instead of <<< >>>
//     launch_together(...)                           the same, all blocks at once; they may meet in wait_for_grid
//     shared_memory<T>()                                                           the dynamic shared memory
//     MEANDER_SHARED(type, name, count)                                            an array of static shared memory
//     ptx.h                                                                        for everything that is PTX
#if defined(__CUDACC__)

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include <meander/kernels/cuda/device_room.h>
#include <meander/kernels/cuda/grid_barrier.h>

#define MEANDER_CUDA cuda
#define MEANDER_SHARED(type, name, count) __shared__ type name[count]

namespace meander::kernels::cuda {

// Throws Failure with the call, the place and CUDA's reason if `status` is not success.
void check(cudaError_t status, const char* call, const char* file, int line);
#define MEANDER_CUDA_CHECK(call) ::meander::kernels::cuda::check((call), #call, __FILE__, __LINE__)

cudaStream_t stream();   // on which everything of this thread runs

// Starts a kernel on this thread's stream; arguments are converted to the kernel's parameters.
template <class... Parameters, class... Arguments>
void start_kernel(bool together, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                  const Arguments&... arguments) {
  const auto start = [&](Parameters... parameters) {
    void* pointers[] = {static_cast<void*>(&parameters)..., nullptr};
    const void* function = reinterpret_cast<const void*>(kernel);
    if (shared_bytes > 48 * 1024)
      MEANDER_CUDA_CHECK(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                              static_cast<int>(shared_bytes)));
    if (together)
      MEANDER_CUDA_CHECK(cudaLaunchCooperativeKernel(function, grid, block, pointers, shared_bytes, stream()));
    else
      MEANDER_CUDA_CHECK(cudaLaunchKernel(function, grid, block, pointers, shared_bytes, stream()));
  };
  start(static_cast<Parameters>(arguments)...);
}
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, const Arguments&... arguments) {
  start_kernel(false, kernel, grid, block, shared_bytes, arguments...);
}
template <class... Parameters, class... Arguments>
void launch_together(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                     const Arguments&... arguments) {
  start_kernel(true, kernel, grid, block, shared_bytes, arguments...);
}

DeviceRoom device_room();
// How many blocks of a kernel the device has room for at the same time; 0: not one.
int blocks_together(const void* kernel, int threads, size_t shared_bytes);
template <class... Parameters>
int blocks_together(void (*kernel)(Parameters...), int threads, size_t shared_bytes) {
  return blocks_together(reinterpret_cast<const void*>(kernel), threads, shared_bytes);
}

// Waits for all threads of the grid; what each wrote before, all see after. `arrived` is one number in device memory that
// was zero once and that no other kernel running at the time uses (grid_barrier.h).
__device__ inline void wait_for_grid(uint32_t* arrived) {
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    const uint32_t before = atomicAdd(arrived, grid_share(blockIdx.x, gridDim.x));
    while (!grid_came(before, *static_cast<volatile uint32_t*>(arrived))) {
    }
    __threadfence();
  }
  __syncthreads();
}

template <class T>
__device__ T* shared_memory() {
  extern __shared__ __align__(128) unsigned char meander_shared_memory[];
  return reinterpret_cast<T*>(meander_shared_memory);
}

}  // namespace meander::kernels::cuda

#else

#include <meander/kernels/cuda/emulator/device_code.h>

#define MEANDER_CUDA emulated

#endif
