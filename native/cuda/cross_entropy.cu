// Cross-entropy of rows of logits with their labels, and its gradient in their place.
#include <algorithm>
#include <vector>

#include "cuda/backend.h"
#include "cuda/common.cuh"
#include "support/softmax_loss.h"

namespace albert::cuda {
namespace {

// A block for each row. The gradient of the label is minus the sum of the others, which keeps its digits
// where the label is nearly certain.
__global__ void __launch_bounds__(kReduceThreads)
    cross_entropy_kernel(float* losses, float* hits, float* logits, const int32_t* labels,
                         const float* scales, int64_t width) {
  const int64_t row = blockIdx.x, label = labels[row];
  float* const x = logits + row * width;
  float most = x[0];
  for (int64_t i = threadIdx.x; i < width; i += kReduceThreads) most = x[i] > most ? x[i] : most;
  const float largest = block_max(most), of_label = x[label];
  float sum = 0;
  for (int64_t i = threadIdx.x; i < width; i += kReduceThreads)
    if (i != label) sum += expf(x[i] - largest);
  const double others = block_sum(static_cast<double>(sum));
  const double below = static_cast<double>(largest) - of_label, own = exp(-below);
  const float factor = static_cast<float>(scales[row] / (others + own));
  for (int64_t i = threadIdx.x; i < width; i += kReduceThreads)
    x[i] = i == label ? static_cast<float>(-others * (scales[row] / (others + own)))
                      : expf(x[i] - largest) * factor;
  if (threadIdx.x != 0) return;
  losses[row] = static_cast<float>(softmax_loss(below, others));
  hits[row] = of_label == largest ? 1 : 0;
}

}  // namespace

void CudaBackend::cross_entropy_forward_backward(float* losses, uint8_t* hits, float* logits,
                                                 const int32_t* labels, const float* scales, int64_t width,
                                                 int64_t rows) {
  Operation operation(memory_);
  if (rows == 0) return;
  float* const x = operation.in_out(logits, width, width, rows);
  float* const results = operation.scratch<float>(2 * rows);  // losses, then hits
  launch(cross_entropy_kernel, dim3(static_cast<unsigned>(rows)), kReduceThreads, 0, operation.stream(),
         results, results + rows, x, operation.upload(labels, rows), operation.upload(scales, rows), width);
  std::vector<float> values(static_cast<size_t>(2 * rows));
  operation.download(values.data(), results, 2 * rows);
  std::copy_n(values.begin(), rows, losses);
  std::transform(values.begin() + rows, values.end(), hits,
                 [](float hit) { return static_cast<uint8_t>(hit); });
  operation.finish();
}

}  // namespace albert::cuda
