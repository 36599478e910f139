// A fixed set of threads that run one function together; they spin briefly between calls and then sleep.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "cpu/placement.h"

namespace albert::cpu {

// Threads this process may keep busy: the affinity mask, cut down to the cgroup's processor quota.
int available_threads();

class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // fewer when the system grants no more: see size()
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(0) on the calling thread and, meanwhile, body(worker) on each worker 1 .. size() - 1 that
  // comes before that has returned; returns when all of them have ended. So a body takes what it does from
  // those that run beside it, until nothing is left: a worker that the system gives no core to is not waited
  // for. One call at a time. Allocates nothing. The first exception thrown by a body is rethrown here.
  template <typename Body>
  void run(Body& body) {
    start([](void* context, int worker) { (*static_cast<Body*>(context))(worker); }, &body);
  }

 private:
  using Function = void (*)(void* context, int worker);
  void start(Function function, void* context);
  void call(int worker);
  void work(int worker);

  std::vector<std::thread> workers_;
  Function function_ = nullptr;
  void* context_ = nullptr;
  // The number of the call << 16 | whether it still takes workers << 15 | workers inside it.
  std::atomic<uint64_t> state_{0};
  std::atomic<int> sleeping_{0};
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Placement> placements_;  // of the workers; guarded by the mutex
  std::exception_ptr error_;
};

}  // namespace albert::cpu
