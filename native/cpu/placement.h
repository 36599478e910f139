// Keeps a thread that wakes off the processor of the one that wakes it.
//
// A virtual processor that has been idle for milliseconds counts as taken away by its host (vcpu_is_preempted
// of Linux on KVM), so that the system lets a thread wake on the processor of the one that wakes it, where it
// runs only when that one pauses, and leaves it there until the next tick (docs/performance.md).
#pragma once

#if defined(__linux__)
#include <sched.h>
#endif

namespace albert::cpu {

// Of one thread. Systems other than Linux are left to place it.
class Placement {
 public:
  // By the thread itself: before it sleeps, and when it has woken.
  void sleeps();
  void woke();
  // By whoever wakes it; not at the same time as these two.
  void keep_off();

#if defined(__linux__)
 private:
  int thread_ = 0;  // the kernel's number
  bool sleeps_ = false, moved_ = false;
  cpu_set_t allowed_;
#endif
};

}  // namespace albert::cpu
