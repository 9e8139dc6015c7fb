#pragma once

namespace meander::kernels {

// The instruction sets the CPU kernels are compiled for. All give the same bits. avx512_bf16 is avx512 with the
// processor's own bfloat16 products.
enum class Isa { avx2, avx512, avx512_bf16, neon };
constexpr Isa all_isas[] = {Isa::avx512_bf16, Isa::avx512, Isa::avx2, Isa::neon};  // the widest first

const char* isa_name(Isa);
bool isa_available(Isa);  // compiled in, and supported by this processor

// The path in use: the widest available, or the one named by the environment variable MEANDER_ISA.
// Throws meander::Error if that name is unknown or not available, or if the processor has none.
Isa isa();
void set_isa(Isa);  // for tests and benchmarks; not while kernels run

}  // namespace meander::kernels
