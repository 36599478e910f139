// The engine thread: takes what waits, up to a budget of tokens, and runs it as one batch.
#include "engine.h"

#include "support/error.h"

namespace albert {
namespace {

// Enough rows that every thread works at full speed; more would only make the first callers wait for the
// last.
constexpr size_t kTokenBudget = 4096;

bool is_cancelled(const ForwardRequest& request) {
  return request.cancelled && request.cancelled->load() != 0;
}

std::exception_ptr aborted() {
  return std::make_exception_ptr(Error(ErrorCode::kAborted, "the run was aborted by its signal"));
}

}  // namespace

Engine::Engine(std::shared_ptr<Model> model) : model_(std::move(model)), thread_([this] { run(); }) {}

Engine::~Engine() { close(); }

void Engine::submit(ForwardRequest request, Done done) {
  model_->validate(request);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    check(!closing_, ErrorCode::kDisposed, "the model has been disposed of; load it again to use it");
    queue_.push_back({std::move(request), std::move(done)});
  }
  wake_.notify_one();
}

void Engine::close() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
  std::lock_guard<std::mutex> lock(join_mutex_);
  if (thread_.joinable()) thread_.join();
}

void Engine::run() {
  for (;;) {
    std::vector<Job> jobs;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [this] { return closing_ || !queue_.empty(); });
      if (queue_.empty()) return;
      for (size_t tokens = 0; !queue_.empty(); queue_.pop_front()) {
        tokens += queue_.front().request.batch.ids.size();
        if (!jobs.empty() && tokens > kTokenBudget) break;
        jobs.push_back(std::move(queue_.front()));
      }
    }
    answer(jobs);
  }
}

void Engine::answer(std::vector<Job>& jobs) {
  std::vector<const ForwardRequest*> requests;
  std::vector<Job*> running;
  for (Job& job : jobs) {
    if (is_cancelled(job.request)) {
      job.done({}, aborted());
    } else {
      requests.push_back(&job.request);
      running.push_back(&job);
    }
  }
  if (running.empty()) return;
  std::vector<ForwardResult> results;
  try {
    results = model_->forward(requests);
  } catch (...) {
    // One caller's batch may be too much for the memory; those who merely shared the pass with it run alone.
    if (running.size() == 1) return running[0]->done({}, std::current_exception());
    for (Job* job : running) {
      std::vector<Job> alone;
      alone.push_back(std::move(*job));
      answer(alone);
    }
    return;
  }
  for (size_t i = 0; i < running.size(); ++i) {
    if (results[i].empty())
      running[i]->done({}, aborted());
    else
      running[i]->done(std::move(results[i]), nullptr);
  }
}

}  // namespace albert
