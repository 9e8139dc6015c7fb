#pragma once

namespace meander::kernels {

namespace cuda { void register_cuda(); }          // in the library meander_cuda, built where there is a CUDA toolkit
namespace emulated { void register_emulator(); }  // in the library meander_emulator

}  // namespace meander::kernels
