// Times the products of an ALBERT-base layer on one thread, in processor time, so that neighbours hardly count.
// Build: cmake --build build/core && g++ -std=c++17 -O2 -Inative bench/micro/products.cc build/core/libalbert_core.a
//        -lpthread -o build/products; run: build/products [isa]
#include <ctime>

#include <algorithm>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "ops.h"

namespace {

double seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

std::vector<float> random_floats(int64_t count, float deviation) {
  static std::mt19937 engine(1);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(engine);
  return values;
}

// The smallest time of a run, over about half a second.
template <typename Run>
double best(const Run& run) {
  double least = 1e9;
  for (const double start = seconds(); seconds() - start < 0.4;) {
    const double begin = seconds();
    run();
    least = std::min(least, seconds() - begin);
  }
  return least;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace albert;
  constexpr int64_t kHidden = 768, kInner = 3072;
  const std::string isa = argc > 1 ? argv[1] : "";
  const char* names[] = {"fp32", "bf16", "int8"};
  for (Precision precision : {Precision::kFp32, Precision::kBf16, Precision::kInt8}) {
    const std::unique_ptr<Backend> backend = make_cpu_backend(isa, 1);
    BackendLimits limits;
    limits.precision = precision;
    limits.max_width = kInner;
    limits.max_length = 512;
    limits.head_size = 64;
    backend->reserve(limits);
    const auto pack = [&](int64_t in, int64_t out) {
      const std::vector<float> weight = random_floats(in * out, 0.02f), bias = random_floats(out, 0.02f);
      return backend->pack({{weight.data(), bias.data(), out}}, in, {precision, {}, {}});
    };
    const auto square = pack(kHidden, kHidden), up = pack(kHidden, kInner), down = pack(kInner, kHidden),
               qkv = pack(kHidden, 3 * kHidden);
    const std::vector<float> ones(kHidden, 1.0f), zeros(kHidden, 0.0f);
    const LayerNormWeights norm{ones.data(), zeros.data(), 1e-12f};
    const int64_t stride = row_stride(kHidden);
    std::printf("%s %s, GFLOP/s:\n  rows      H->H  qkv+heads   feed-forward  attention (T = rows)\n", backend->isa(),
                names[static_cast<int>(precision)]);
    for (int64_t rows : {8, 16, 64, 128, 512}) {
      std::vector<float> x = random_floats(rows * stride, 1), y(x.size());
      Heads heads;
      heads.heads = 12;
      heads.size = 64;
      heads.precision = backend->inference_heads(precision);
      heads.stride = backend->head_stride(64, heads.precision);
      std::vector<float> memory(static_cast<size_t>(3 * 12 * rows * heads.stride));
      heads.query = memory.data();
      heads.key = memory.data() + 12 * rows * heads.stride;
      heads.value = memory.data() + 24 * rows * heads.stride;
      const int32_t begin[] = {0, static_cast<int32_t>(rows)}, keys[] = {static_cast<int32_t>(rows)};
      Segments segments;
      segments.count = 1;
      segments.row_begin = begin;
      segments.keys = keys;
      const double n = static_cast<double>(rows) * 1e-9;
      std::printf("%6ld %9.1f %10.1f %14.1f %10.1f\n", static_cast<long>(rows),
                  n * 2 * kHidden * kHidden / best([&] {
                    backend->linear_forward(y.data(), stride, x.data(), stride, *square, Activation::kIdentity, rows);
                  }),
                  n * 6 * kHidden * kHidden / best([&] { backend->qkv_forward(heads, x.data(), *qkv, rows); }),
                  n * 4 * kHidden * kInner / best([&] {
                    backend->feed_forward_forward(x.data(), *up, Activation::kGeluNew, *down, norm, rows);
                  }),
                  n * 4 * static_cast<double>(rows) * kHidden / best([&] {
                    backend->attention_forward(y.data(), nullptr, heads, segments, {});
                  }));
    }
  }
}
