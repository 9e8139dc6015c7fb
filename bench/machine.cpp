#include "bench/machine.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <numeric>

#include <meander/kernels/error.h>
#include <meander/kernels/threads.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif
#ifdef MEANDER_OPENBLAS
#include <cblas.h>
#endif

namespace meander::bench {
namespace {

// ---- multiply-adds in registers: more independent accumulators than latency times units -----------------------------
// Each loop runs n times and returns something that depends on all of it.
struct RegisterLoop {
  const char* instructions;
  double flop;  // of one turn
  float (*run)(int64_t n);
};

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) float fma_avx2(int64_t n) {
  constexpr int count = 12;
  const __m256 x = _mm256_set1_ps(0.75f), y = _mm256_set1_ps(0.25f);
  __m256 a[count];
  for (int j = 0; j < count; ++j) a[j] = _mm256_set1_ps(static_cast<float>(j));
  for (int64_t i = 0; i < n; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < count; ++j) a[j] = _mm256_fmadd_ps(a[j], x, y);
  }
  __m256 sum = a[0];
  for (int j = 1; j < count; ++j) sum = _mm256_add_ps(sum, a[j]);
  return _mm256_cvtss_f32(sum);
}

__attribute__((target("avx512f"))) float fma_avx512(int64_t n) {
  constexpr int count = 24;
  const __m512 x = _mm512_set1_ps(0.75f), y = _mm512_set1_ps(0.25f);
  __m512 a[count];
  for (int j = 0; j < count; ++j) a[j] = _mm512_set1_ps(static_cast<float>(j));
  for (int64_t i = 0; i < n; ++i) {
#pragma GCC unroll 24
    for (int j = 0; j < count; ++j) a[j] = _mm512_fmadd_ps(a[j], x, y);
  }
  __m512 sum = a[0];
  for (int j = 1; j < count; ++j) sum = _mm512_add_ps(sum, a[j]);
  return _mm512_cvtss_f32(sum);
}

// a += x.even y.even + x.odd y.odd, pairs of bfloat16.
__attribute__((target("avx512f,avx512bf16"))) float dot_bf16(int64_t n) {
  constexpr int count = 24;
  const __m512 small = _mm512_set1_ps(0.001f);
  const __m512bh x = _mm512_cvtne2ps_pbh(small, small);
  __m512 a[count];
  for (int j = 0; j < count; ++j) a[j] = _mm512_set1_ps(static_cast<float>(j));
  for (int64_t i = 0; i < n; ++i) {
#pragma GCC unroll 24
    for (int j = 0; j < count; ++j) a[j] = _mm512_dpbf16_ps(a[j], x, x);
  }
  __m512 sum = a[0];
  for (int j = 1; j < count; ++j) sum = _mm512_add_ps(sum, a[j]);
  return _mm512_cvtss_f32(sum);
}

RegisterLoop fma_loop() {
  if (__builtin_cpu_supports("avx512f")) return {"AVX-512", 24 * 16 * 2, fma_avx512};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return {"AVX2", 12 * 8 * 2, fma_avx2};
  throw Error("this processor has no AVX2");
}
RegisterLoop bf16_loop() {
  if (__builtin_cpu_supports("avx512bf16")) return {"AVX-512 BF16", 24 * 32 * 2, dot_bf16};
  return {};
}
#elif defined(__aarch64__)
float fma_neon(int64_t n) {
  constexpr int count = 24;
  const float32x4_t x = vdupq_n_f32(0.75f), y = vdupq_n_f32(0.25f);
  float32x4_t a[count];
  for (int j = 0; j < count; ++j) a[j] = vdupq_n_f32(static_cast<float>(j));
  for (int64_t i = 0; i < n; ++i) {
#pragma GCC unroll 24
    for (int j = 0; j < count; ++j) a[j] = vfmaq_f32(a[j], x, y);  // accumulates in place
  }
  float32x4_t sum = a[0];
  for (int j = 1; j < count; ++j) sum = vaddq_f32(sum, a[j]);
  return vaddvq_f32(sum);
}

RegisterLoop fma_loop() { return {"NEON", 24 * 4 * 2, fma_neon}; }
RegisterLoop bf16_loop() { return {}; }
#endif

volatile float sink;  // keeps the loops

// All threads at once, in a few pieces each: one that starts late leaves some to the others.
Case register_case(const RegisterLoop& loop) {
  constexpr int64_t turns = 100'000;
  const int64_t pieces = 4 * kernels::threads();
  return {.flop = loop.flop * double(turns * pieces),
          .run =
              [=] {
                kernels::parallel_for(pieces, 1, [&](int64_t begin, int64_t end) {
                  for (int64_t i = begin; i < end; ++i) sink = loop.run(turns);
                });
              }};
}

// ---- memory ---------------------------------------------------------------------------------------------------------
typedef float Four __attribute__((vector_size(16)));

