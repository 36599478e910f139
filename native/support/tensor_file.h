// Named tensors in a checkpoint file, whatever its container: safetensors or one of the two torch formats.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "file_map.h"

namespace albert {

enum class DType {
  kF64,
  kF32,
  kF16,
  kBF16,
  kI64,
  kI32,
  kI16,
  kI8,
  kU64,
  kU32,
  kU16,
  kU8,
  kBool,
  kF8E4M3,
  kF8E5M2
};

const char* to_string(DType dtype);  // as safetensors spells it: 'F32'
size_t size_of(DType dtype);         // bytes of one element

// `data` points into the file or into memory the TensorFile owns; it may have any alignment.
struct StoredTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  const uint8_t* data = nullptr;
  size_t bytes = 0;
};

std::string shape_text(const std::vector<int64_t>& shape);  // '[30000, 128]'

// Elements of a shape, or -1 when an extent is negative or the product leaves 62 bits.
int64_t element_count(const std::vector<int64_t>& shape);

// The float32 values of a tensor of type F32, F16, BF16 or F64, written to out[element_count]; false for
// other types.
bool widen(const StoredTensor& tensor, float* out);

struct TensorFile {
  static constexpr size_t kMaxTensors = 100000;
  static constexpr size_t kMaxRank = 16;

  std::shared_ptr<const FileMap> map;
  std::vector<StoredTensor> tensors;
  std::vector<std::unique_ptr<uint8_t[]>> copies;  // tensors that are not contiguous in the file

  const StoredTensor* find(std::string_view name) const {
    for (const StoredTensor& tensor : tensors)
      if (tensor.name == name) return &tensor;
    return nullptr;
  }

  // The tensor `name` of this type and shape; of any shape where that is null. Throws Error{kCheckpoint} that
  // ends with `advice`, what to do about a file without it.
  const StoredTensor& require(const std::string& name, DType dtype, const std::vector<int64_t>* shape,
                              const char* advice) const;

  // Recognises the container by its first bytes. Throws Error{kCheckpoint} that names the path and what is
  // wrong.
  static TensorFile open(const std::string& path);
  static TensorFile read(std::shared_ptr<const FileMap> map);
};

}  // namespace albert
