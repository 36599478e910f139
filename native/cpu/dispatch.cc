// Finds the instruction sets of this machine and chooses the kernel table: the best one, or the one that was
// asked for.
#include <algorithm>
#include <cstdlib>
#include <thread>

#include "cpu/kernels.h"
#include "cpu/processor.h"
#include "cpu/thread_pool.h"
#include "support/error.h"

namespace albert {
namespace cpu {
namespace {

bool supported(const Kernels* kernels) {
  if (!kernels) return false;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("fma");
  const bool vnni = avx512 && __builtin_cpu_supports("avx512vnni");
  if (kernels == kAvx512Bf16) return vnni && __builtin_cpu_supports("avx512bf16");
  if (kernels == kAvx512Vnni) return vnni;
  if (kernels == kAvx512) return avx512;
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (kernels == kAvxVnni) return avx2 && has_avx_vnni();
  if (kernels == kAvx2) return avx2;
#elif defined(__aarch64__)
  if (kernels == kNeonBf16) return has_dotprod() && has_bf16();
  if (kernels == kNeonDotprod) return has_dotprod();
#endif
  return true;
}

// Best first.
std::vector<const Kernels*> available_kernels() {
  std::vector<const Kernels*> available;
  for (const Kernels* kernels :
       {kAvx512Bf16, kAvx512Vnni, kAvx512, kAvxVnni, kAvx2, kNeonBf16, kNeonDotprod, kNeon, kScalar})
    if (supported(kernels)) available.push_back(kernels);
  return available;
}

}  // namespace

const Kernels& select_kernels(const std::string& isa) {
  const char* environment = std::getenv("ALBERT_CPU_ISA");
  const std::string wanted = !isa.empty() ? isa : environment ? environment : "";
  std::string names;
  for (const Kernels* kernels : available_kernels()) {
    const bool family = std::string(kernels->name).rfind(wanted + '_', 0) == 0;
    if (wanted.empty() || family || wanted == kernels->name) return *kernels;
    names += str(names.empty() ? "" : ", ", kernels->name);
  }
  throw Error(ErrorCode::kDevice,
              str("expected ", isa.empty() ? "ALBERT_CPU_ISA" : "isa", " to be one of ", names,
                  " (what this processor and build have) but received '", wanted, "'"));
}

}  // namespace cpu

CpuInfo cpu_info() {
  CpuInfo info;
  info.isa = cpu::select_kernels("").name;
  for (const cpu::Kernels* kernels : cpu::available_kernels()) info.available.push_back(kernels->name);
  info.cores = std::max(1u, std::thread::hardware_concurrency());
  info.threads = cpu::available_threads();
  return info;
}

}  // namespace albert
