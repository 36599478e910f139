// One thread per model that takes queued requests, merges what waits into a packed batch, and answers each by
// callback.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

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
  };
  void run();
  void answer(std::vector<Job>& jobs);

  std::shared_ptr<Model> model_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> queue_;
  bool closing_ = false;
  std::mutex join_mutex_;
  std::thread thread_;
};

}  // namespace albert
