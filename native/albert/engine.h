// One thread per model that takes queued requests, merges what waits into a packed batch, and answers each by
// callback. Small requests do not wait until all the large ones before them are done: the two kinds take
// turns.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

#include "model.h"

namespace albert {

class Engine {
 public:
  // Called on the engine thread, once per request; `error` is null on success. Error{kAborted} for a
  // cancelled one.
  using Done = std::function<void(ForwardResult result, std::exception_ptr error)>;

  explicit Engine(std::shared_ptr<Model> model);
  ~Engine();  // close()

  // Validates on the calling thread (throws what Model::validate throws, Error{kDisposed} after close), then
  // queues.
  void submit(ForwardRequest request, Done done);

  // Refuses new requests, answers the queued ones, and joins the thread. May be called twice and from any
  // thread.
  void close();

 private:
  struct Job {
    ForwardRequest request;
    Done done;
    size_t tokens() const { return request.batch.ids.size(); }
  };
  using Queue = std::list<Job>;  // whose jobs move without memory, which the engine's thread may not find
  void run();
  Queue take();
  // Moves jobs from the front of a queue to `jobs` while these have at most `budget` tokens, or one of more.
  static void move_some(Queue& from, size_t budget, Queue* jobs);
  void answer(Queue& jobs);

  std::shared_ptr<Model> model_;
  const size_t budget_;               // tokens of a batch
  const std::exception_ptr aborted_;  // made before the engine's thread may find no memory
  std::mutex mutex_;
  std::condition_variable wake_;
  Queue small_, large_;
  bool small_were_first_ = false;  // when small and large ones waited last
  bool closing_ = false;
  std::mutex join_mutex_;
  std::thread thread_;
};

}  // namespace albert
