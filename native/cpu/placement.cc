// Sleeping threads get a mask of processors without that of the waker, and their own back when they are
// awake.
#include "cpu/placement.h"

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace albert::cpu {

#if defined(__linux__)

void Placement::sleeps() {
  thread_ = static_cast<int>(syscall(SYS_gettid));
  sleeps_ = sched_getaffinity(0, sizeof allowed_, &allowed_) == 0;
}

void Placement::keep_off() {
  const int here = sched_getcpu();
  if (!sleeps_ || moved_ || here < 0 || here >= CPU_SETSIZE) return;
  cpu_set_t others = allowed_;
  CPU_CLR(here, &others);
  moved_ = CPU_COUNT(&others) > 0 && sched_setaffinity(thread_, sizeof others, &others) == 0;
}

void Placement::woke() {
  if (moved_) sched_setaffinity(0, sizeof allowed_, &allowed_);
  sleeps_ = moved_ = false;
}

#else

void Placement::sleeps() {}
void Placement::keep_off() {}
void Placement::woke() {}

#endif

}  // namespace albert::cpu
