// Folding of two linear layers.
#include "folded_linear.h"

namespace albert {

FoldedLinear::FoldedLinear(const LinearSource& first, int64_t in, const std::vector<LinearSource>& second,
                           int64_t middle, Backend& backend)
    : other_(backend.computes_on_host() ? nullptr : make_cpu_backend("", 0)),
      memory_(other_ ? *other_ : backend) {
  Backend& cpu = other_ ? *other_ : backend;
  std::vector<LinearSource> unbiased = second;
  for (LinearSource& part : unbiased) part.bias = nullptr, out_ += part.out;
  const std::unique_ptr<PackedLinear> packed = cpu.pack(unbiased, middle, {});
  // columns: of U and a, as rows
  const auto [columns, products, weight] = memory_.slices({(in + 1) * middle, (in + 1) * out_, in * out_});
  weight_ = weight;
  for (int64_t m = 0; m < middle; ++m) {
    for (int64_t i = 0; i < in; ++i) columns[i * middle + m] = first.weight[m * in + i];
    columns[in * middle + m] = first.bias[m];
  }
  cpu.linear_forward(products, out_, columns, middle, *packed, Activation::kIdentity, in + 1);
  for (int64_t o = 0; o < out_; ++o)
    for (int64_t i = 0; i < in; ++i) weight_[o * in + i] = products[i * out_ + o];
  bias_.assign(products + in * out_, products + (in + 1) * out_);
  int64_t o = 0;
  for (const LinearSource& part : second)
    for (int64_t k = 0; k < part.out; ++k) bias_[o++] += part.bias[k];
}

}  // namespace albert
