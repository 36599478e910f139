// Extensions of this processor that compilers cannot ask for everywhere, and which of them they can compile.
#pragma once

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#if defined(__x86_64__) && (defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11)
#define ALBERT_COMPILES_AVX_VNNI
#endif

namespace albert::cpu {

#if defined(__x86_64__)

// vpdpbusd of 256 bits without AVX-512.
inline bool has_avx_vnni() {
  unsigned eax, ebx, ecx, edx;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax >> 4 & 1);
}

#elif defined(__aarch64__)

// sdot of bytes, and bfdot. The numbers are bits of Linux's hwcap.h.
#if defined(__linux__)
inline bool has_dotprod() { return getauxval(AT_HWCAP) >> 20 & 1; }
inline bool has_bf16() { return getauxval(AT_HWCAP2) >> 14 & 1; }
#elif defined(__APPLE__)
inline bool has_feature(const char* name) {
  int value = 0;
  size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value;
}
inline bool has_dotprod() { return has_feature("hw.optional.arm.FEAT_DotProd"); }
inline bool has_bf16() { return has_feature("hw.optional.arm.FEAT_BF16"); }
#else
inline bool has_dotprod() { return false; }
inline bool has_bf16() { return false; }
#endif

#endif

}  // namespace albert::cpu
