#pragma once

#include "kernels/cuda/cuda.h"
#include "kernels/device.h"

// What the kernel files share. Each enters its functions into the table of kernels/device.h, which device.cu makes.
namespace meander::kernels::MEANDER_CUDA {

void add_arrays(DeviceKernels&);        // arrays.cu
void add_elementwise(DeviceKernels&);   // elementwise.cu
void add_rows(DeviceKernels&);          // rows.cu
void add_random(DeviceKernels&);        // random.cu: philox.h, truncated_normal.h
void add_optimiser(DeviceKernels&);     // optimiser.cu
void add_products(DeviceKernels&);      // dense.cu
void add_mlp(DeviceKernels&);           // mlp.cu
void add_embedding(DeviceKernels&);     // embedding.cu
void add_losses(DeviceKernels&);        // losses.cu
void add_mfpo(DeviceKernels&);          // mfpo.cu
void add_replay(DeviceKernels&);        // replay.cu
const DeviceKernels& table();

// The device's functions, or null with the reason why there are none.
const DeviceKernels* find(const char** why);

// How many the device has. The emulator says two, so that small tests reach what large batches take.
int multiprocessors();

// Blocks that cover n elements with `block` threads each, at most as many as keep a large GPU busy: kernels loop on.
inline unsigned blocks_for(int64_t n, int64_t block) {
  const int64_t blocks = (n + block - 1) / block;
  return static_cast<unsigned>(blocks < 1 ? 1 : blocks > 4096 ? 4096 : blocks);
}

}  // namespace meander::kernels::MEANDER_CUDA
