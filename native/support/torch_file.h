// Reader of torch.save files that hold a state dictionary, in both containers torch has used.
#pragma once

#include "tensor_file.h"

namespace albert {

// Zip archive (torch 1.6 and newer): <name>/data.pkl and one stored entry <name>/data/<key> for each storage.
TensorFile read_torch_zip(std::shared_ptr<const FileMap> map);

// Stream of pickles (before torch 1.6): magic number, protocol, system, state dictionary, storage keys; then
// the storages, each an 8-byte element count and its elements.
TensorFile read_torch_legacy(std::shared_ptr<const FileMap> map);

}  // namespace albert
