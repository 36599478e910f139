// The engine thread: takes what waits, up to a budget of tokens, and runs it as one batch.
#include "engine.h"

#include "support/error.h"

namespace albert {
namespace {

// Shares of a batch: a request of at most the first is small, and at most the second of small ones run before
// a large one that came earlier.
constexpr size_t kSmall = 8, kBefore = 4;

}  // namespace

Engine::Engine(std::shared_ptr<Model> model)
    : model_(std::move(model)),
      budget_(static_cast<size_t>(model_->backend().batch_rows())),
      aborted_(std::make_exception_ptr(Error(ErrorCode::kAborted, "the run was aborted by its signal"))),
      thread_([this] { run(); }) {}

Engine::~Engine() { close(); }

void Engine::submit(ForwardRequest request, Done done) {
  model_->validate(request);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    check(!closing_, ErrorCode::kDisposed, "the model has been disposed of; load it again to use it");
    Queue& queue = request.batch.ids.size() <= budget_ / kSmall ? small_ : large_;
    queue.push_back({std::move(request), std::move(done)});
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
    Queue jobs;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [this] { return closing_ || !small_.empty() || !large_.empty(); });
      jobs = take();
    }
    if (jobs.empty()) return;
    answer(jobs);
  }
}

// What runs next, in the order of arrival within each kind; nothing when the engine closes.
Engine::Queue Engine::take() {
  Queue jobs;
  const bool both = !small_.empty() && !large_.empty();
  small_were_first_ = both && !small_were_first_;
  if (small_were_first_) {
    move_some(small_, budget_ / kBefore, &jobs);
  } else {
    move_some(large_, budget_, &jobs);
    move_some(small_, budget_, &jobs);
  }
  return jobs;
}

void Engine::move_some(Queue& from, size_t budget, Queue* jobs) {
  size_t tokens = 0;
  for (const Job& job : *jobs) tokens += job.tokens();
  while (!from.empty()) {
    tokens += from.front().tokens();
    if (!jobs->empty() && tokens > budget) break;
    jobs->splice(jobs->end(), from, from.begin());
  }
}

void Engine::answer(Queue& jobs) {
  for (auto job = jobs.begin(); job != jobs.end();) {
    if (job->request.is_cancelled()) {
      job->done({}, aborted_);
      job = jobs.erase(job);
    } else {
      ++job;
    }
  }
  if (jobs.empty()) return;
  std::vector<ForwardResult> results;
  try {
    std::vector<const ForwardRequest*> requests;
    for (const Job& job : jobs) requests.push_back(&job.request);
    results = model_->forward(requests);
  } catch (...) {
    // One caller's batch may be too much for the memory; those who merely shared the pass with it run alone.
    if (jobs.size() == 1) return jobs.front().done({}, std::current_exception());
    while (!jobs.empty()) {
      Queue alone;
      alone.splice(alone.begin(), jobs, jobs.begin());
      answer(alone);
    }
    return;
  }
  size_t i = 0;
  for (Job& job : jobs) {
    ForwardResult& result = results[i++];
    if (result.empty())
      job.done({}, aborted_);
    else
      job.done(std::move(result), nullptr);
  }
}

}  // namespace albert
