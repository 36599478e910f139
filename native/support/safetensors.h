// Reader and writer of the safetensors format: 8-byte header length, JSON header, raw little-endian tensors.
#pragma once

#include <string>
#include <vector>

#include "tensor_file.h"

namespace albert {

// Tensors point into `map`. Throws Error{kCheckpoint} for anything the format forbids.
TensorFile read_safetensors(std::shared_ptr<const FileMap> map);

// Writes the tensors in the given order with the metadata {"format":"pt"}, which Hugging Face demands. The
// old file, if any, stays until the new one is whole. Throws Error{kCheckpoint}.
void write_safetensors(const std::string& path, const std::vector<StoredTensor>& tensors);

}  // namespace albert
