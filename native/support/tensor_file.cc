// What the containers share: element types, shapes, widening to float32, and telling the containers apart.
#include "tensor_file.h"

#include <cstring>

#include "half.h"
#include "safetensors.h"
#include "torch_file.h"

namespace albert {
namespace {

struct NamedType {
  DType dtype;
  const char* name;
  size_t bytes;
};

constexpr NamedType kTypes[] = {
    {DType::kF64, "F64", 8},   {DType::kF32, "F32", 4},        {DType::kF16, "F16", 2},
    {DType::kBF16, "BF16", 2}, {DType::kI64, "I64", 8},        {DType::kI32, "I32", 4},
    {DType::kI16, "I16", 2},   {DType::kI8, "I8", 1},          {DType::kU64, "U64", 8},
    {DType::kU32, "U32", 4},   {DType::kU16, "U16", 2},        {DType::kU8, "U8", 1},
    {DType::kBool, "BOOL", 1}, {DType::kF8E4M3, "F8_E4M3", 1}, {DType::kF8E5M2, "F8_E5M2", 1},
};

bool starts_with(const FileMap& map, std::string_view prefix) {
  return map.text().substr(0, prefix.size()) == prefix;
}

// Every element read through memcpy, because a checkpoint may put a tensor at any byte.
template <typename Stored, typename Convert>
void widen_all(const StoredTensor& tensor, float* out, Convert convert) {
  for (size_t i = 0, count = tensor.bytes / sizeof(Stored); i < count; ++i) {
    Stored value;
    std::memcpy(&value, tensor.data + i * sizeof(Stored), sizeof value);
    out[i] = convert(value);
  }
}

}  // namespace

const char* to_string(DType dtype) { return kTypes[static_cast<size_t>(dtype)].name; }

size_t size_of(DType dtype) { return kTypes[static_cast<size_t>(dtype)].bytes; }

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += str(i ? ", " : "", shape[i]);
  return text + "]";
}

int64_t element_count(const std::vector<int64_t>& shape) {
  constexpr int64_t kMax = int64_t{1} << 62;
  int64_t count = 1;
  for (int64_t extent : shape) {
    if (extent < 0) return -1;
    if (extent != 0 && count > kMax / extent) return -1;
    count *= extent;
  }
  return count;
}

bool widen(const StoredTensor& tensor, float* out) {
  switch (tensor.dtype) {
    case DType::kF64:
      widen_all<double>(tensor, out, [](double x) { return static_cast<float>(x); });
      return true;
    case DType::kF32:
      if (tensor.bytes) std::memcpy(out, tensor.data, tensor.bytes);
      return true;
    case DType::kF16:
      widen_all<uint16_t>(tensor, out, f16_to_f32);
      return true;
    case DType::kBF16:
      widen_all<uint16_t>(tensor, out, bf16_to_f32);
      return true;
    default:
      return false;
  }
}

const StoredTensor& TensorFile::require(const std::string& name, DType dtype,
                                        const std::vector<int64_t>* shape, const char* advice) const {
  const StoredTensor* tensor = find(name);
  const bool fits = tensor && tensor->dtype == dtype && (!shape || tensor->shape == *shape);
  check(fits, ErrorCode::kCheckpoint, map->path(), ": expected a tensor '", name, "' of ", to_string(dtype),
        shape ? " " + shape_text(*shape) : "", " but found ",
        tensor ? str(to_string(tensor->dtype), " ", shape_text(tensor->shape)) : "none", "; ", advice);
  return *tensor;
}

TensorFile TensorFile::open(const std::string& path) {
  return read(FileMap::open(path, ErrorCode::kCheckpoint));
}

TensorFile TensorFile::read(std::shared_ptr<const FileMap> map) {
  // The header of a safetensors file opens with '{' after its 8-byte length, which no torch file has there.
  if (map->size() > 8 && map->data()[8] == '{') return read_safetensors(std::move(map));
  if (starts_with(*map, "PK\x03\x04")) return read_torch_zip(std::move(map));
  if (starts_with(*map, "\x80")) return read_torch_legacy(std::move(map));
  check(!starts_with(*map, "version https://git-lfs"), ErrorCode::kCheckpoint, map->path(),
        ": this is a Git LFS pointer, not the weights; run 'git lfs pull' or download the file itself");
  throw Error(ErrorCode::kCheckpoint,
              str(map->path(), ": expected a safetensors file or a torch checkpoint, found ",
                  map->size() ? "something else" : "an empty file", " (", map->size(), " bytes)"));
}

}  // namespace albert
