#include <meander/kernels/isa.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

#include <meander/kernels/error.h>
#include <meander/kernels/cpu/table.h>

namespace meander::kernels {
namespace {

const IsaKernels* table_of(Isa which) {
#define MEANDER_TABLE(name)                                                            \
  if (which == Isa::name) {                                                            \
    static const IsaKernels table = {name::arrays, name::layers, name::products};      \
    return &table;                                                                     \
  }
#ifdef MEANDER_ISA_avx2
  MEANDER_TABLE(avx2)
#endif
#ifdef MEANDER_ISA_avx512
  MEANDER_TABLE(avx512)
#endif
#ifdef MEANDER_ISA_avx512_bf16
  MEANDER_TABLE(avx512_bf16)
#endif
#ifdef MEANDER_ISA_neon
  MEANDER_TABLE(neon)
#endif
#undef MEANDER_TABLE
  return nullptr;
}

bool processor_has([[maybe_unused]] Isa which) {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (which == Isa::avx2) return avx2;
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  return which == Isa::avx512 ? avx512 : avx512 && __builtin_cpu_supports("avx512bf16");
#else
  return true;  // NEON is part of aarch64
#endif
}

struct Choice {
  Isa isa;
  const IsaKernels* table;
};

Choice initial() {
  const char* name = std::getenv("MEANDER_ISA");
  for (Isa which : all_isas) {
    if (name && *name ? std::strcmp(name, isa_name(which)) != 0 : !isa_available(which)) continue;
    if (!isa_available(which))
      throw Error(message("MEANDER_ISA=", name, ": not available on this processor or not compiled in"));
    return {which, table_of(which)};
  }
  if (name && *name)
    throw Error(message("MEANDER_ISA=", name, ": unknown instruction set; one of avx2, avx512, avx512_bf16, neon is ",
                        "expected"));
  throw Error("this processor has none of the instruction sets Meander is compiled for (AVX2 with FMA at least)");
}

// Set once by the first use and by set_isa, read by every kernel call.
std::atomic<const IsaKernels*> chosen_table{nullptr};
std::atomic<Isa> chosen_isa{};

void choose() {
  static const Choice first = initial();
  const IsaKernels* none = nullptr;
  if (chosen_table.load(std::memory_order_acquire)) return;
  chosen_isa.store(first.isa, std::memory_order_relaxed);
  chosen_table.compare_exchange_strong(none, first.table, std::memory_order_acq_rel);
}

}  // namespace

const char* isa_name(Isa which) {
  switch (which) {
    case Isa::avx2: return "avx2";
    case Isa::avx512: return "avx512";
    case Isa::avx512_bf16: return "avx512_bf16";
    case Isa::neon: return "neon";
  }
  return "unknown";
}

bool isa_available(Isa which) { return table_of(which) && processor_has(which); }

Isa isa() {
  choose();
  return chosen_isa.load(std::memory_order_relaxed);
}

void set_isa(Isa which) {
  if (!isa_available(which)) throw Error(message("instruction set ", isa_name(which), " is not available"));
  chosen_isa.store(which, std::memory_order_relaxed);
  chosen_table.store(table_of(which), std::memory_order_release);
}

const IsaKernels& active() {
  if (const IsaKernels* table = chosen_table.load(std::memory_order_acquire)) return *table;
  choose();
  return *chosen_table.load(std::memory_order_acquire);
}

}  // namespace meander::kernels
