// Fuzzes the safetensors reader: every tensor it hands out must be readable to its last byte.
#include "albert/checkpoint.h"
#include "support/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace albert;
  try {
    TensorFile file = read_safetensors(FileMap::from_bytes({data, data + size}, "fuzz"));
    std::vector<float> values;
    for (const StoredTensor& tensor : file.tensors) {
      canonical_name(tensor.name);
      values.resize(tensor.bytes / size_of(tensor.dtype));
      if (static_cast<int64_t>(values.size()) != element_count(tensor.shape)) __builtin_trap();
      widen(tensor, values.data());
    }
  } catch (const Error&) {
  }
  return 0;
}
