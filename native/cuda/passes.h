// Passes through the encoder that are recorded once and replayed: what they read from the host, on the
// device, and the records.
#pragma once

#include <cuda_runtime.h>

#include <vector>

#include "cuda/memory.h"
#include "cuda/segments.h"

namespace albert::cuda {

// What a pass reads from the host, on the device in one copy.
class PlacedInputs {
 public:
  explicit PlacedInputs(DeviceMemory& memory) : memory_(memory) {}
  ~PlacedInputs() { memory_.release(block_); }
  PlacedInputs(const PlacedInputs&) = delete;
  PlacedInputs& operator=(const PlacedInputs&) = delete;

  // Brings them there. Returns the sizes that decide what the pass does.
  std::vector<int64_t> place(const PassInputs& inputs);
  void forget() { inputs_ = {}; }

  // Where an array of the host lies; null when it is none of the pass's.
  const int32_t* find(const int32_t* host) const;
  const DeviceSegments* find(const Segments& segments) const;

 private:
  DeviceMemory& memory_;
  int32_t* block_ = nullptr;
  size_t capacity_ = 0;  // 32-bit values
  PassInputs inputs_;
  const int32_t* tokens_ = nullptr;  // ids, types, positions
  DeviceSegments all_, wanted_;
};

// Graphs by what decides on them; the longest unused goes first.
class RecordedPasses {
 public:
  explicit RecordedPasses(DeviceMemory& memory) : memory_(memory) {}
  ~RecordedPasses() { clear(); }
  RecordedPasses(const RecordedPasses&) = delete;
  RecordedPasses& operator=(const RecordedPasses&) = delete;

  // Runs the pass, or its record: the first time that `key` is seen as it is, so that memory grows to what it
  // needs, the second time it is recorded.
  void run(const std::vector<int64_t>& key, const std::function<bool()>& pass);

 private:
  struct Record {
    std::vector<int64_t> key;
    cudaGraphExec_t graph;  // null: seen once
    uint64_t used;
  };
  void clear();

  DeviceMemory& memory_;
  std::vector<Record> records_;
  uint64_t generation_ = 0, clock_ = 0;
};

}  // namespace albert::cuda
