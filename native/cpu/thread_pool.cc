// Fork and join of the worker threads, and how many of them the process may use.
#include "cpu/thread_pool.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <string>

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

// Of the pool's state.
constexpr uint64_t kCall = 1u << 16, kOpen = 1u << 15;

inline void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

constexpr double kNoQuota = std::numeric_limits<double>::infinity();

// Processors' worth of time that one control group grants, of version 2 or 1.
double quota_of(const std::string& folder) {
  double quota = 0, period = 0;
  // 'max' is no number, and no quota.
  if (std::ifstream v2(folder + "/cpu.max"); v2 >> quota >> period && period > 0) return quota / period;
  std::ifstream v1_quota(folder + "/cpu.cfs_quota_us"), v1_period(folder + "/cpu.cfs_period_us");
  if (v1_quota >> quota && v1_period >> period && quota > 0 && period > 0) return quota / period;
  return kNoQuota;
}

// The least that is granted by the control groups of this process, its own and those around it.
double cgroup_quota() {
  double least = kNoQuota;
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // number:controllers:/path/of/the/group
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool v2 = controllers == ",,";
    if (!v2 && controllers.find(",cpu,") == std::string::npos) continue;
    const std::string root = v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu";
    std::string group = line.substr(second + 1);
    while (!group.empty()) {
      least = std::min(least, quota_of(root + group));
      group.resize(std::min(group.rfind('/'), group.size() - 1));
    }
    least = std::min(least, quota_of(root));
  }
  return least;
}

}  // namespace

int available_threads() {
  int threads = std::max(1u, std::thread::hardware_concurrency());
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) threads = std::max(1, CPU_COUNT(&set));
  const double quota = cgroup_quota();
  if (quota < threads) threads = std::max(1, static_cast<int>(std::ceil(quota)));
#endif
  return threads;
}

ThreadPool::ThreadPool(int threads) : placements_(static_cast<size_t>(std::max(threads, 1))) {
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
  // Sequentially consistent with the sleeper's own pair below: either it sees the new call before it waits,
  // or we see it counted as sleeping and wake it.
  state_.store((state_.load(std::memory_order_relaxed) / kCall + 1) * kCall | kOpen);
  if (sleeping_.load() > 0) {
    std::lock_guard<std::mutex> lock(mutex_);
    for (Placement& placement : placements_) placement.keep_off();
    wake_.notify_all();
  }
  call(0);
  state_.fetch_and(~kOpen);
  for (int spin = 0; state_.load(std::memory_order_acquire) % kOpen > 0; ++spin) {
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
  uint64_t last = 0;  // the call that this worker was part of
  const auto has_work = [&](uint64_t state) { return (state & kOpen) && state / kCall != last; };
  for (;;) {
    uint64_t state = state_.load();
    for (int spin = 0; spin < kSpins && !has_work(state) && !stopping_; ++spin) {
      pause();
      state = state_.load(std::memory_order_acquire);
    }
    if (!has_work(state)) {
      std::unique_lock<std::mutex> lock(mutex_);
      Placement& placement = placements_[static_cast<size_t>(worker)];
      placement.sleeps();
      sleeping_.fetch_add(1);
      wake_.wait(lock, [&] { return stopping_ || has_work(state = state_.load()); });
      sleeping_.fetch_sub(1);
      placement.woke();
    }
    if (stopping_) return;
    // Enters, unless the call has closed or another worker has come in between.
    if (!state_.compare_exchange_strong(state, state + 1)) continue;
    last = state / kCall;
    call(worker);
    state_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace albert::cpu