Case triad_case() {
  constexpr int64_t n = int64_t{16} << 20;
  struct Arrays {
    Buffer a{n}, b{n}, c{n};
  };
  const auto s = std::make_shared<Arrays>();
  std::iota(s->b.data(), s->b.data() + n, 1.0f);
  std::iota(s->c.data(), s->c.data() + n, 2.0f);
  return {.bytes = 3.0 * 4 * double(n),
          .run =
              [s] {
                kernels::parallel_for(n, 4096, [&](int64_t begin, int64_t end) {
                  Four* const a = reinterpret_cast<Four*>(s->a.data());
                  const Four *const b = reinterpret_cast<const Four*>(s->b.data()),
                                    *const c = reinterpret_cast<const Four*>(s->c.data());
                  for (int64_t i = begin / 4; i < end / 4; ++i) a[i] = b[i] + 3.0f * c[i];
                });
              }};
}

// Each thread adds up its share of an array of so many bytes, again and again: what a case of that size could read.
Case read_case(int64_t bytes) {
  constexpr int64_t lanes = 4, block = 8 * lanes;
  const int threads = kernels::threads();
  const int64_t share = std::max<int64_t>(1, bytes / (4 * block * threads)) * block;   // floats
  const int64_t sweeps = std::max<int64_t>(1, (int64_t{4} << 20) / share);
  const auto array = std::make_shared<Buffer>(share * threads);
  std::iota(array->data(), array->data() + array->size(), 1.0f);
  return {.bytes = 4.0 * double(share) * threads * double(sweeps),
          .run =
              [=] {
                kernels::parallel_for(threads, 1, [&](int64_t begin, int64_t end) {
                  for (int64_t piece = begin; piece < end; ++piece) {
                    const Four* const x = reinterpret_cast<const Four*>(array->data() + piece * share);
                    Four sum[8] = {};
                    for (int64_t sweep = 0; sweep < sweeps; ++sweep) {
                      for (int64_t i = 0; i < share / lanes; i += 8)
#pragma GCC unroll 8
                        for (int64_t j = 0; j < 8; ++j) sum[j] += x[i + j];
                      asm volatile("" ::: "memory");   // or the sweeps become one
                    }
                    for (const Four& one : sum) sink = one[0];
                  }
                });
              }};
}

// ---- OpenBLAS -------------------------------------------------------------------------------------------------------
#ifdef MEANDER_OPENBLAS
Case sgemm_case() {
  constexpr int n = 1536;
  struct Matrices {
    Buffer a = Data().normals("a", n * n), b = Data().normals("b", n * n), c{n * n};
  };
  const auto s = std::make_shared<Matrices>();
  openblas_set_num_threads(kernels::threads());
  return {.flop = 2.0 * n * n * n,
          .run =
              [s] {
                cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1.0f, s->a.data(), n, s->b.data(), n,
                            0.0f, s->c.data(), n);
              }};
}
#endif

}  // namespace

std::vector<std::string> machine_case_names() {
  std::vector<std::string> names = {"machine/fma_fp32"};
  if (bf16_loop().run) names.push_back("machine/fma_bf16");
  names.push_back("machine/triad");
#ifdef MEANDER_OPENBLAS
  names.push_back("machine/sgemm");
#endif
  return names;
}

Case make_machine_case(const std::string& name) {
  if (name == "machine/fma_fp32") return register_case(fma_loop());
  if (name == "machine/fma_bf16" && bf16_loop().run) return register_case(bf16_loop());
  if (name == "machine/triad") return triad_case();
#ifdef MEANDER_OPENBLAS
  if (name == "machine/sgemm") return sgemm_case();
#endif
  const std::string read = "machine/read/";
  int64_t bytes = 0;
  if (name.starts_with(read) &&
      std::from_chars(name.data() + read.size(), name.data() + name.size(), bytes).ptr == name.data() + name.size())
    return read_case(std::clamp<int64_t>(bytes, 1024, int64_t{1} << 28));
  throw Error(message("no case '", name, "' on this machine"));
}

Peaks measure_peaks() {
  Peaks peaks;
  for (const std::string& name : machine_case_names()) {
    const Case c = make_machine_case(name);
    time_samples(c.run, 2, 0);
    const double seconds = 1e-6 * quantile(time_samples(c.run, 15, 0.02), 0);
    (name == "machine/fma_fp32"   ? peaks.fma
     : name == "machine/fma_bf16" ? peaks.bf16
     : name == "machine/triad"    ? peaks.triad
                                  : peaks.sgemm) = (c.flop + c.bytes) / seconds;
  }
  return peaks;
}

const char* fma_instructions() { return fma_loop().instructions; }

std::string sgemm_core() {
#ifdef MEANDER_OPENBLAS
  return openblas_get_corename();
#else
  return "";
#endif
}

}  // namespace meander::bench
