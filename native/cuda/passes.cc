// Placing the inputs of a pass, and recording and replaying it.
#include "cuda/passes.h"

#include <algorithm>

#include "cuda/runtime.h"

namespace albert::cuda {

std::vector<int64_t> PlacedInputs::place(const PassInputs& inputs) {
  inputs_ = {};
  const LaidOutSegments all(inputs.all);
  const LaidOutSegments wanted(inputs.wanted);
  std::vector<int32_t> values = all.values();
  const size_t wanted_begin = values.size();
  values.insert(values.end(), wanted.values().begin(), wanted.values().end());
  const size_t tokens_begin = values.size();
  for (const int32_t* tokens : {inputs.ids, inputs.types, inputs.positions})
    values.insert(values.end(), tokens, tokens + inputs.rows);
  if (values.size() > capacity_) {
    memory_.release(block_);
    block_ = nullptr;
    capacity_ = 0;
    block_ = static_cast<int32_t*>(memory_.allocate(2 * values.size() * sizeof(int32_t)));
    capacity_ = 2 * values.size();
  }
  // The host's copy may go when the call returns: it is not pinned.
  check_cuda(cudaMemcpyAsync(block_, values.data(), values.size() * sizeof(int32_t), cudaMemcpyHostToDevice,
                             memory_.stream()),
             "copying to the device");
  tokens_ = block_ + tokens_begin;
  all_ = all.at(block_);
  wanted_ = wanted.at(block_ + wanted_begin);
  inputs_ = inputs;
  std::vector<int64_t> sizes = {inputs.rows, static_cast<int64_t>(wanted_begin),
                                static_cast<int64_t>(tokens_begin)};
  for (const DeviceSegments& segments : {all_, wanted_})
    sizes.insert(sizes.end(), {segments.count, segments.total_rows, segments.total_queries, segments.tiles,
                               segments.most_keys, segments.most_rows});
  return sizes;
}

const int32_t* PlacedInputs::find(const int32_t* host) const {
  const int32_t* const arrays[] = {inputs_.ids, inputs_.types, inputs_.positions};
  for (int i = 0; i < 3; ++i)
    if (host && arrays[i] == host) return tokens_ + i * inputs_.rows;
  return nullptr;
}

const DeviceSegments* PlacedInputs::find(const Segments& segments) const {
  const auto same = [&](const Segments& placed) {
    return placed.row_begin && placed.row_begin == segments.row_begin && placed.queries == segments.queries &&
           placed.count == segments.count;
  };
  return same(inputs_.all) ? &all_ : same(inputs_.wanted) ? &wanted_ : nullptr;
}

void RecordedPasses::run(const std::vector<int64_t>& key, const std::function<bool()>& pass) {
  constexpr size_t kMostRecords = 64;
  if (generation_ != memory_.generation()) clear();
  memory_.forget_all_rounded();  // a record knows of none
  auto found = std::find_if(records_.begin(), records_.end(), [&](const Record& r) { return r.key == key; });
  if (found == records_.end()) {
    const uint64_t allocations = memory_.allocations();
    if (!pass()) return;
    if (generation_ != memory_.generation()) clear();
    if (allocations != memory_.allocations()) return;  // a record cannot take memory: next time perhaps
    if (records_.size() == kMostRecords) {
      const auto oldest = std::min_element(records_.begin(), records_.end(),
                                           [](const Record& a, const Record& b) { return a.used < b.used; });
      if (oldest->graph) cudaGraphExecDestroy(oldest->graph);
      records_.erase(oldest);
    }
    records_.push_back({key, nullptr, ++clock_});
    return;
  }
  if (!found->graph) {
    found->graph = memory_.record(pass);
    if (!found->graph) return;
  }
  found->used = ++clock_;
  check_cuda(cudaGraphLaunch(found->graph, memory_.stream()), "replaying a pass");
  memory_.forget_all_rounded();
}

void RecordedPasses::clear() {
  if (!records_.empty()) cudaStreamSynchronize(memory_.stream());
  for (const Record& record : records_)
    if (record.graph) cudaGraphExecDestroy(record.graph);
  records_.clear();
  generation_ = memory_.generation();
}

}  // namespace albert::cuda
