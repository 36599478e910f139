// What is left of the peak once weights pass by: products of blocks of rows with weights of growing size, and the
// register-only loop beside them. Every worker has its own rows; all read the same weights.
// Build: cmake --build build/core && g++ -std=c++17 -O2 -Inative bench/micro/weight_stream.cc build/core/libalbert_core.a
//        -lpthread -o build/weight_stream; run: build/weight_stream [rows] [threads]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "cpu/backend.h"
#include "cpu/peak.h"

namespace {

using namespace albert;

constexpr int kRounds = 9;
constexpr int64_t kWidth = 768;
// Results stay in L2: a layer's products are no wider than some thousand columns either.
constexpr int64_t kColumnsAtOnce = 1536;
constexpr double kSampleSeconds = 0.05;

struct Case {
  int64_t out = 0;  // columns; 0: the loop from registers
  double rate = 0;  // operations a second, the median of all rounds
  std::vector<double> rates;
};

// Operations a second of body(worker), repeated on all workers for a while.
template <typename Body>
double rate_of(cpu::ThreadPool& pool, double operations, const Body& body) {
  int64_t repetitions = 0;
  const auto start = std::chrono::steady_clock::now();
  double passed;
  do {
    auto all = [&](int worker) { body(worker); };
    pool.run(all);
    ++repetitions;
    passed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  } while (passed < kSampleSeconds);
  return operations * static_cast<double>(repetitions * pool.size()) / passed;
}

void measure(cpu::ThreadPool& pool, Precision precision, int64_t rows) {
  const cpu::Kernels& kernels = cpu::select_kernels("");
  const cpu::PeakLoops loops = cpu::peak_loops(true);
  const cpu::PeakLoop loop = precision == Precision::kFp32   ? loops.fp32
                             : precision == Precision::kBf16 ? loops.bf16
                                                             : loops.int8;
  if (!loop.run) return;
  const std::unique_ptr<Backend> memory = make_cpu_backend("", 1);
  // As many columns as make these lanes of weights: 0.14, 1.1, 4.5 and 27 MB.
  std::vector<Case> cases{{}, {48, 0, {}}, {384, 0, {}}, {1536, 0, {}}, {9216, 0, {}}};
  const int64_t lanes = cpu::lanes_of(kWidth, precision), stride = row_stride(lanes * kernels.row_lanes(precision));
  const int64_t widest = cases.back().out;
  float* const panels = memory->allocate(static_cast<size_t>(lanes * widest));
  const std::vector<float> columns(static_cast<size_t>(widest), 1.0f);
  // Ones, as a unit that adds zeros draws less power: a float, two bf16 or four bytes.
  const cpu::Lane ones_of[] = {0x3f800000, 0x3f803f80, 0x01010101}, one = ones_of[static_cast<int>(precision)];
  std::fill_n(reinterpret_cast<cpu::Lane*>(panels), lanes * widest, one);
  std::vector<float*> x, y;
  for (int worker = 0; worker < pool.size(); ++worker) {
    x.push_back(memory->allocate(static_cast<size_t>((rows + 8) * stride)));
    y.push_back(memory->allocate(static_cast<size_t>(rows * row_stride(kColumnsAtOnce))));
    std::fill_n(reinterpret_cast<cpu::Lane*>(x.back()), (rows + 8) * stride, one);
  }
  const std::vector<float> ones(static_cast<size_t>(rows + 8), 1.0f);
  for (int round = 0; round < kRounds; ++round)
    for (Case& entry : cases) {
      if (entry.out == 0) {
        constexpr int64_t kTimes = 1 << 16;
        entry.rates.push_back(rate_of(pool, loop.operations * kTimes, [&](int) { loop.run(kTimes); }));
        continue;
      }
      const double operations = 2.0 * static_cast<double>(rows * kWidth * entry.out);
      entry.rates.push_back(rate_of(pool, operations, [&](int worker) {
        cpu::LinearTask task{};
        task.x = reinterpret_cast<const cpu::Lane*>(x[worker]);
        task.x_stride = stride;
        task.row_scale = task.row_offset = ones.data();
        task.bias = task.column_scale = task.column_sum = columns.data();
        task.depth = lanes;
        task.out = std::min(entry.out, kColumnsAtOnce);
        task.rows = rows;
        task.panel_end = task.out / kernels.panel_width;
        task.spare_rows = true;
        task.y = y[worker];
        task.y_stride = row_stride(task.out);
        for (int64_t column = 0; column < entry.out; column += task.out) {
          task.panels = reinterpret_cast<const cpu::Lane*>(panels) + column * lanes;
          kernels.linear[static_cast<int>(precision)](task);
        }
      }));
    }
  for (Case& entry : cases) {
    std::nth_element(entry.rates.begin(), entry.rates.begin() + kRounds / 2, entry.rates.end());
    entry.rate = entry.rates[kRounds / 2];
  }
  const char* const names[] = {"fp32", "bf16", "int8"};
  std::printf("%s %d threads, %ld rows: registers %.0f G/s", names[static_cast<int>(precision)], pool.size(),
              static_cast<long>(rows), cases[0].rate * 1e-9);
  for (size_t i = 1; i < cases.size(); ++i)
    std::printf("; %.2f MB %.0f (%.0f %%)", static_cast<double>(lanes * cases[i].out * 4) / (1 << 20),
                cases[i].rate * 1e-9, 100 * cases[i].rate / cases[0].rate);
  std::printf("\n");
  for (float* block : x) memory->release(block);
  for (float* block : y) memory->release(block);
  memory->release(panels);
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t rows = argc > 1 ? std::atol(argv[1]) : 64;
  for (int threads = 1; threads <= (argc > 2 ? std::atoi(argv[2]) : cpu::available_threads()); ++threads) {
    cpu::ThreadPool pool(threads);
    for (Precision precision : {Precision::kFp32, Precision::kBf16, Precision::kInt8}) measure(pool, precision, rows);
  }
}
