// Rounded values that a GPU keeps beside matrices give way when its memory ends.
#include <cstring>

#include "backends.h"
#include "ops.h"
#include "test.h"

namespace albert::test {

// More matrices than the emulation's second device holds with those values: each product has the bits of the
// same product of the host's memory.
TEST(rounded_values_make_room_for_matrices) {
  constexpr int kMatrices = 6;
  const int64_t rows = 1024, width = 512, out = 8;
  const std::vector<float> weight = random_floats(out * width);
  for (const Processor& processor : processors()) {
    if (processor.device == "cpu") continue;
    const std::unique_ptr<Backend> backend = make_backend(processor.device, Precision::kBf16, "", 1);
    BackendLimits limits;
    limits.precision = Precision::kBf16;
    backend->reserve(limits);
    const auto packed = backend->pack({{weight.data(), nullptr, out}}, width, {Precision::kBf16, {}, {}});
    const auto product = [&](const float* x) {
      std::vector<float> y(static_cast<size_t>(rows * out));
      backend->linear_forward(y.data(), out, x, width, *packed, Activation::kIdentity, rows);
      return y;
    };
    std::vector<float*> matrices;
    for (int i = 0; i < kMatrices; ++i) {
      const std::vector<float> x = random_floats(rows * width);
      const std::vector<float> truth = product(x.data());
      matrices.push_back(backend->allocate(x.size()));
      backend->upload(matrices.back(), x.data(), x.size());
      EXPECT(!std::memcmp(product(matrices.back()).data(), truth.data(), truth.size() * sizeof(float)),
             "matrix ", i, " on ", processor.name());
    }
    for (float* matrix : matrices) backend->release(matrix);
  }
}

// Of no rows there are no rounded values, whatever is written there next.
TEST(no_rows_leave_no_rounded_values) {
  const int64_t rows = 3, width = 64;
  const std::vector<float> weight = random_floats(width * width);
  const std::vector<float> values(static_cast<size_t>(rows * row_stride(width)), 0.5f);
  on_every_backend({Precision::kBf16}, [&](Backend& backend, Precision precision, const std::string& where) {
    const auto packed = backend.pack({{weight.data(), nullptr, width}}, width, {precision, {}, {}});
    float* const x = backend.allocate(values.size());
    float* const y = backend.allocate(values.size());
    float* const sum = backend.allocate(values.size());
    backend.upload(x, values.data(), values.size());
    backend.linear_activation_forward(y, sum, x, *packed, Activation::kRelu, 0);
    backend.activation_forward(y, x, Activation::kRelu, width, rows);
    std::vector<float> copy(static_cast<size_t>(rows * width));
    backend.gather_rows(copy.data(), width, y, row_stride(width), nullptr, width, rows);
    for (float value : copy) EXPECT(value == 0.5f, value, " in ", where);
    for (float* memory : {x, y, sum}) backend.release(memory);
  });
}

}  // namespace albert::test
