// Reading of the names of devices and precisions.
#include "device.h"

#include "support/error.h"

namespace albert {
namespace {

constexpr const char kCuda[] = "cuda";
constexpr size_t kCudaLength = sizeof kCuda - 1;

bool has_gpu() {
  try {
    return !cuda_devices().empty();
  } catch (const Error&) {
    return false;
  }
}

// The number behind 'cuda:', or -1 for another name.
int cuda_index(const std::string& device) {
  if (device == kCuda) return 0;
  if (device.compare(0, kCudaLength, kCuda) != 0 || device.size() < kCudaLength + 2 ||
      device.size() > kCudaLength + 4 || device[kCudaLength] != ':' ||
      device.find_first_not_of("0123456789", kCudaLength + 1) != std::string::npos)
    return -1;
  return std::stoi(device.substr(kCudaLength + 1));
}

}  // namespace

const char* to_string(Precision precision) {
  return precision == Precision::kFp32 ? "fp32" : precision == Precision::kBf16 ? "bf16" : "int8";
}

Precision precision_of(const std::string& dtype, std::initializer_list<Precision> allowed) {
  std::string names;
  for (const Precision precision : allowed) {
    if (dtype == to_string(precision)) return precision;
    names += str(names.empty() ? "'" : " or '", to_string(precision), "'");
  }
  throw Error(ErrorCode::kInvalidArgument,
              str("expected dtype to be ", names, " but received '", dtype, "'"));
}

std::unique_ptr<Backend> make_backend(const std::string& device, Precision precision, const std::string& isa,
                                      int threads) {
  if (device == "cpu") return make_cpu_backend(isa, threads);
  if (device == "auto") {
    const bool on_gpu = isa.empty() && precision != Precision::kInt8 && has_gpu();
    return on_gpu ? make_cuda_backend(0) : make_cpu_backend(isa, threads);
  }
  const int index = cuda_index(device);
  check(index >= 0, ErrorCode::kDevice,
        "expected device to be 'auto', 'cpu', 'cuda' or 'cuda:1' but received '", device, "'");
  const int count = static_cast<int>(cuda_devices().size());
  check(index < count, ErrorCode::kDevice, "expected device to name one of ", count,
        " GPUs, from 'cuda:0' on, but received '", device, "'");
  return make_cuda_backend(index);
}

}  // namespace albert
