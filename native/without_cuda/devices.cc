// What a build without CUDA says of GPUs.
#include "ops.h"
#include "support/error.h"

namespace albert {
namespace {

[[noreturn]] void refuse() {
  throw Error(ErrorCode::kDevice,
              "this build of albert-native computes on the CPU alone; `npm run build:cuda` in a clone of it "
              "makes one for NVIDIA GPUs and needs nvcc of CUDA 12.4 or newer");
}

}  // namespace

std::vector<CudaDevice> cuda_devices() { refuse(); }
std::unique_ptr<Backend> make_cuda_backend(int) { refuse(); }

}  // namespace albert
