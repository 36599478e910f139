// The pool of threads: whatever is taken is done when a call returns, and who takes nothing is not waited
// for.
#include "cpu/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif

#include "support/error.h"
#include "test.h"

namespace albert::test {

TEST(pool_does_every_item_once) {
  cpu::ThreadPool pool(4);
  std::vector<int> done(64);
  for (int call = 1; call <= 5000; ++call) {
    const int items = call % static_cast<int>(done.size());
    std::atomic<int> next{0};
    auto body = [&](int) {
      for (int item; (item = next.fetch_add(1)) < items;) done[item] += 1;
    };
    std::fill(done.begin(), done.end(), 0);
    pool.run(body);
    for (int item = 0; item < items; ++item) EXPECT(done[item] == 1, "item ", item, " of call ", call);
  }
}

TEST(pool_sleeps_and_wakes) {
  cpu::ThreadPool pool(3);
  for (int call = 0; call < 5; ++call) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // longer than workers spin
    std::atomic<int> missing{3};
    auto together = [&](int) {
      missing.fetch_sub(1);
      while (missing.load() > 0) std::this_thread::yield();
    };
    pool.run(together);  // ends only when all three have come
  }
}

// Workers that sleep come too late for a call that takes no time.
#if defined(__linux__)
// Workers wake where their caller is not, and may go anywhere again when they are awake.
TEST(pool_wakes_beside_its_caller) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < 2) return;
  cpu::ThreadPool pool(2);
  const auto meet = [&](const auto& body) {
    std::atomic<int> missing{2};
    auto together = [&](int worker) {
      missing.fetch_sub(1);
      while (missing.load() > 0) std::this_thread::yield();
      body(worker);
    };
    pool.run(together);
  };
  int apart = 0;
  for (int call = 0; call < 20; ++call) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    int processor[2];
    cpu_set_t of_worker;
    meet([&](int worker) {
      processor[worker] = sched_getcpu();
      if (worker == 1) sched_getaffinity(0, sizeof of_worker, &of_worker);
    });
    apart += processor[0] != processor[1];
    EXPECT(CPU_EQUAL(&of_worker, &allowed), "a worker is kept off a processor for good");
  }
  EXPECT(apart >= 10, apart, " of 20 calls ran on two processors");
}
#endif

TEST(pool_does_not_wait_for_who_comes_late) {
  cpu::ThreadPool pool(3);
  int fewest = 3;
  for (int call = 0; call < 50 && fewest == 3; ++call) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::atomic<int> came{0};
    auto body = [&](int) { came.fetch_add(1); };
    pool.run(body);
    fewest = std::min(fewest, came.load());
  }
  EXPECT(fewest < 3, "every call waited for all workers");
}

TEST(pool_passes_the_error_of_a_body_on) {
  cpu::ThreadPool pool(2);
  std::atomic<int> missing{2};
  auto fail = [&](int worker) {
    missing.fetch_sub(1);
    while (missing.load() > 0) std::this_thread::yield();
    if (worker == 1) throw std::runtime_error("of worker 1");
  };
  bool thrown = false;
  try {
    pool.run(fail);
  } catch (const std::runtime_error&) {
    thrown = true;
  }
  EXPECT(thrown, "expected the body's error");
  int calls = 0;
  auto count = [&](int worker) { calls += worker == 0; };
  pool.run(count);
  EXPECT(calls == 1, "expected the pool to go on");
}

}  // namespace albert::test
