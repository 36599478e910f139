// Fuzzes the torch readers, both containers through the same front door, and the pickle interpreter by
// itself.
#include "support/pickle.h"
#include "support/tensor_file.h"
#include "support/torch_file.h"

using namespace albert;

static void read(TensorFile (*reader)(std::shared_ptr<const FileMap>), const uint8_t* data, size_t size) {
  try {
    TensorFile file = reader(FileMap::from_bytes({data, data + size}, "fuzz"));
    std::vector<float> values;
    for (const StoredTensor& tensor : file.tensors) {
      values.resize(tensor.bytes / size_of(tensor.dtype));
      if (static_cast<int64_t>(values.size()) != element_count(tensor.shape)) __builtin_trap();
      // A byte sum rather than widen(), so that integer tensors are read as well.
      unsigned sum = 0;
      for (size_t i = 0; i < tensor.bytes; ++i) sum += tensor.data[i];
      if (sum != 0) widen(tensor, values.data());
    }
  } catch (const Error&) {
  }
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  read(read_torch_zip, data, size);
  read(read_torch_legacy, data, size);
  try {
    size_t consumed = 0;
    Pickle pickle = Pickle::parse({reinterpret_cast<const char*>(data), size}, "fuzz", 0, &consumed);
    if (consumed > size) __builtin_trap();
    pickle.find(pickle.root(), "state_dict");
  } catch (const Error&) {
  }
  return 0;
}
