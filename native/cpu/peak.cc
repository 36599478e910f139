// Measures what the machine can do at most: each loop on all threads at once, several times.
#include "cpu/peak.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "cpu/thread_pool.h"
#include "ops.h"
#include "support/error.h"

namespace albert {
namespace {

constexpr int kSamples = 6, kBriefSamples = 3;
constexpr double kSampleSeconds = 0.04;
// All threads together; several times the largest cache of most machines.
constexpr int64_t kReadBytes = int64_t{512} << 20;

// Seconds that body(worker) takes on all workers of the pool, which begin together.
template <typename Body>
double seconds_of(cpu::ThreadPool& pool, Body body) {
  std::atomic<int> missing{pool.size()};
  auto together = [&](int worker) {
    missing.fetch_sub(1);
    while (missing.load() > 0) std::this_thread::yield();
    body(worker);
  };
  const auto begin = std::chrono::steady_clock::now();
  pool.run(together);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Of the second fastest sample: a clock that is set meanwhile had shown a quarter more than there is. Of
// three it is the median, which is what passes are measured by.
double operations_per_second(cpu::ThreadPool& pool, const cpu::PeakLoop& loop, int samples) {
  if (!loop.run) return 0;
  int64_t rounds = 1 << 16;
  const auto sample = [&] { return seconds_of(pool, [&](int) { loop.run(rounds); }); };
  while (sample() < kSampleSeconds) rounds *= 2;
  std::vector<double> seconds(static_cast<size_t>(samples));
  std::generate(seconds.begin(), seconds.end(), sample);
  std::nth_element(seconds.begin(), seconds.begin() + 1, seconds.end());
  return static_cast<double>(rounds) * loop.operations * pool.size() / seconds[1];
}

double read_bytes_per_second(cpu::ThreadPool& pool) {
  const int64_t words = kReadBytes / pool.size() / 8;
  std::vector<std::vector<uint64_t>> blocks(pool.size());
  std::vector<uint64_t> sums(pool.size());
  // Each worker writes its own block first, so that the pages exist and lie near it.
  seconds_of(pool, [&](int worker) { blocks[worker].assign(words, 1); });
  double best = 1e30;
  for (int sample = 0; sample < kSamples; ++sample) {
    best = std::min(best, seconds_of(pool, [&](int worker) {
                      const uint64_t* block = blocks[worker].data();
                      uint64_t parts[16] = {};
                      for (int64_t i = 0; i + 16 <= words; i += 16)
                        for (int lane = 0; lane < 16; ++lane) parts[lane] += block[i + lane];
                      for (uint64_t part : parts) sums[worker] += part;
                    }));
  }
  // The sums are used, so that the reads cannot be left out.
  const bool read = std::all_of(sums.begin(), sums.end(), [](uint64_t sum) { return sum > 0; });
  return read ? static_cast<double>(words * 8 * pool.size()) / best : 0;
}

}  // namespace

CpuPeak measure_cpu_peak(int threads, const std::string& isa, bool brief) {
  check(threads >= 1 && threads <= 1024, ErrorCode::kInvalidArgument,
        "expected 1 to 1024 threads to measure but received ", threads);
  check(isa.empty() || isa == "avx2", ErrorCode::kInvalidArgument,
        "expected the isa to measure to be '' or 'avx2' but received '", isa, "'");
  cpu::ThreadPool pool(threads);
  const cpu::PeakLoops loops = cpu::peak_loops(isa.empty());
  const int samples = brief ? kBriefSamples : kSamples;
  CpuPeak peak;
  peak.fp32 = operations_per_second(pool, loops.fp32, samples);
  peak.bf16 = operations_per_second(pool, loops.bf16, samples);
  peak.int8 = operations_per_second(pool, loops.int8, samples);
  if (!brief) peak.read_bandwidth = read_bytes_per_second(pool);
  return peak;
}

}  // namespace albert
