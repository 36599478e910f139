// Compares products of several builds of a spine where a machine is too noisy for one run after another: all
// are loaded into one process and take turns every few milliseconds, so that noise is shared. Prints each
// build's share of the loop from registers (median; best twentieth) and its speed against the first build's,
// the median of the turns. Build: g++ -std=c++17 -O3 -fPIC -shared -Inative native/cpu/avx2.cc -o
// build/before.so, and after.so of another state;
//        cmake --build build/core && g++ -std=c++17 -O2 -Inative bench/micro/compare_kernels.cc
//        build/core/libalbert_core.a -lpthread -ldl -o build/compare_kernels
// Run: build/compare_kernels kAvx2 fp32|bf16|int8 rounds build/before.so build/after.so ...
#include <dlfcn.h>

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

struct Case {
  int64_t rows, depth, out;
  Activation activation;
};
constexpr Case kCases[] = {{128, 768, 768, Activation::kIdentity},  {128, 768, 3072, Activation::kGelu},
                           {128, 3072, 768, Activation::kIdentity}, {128, 288, 1152, Activation::kGeluNew},
                           {64, 768, 768, Activation::kIdentity},   {32, 768, 768, Activation::kIdentity},
                           {17, 768, 768, Activation::kIdentity},   {8, 768, 768, Activation::kIdentity}};
constexpr int64_t kMostRows = 128, kMostDepth = 3072, kMostOut = 3072, kSpareRows = 8;
constexpr int64_t kMostWeights = 3072 * 768 + 3072 * 64;

const cpu::Kernels& load_kernels(const std::string& table, const char* file) {
  void* const library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (!library) std::fprintf(stderr, "%s\n", dlerror()), std::exit(2);
  const std::string symbol = "_ZN6albert3cpu" + std::to_string(table.size()) + table + "E";
  void* const found = dlsym(library, symbol.c_str());
  if (!found) std::fprintf(stderr, "expected the table %s in %s\n", table.c_str(), file), std::exit(2);
  return **static_cast<const cpu::Kernels* const*>(found);
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

// Seconds of body().
template <typename Body>
double seconds_of(const Body& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Operands of every case. Ones, as a unit that adds zeros draws less power: a float, two bf16 or four bytes.
struct Operands {
  explicit Operands(Precision precision) : memory(make_cpu_backend("", 1)), columns(kMostOut + 64, 0.1f) {
    const cpu::Lane ones[] = {0x3f800000, 0x3f803f80, 0x01010101};
    const auto fill = [&](int64_t lanes) {
      float* const block = memory->allocate(static_cast<size_t>(lanes));
      std::fill_n(reinterpret_cast<cpu::Lane*>(block), lanes, ones[static_cast<int>(precision)]);
      return block;
    };
    x = fill((kMostRows + kSpareRows) *
             row_stride(kMostDepth));  // bf16 without its arithmetic: a lane a value
    panels = fill(kMostWeights);
    y = fill(kMostRows * row_stride(kMostOut));
  }
  ~Operands() {
    for (float* block : {x, panels, y}) memory->release(block);
  }

  cpu::LinearTask task(const Case& shape, const cpu::Kernels& kernels, Precision precision) const {
    cpu::LinearTask task{};
    task.depth = cpu::lanes_of(shape.depth, precision);
    task.x = reinterpret_cast<const cpu::Lane*>(x);
    task.x_stride = row_stride(task.depth * kernels.row_lanes(precision));
    task.panels = reinterpret_cast<const cpu::Lane*>(panels);
    task.bias = task.column_scale = task.column_sum = task.row_scale = task.row_offset = columns.data();
    task.rows = shape.rows;
    task.out = shape.out;
    task.panel_end = (shape.out + kernels.panel_width - 1) / kernels.panel_width;
    task.spare_rows = true;
    task.activation = shape.activation;
    task.y = y;
    task.y_stride = row_stride(shape.out);
    return task;
  }

  std::unique_ptr<Backend> memory;
  std::vector<float> columns;
  float *x, *panels, *y;
};

void compare(const Case& shape, Precision precision, int rounds,
             const std::vector<const cpu::Kernels*>& builds, const Operands& operands) {
  const cpu::PeakLoops loops = cpu::peak_loops(true);
  const cpu::PeakLoop loop = precision == Precision::kInt8                     ? loops.int8
                             : precision == Precision::kBf16 && loops.bf16.run ? loops.bf16
                                                                               : loops.fp32;
  const double operations = 2.0 * static_cast<double>(shape.rows * shape.depth * shape.out);
  const int64_t turns = static_cast<int64_t>(operations / loop.operations);
  std::vector<double> of_loop;
  std::vector<std::vector<double>> seconds(builds.size());
  for (int round = 0; round < rounds; ++round) {
    of_loop.push_back(seconds_of([&] { loop.run(turns); }));
    for (size_t i = 0; i < builds.size(); ++i) {
      const size_t build = (i + static_cast<size_t>(round)) % builds.size();
      const cpu::LinearTask task = operands.task(shape, *builds[build], precision);
      seconds[build].push_back(seconds_of([&] { builds[build]->linear[static_cast<int>(precision)](task); }));
    }
  }
  const double peak = median(of_loop);
  std::printf("%4ld x %4ld x %4ld:", static_cast<long>(shape.rows), static_cast<long>(shape.depth),
              static_cast<long>(shape.out));
  for (const std::vector<double>& build : seconds) {
    std::vector<double> ratios, sorted = build;
    for (size_t i = 0; i < build.size(); ++i) ratios.push_back(seconds[0][i] / build[i]);
    std::sort(sorted.begin(), sorted.end());
    std::printf("  %3.0f %% (%3.0f), x %.3f", 100 * peak / median(build),
                100 * peak / sorted[sorted.size() / 20], median(ratios));
  }
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  const std::string type = argc > 2 ? argv[2] : "";
  if (argc < 5 || (type != "fp32" && type != "bf16" && type != "int8"))
    return std::fprintf(stderr, "usage: compare_kernels TABLE fp32|bf16|int8 ROUNDS BUILD.so ...\n"), 2;
  const Precision precision = type == "fp32"   ? Precision::kFp32
                              : type == "bf16" ? Precision::kBf16
                                               : Precision::kInt8;
  std::vector<const cpu::Kernels*> builds;
  for (int i = 4; i < argc; ++i) builds.push_back(&load_kernels(argv[1], argv[i]));
  const Operands operands(precision);
  for (const Case& shape : kCases)
    compare(shape, precision, std::max(1, std::atoi(argv[3])), builds, operands);
}
