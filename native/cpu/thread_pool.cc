// Fork and join of the worker threads, and how many of them the process may use.
#include "cpu/thread_pool.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <system_error>

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace albert::cpu {
namespace {

// About 50 microseconds: longer than the gaps between two operations of one pass, shorter than a scheduler's
// tick, so that an idle model gives its cores back.
constexpr int kSpins = 2000;

inline void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Processors' worth of time the cgroup grants (versions 2 and 1), or 0 when it sets no limit.
double cgroup_quota() {
  std::string quota;
  double period = 0;
  if (std::ifstream v2("/sys/fs/cgroup/cpu.max"); v2 >> quota >> period)
    return quota == "max" || period <= 0 ? 0 : std::stod(quota) / period;
  double microseconds = 0;
  if (std::ifstream v1("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"); !(v1 >> microseconds) || microseconds <= 0)
    return 0;
  if (std::ifstream v1("/sys/fs/cgroup/cpu/cpu.cfs_period_us"); !(v1 >> period) || period <= 0) return 0;
  return microseconds / period;
}

}  // namespace

int available_threads() {
  int threads = std::max(1u, std::thread::hardware_concurrency());
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) threads = std::max(1, CPU_COUNT(&set));
  const double quota = cgroup_quota();
  if (quota > 0) threads = std::clamp(static_cast<int>(std::ceil(quota)), 1, threads);
#endif
  return threads;
}

ThreadPool::ThreadPool(int threads) {
  try {
    for (int worker = 1; worker < threads; ++worker) workers_.emplace_back([this, worker] { work(worker); });
  } catch (...) {
    // The system grants no more threads; those there are do the work.
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::start(Function function, void* context) {
  function_ = function;
  context_ = context;
  error_ = nullptr;
  running_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
  // Sequentially consistent with the sleeper's own pair below: either it sees the new generation before it
  // waits, or we see it counted as sleeping and wake it.
  generation_.fetch_add(1);
  if (sleeping_.load() > 0) {
    std::lock_guard<std::mutex> lock(mutex_);
    wake_.notify_all();
  }
  call(0);
  for (int spin = 0; running_.load(std::memory_order_acquire) > 0; ++spin) {
    if (spin < kSpins)
      pause();
    else
      std::this_thread::yield();
  }
  if (error_) std::rethrow_exception(error_);
}

void ThreadPool::call(int worker) {
  try {
    function_(context_, worker);
  } catch (...) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!error_) error_ = std::current_exception();
  }
}

void ThreadPool::work(int worker) {
  for (uint64_t seen = 0;;) {
    for (int spin = 0; spin < kSpins && generation_.load(std::memory_order_acquire) == seen && !stopping_;
         ++spin)
      pause();
    if (generation_.load() == seen) {
      std::unique_lock<std::mutex> lock(mutex_);
      sleeping_.fetch_add(1);
      wake_.wait(lock, [&] { return stopping_ || generation_.load() != seen; });
      sleeping_.fetch_sub(1);
    }
    if (stopping_) return;
    ++seen;
    call(worker);
    running_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace albert::cpu
