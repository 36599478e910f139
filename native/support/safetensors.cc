// Safetensors headers: every offset and shape is checked against the file before a tensor is handed out.
#include "safetensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "atomic_file.h"
#include "json.h"

namespace albert {
namespace {

constexpr uint64_t kMaxHeader = 100000000;        // the limit of the reference implementation
constexpr double kMaxExact = 9007199254740992.0;  // 2^53: larger integers are not exact in JSON

template <typename... Args>
[[noreturn]] void fail(const FileMap& map, const Args&... args) {
  throw Error(ErrorCode::kCheckpoint, str(map.path(), ": ", args...));
}

int64_t natural(const FileMap& map, const std::string& name, const char* what, const Json& value) {
  double number = value.number();
  if (!value.is_number() || number < 0 || number > kMaxExact || number != std::floor(number))
    fail(map, "tensor '", name, "': ", what, " must hold integers from 0, found ", value.describe());
  return static_cast<int64_t>(number);
}

bool parse_dtype(const std::string& text, DType* dtype) {
  for (int i = 0; i <= static_cast<int>(DType::kF8E5M2); ++i) {
    *dtype = static_cast<DType>(i);
    if (text == to_string(*dtype)) return true;
  }
  return false;
}

// One entry {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, offsets counted from the end of the
// header.
StoredTensor parse_entry(const FileMap& map, const std::string& name, const Json& entry, const uint8_t* data,
                         size_t data_bytes) {
  const Json* dtype = entry.find("dtype");
  const Json* shape = entry.find("shape");
  const Json* offsets = entry.find("data_offsets");
  if (!dtype || !dtype->is_string() || !shape || !shape->is_array() || !offsets ||
      offsets->array().size() != 2)
    fail(map, "tensor '", name, "': expected an object with dtype, shape and two data_offsets, found ",
         entry.is_object() ? "an object without them" : entry.describe());

  StoredTensor tensor;
  tensor.name = name;
  if (!parse_dtype(dtype->string(), &tensor.dtype))
    fail(map, "tensor '", name, "': unknown dtype '", dtype->string().substr(0, 60),
         "'; expected F32, F16, BF16 or another type of the safetensors format");
  if (shape->array().size() > TensorFile::kMaxRank)
    fail(map, "tensor '", name, "': expected at most ", TensorFile::kMaxRank, " dimensions, found ",
         shape->array().size());
  for (const Json& extent : shape->array()) tensor.shape.push_back(natural(map, name, "shape", extent));

  int64_t begin = natural(map, name, "data_offsets", offsets->array()[0]);
  int64_t end = natural(map, name, "data_offsets", offsets->array()[1]);
  if (begin > end || static_cast<uint64_t>(end) > data_bytes)
    fail(map, "tensor '", name, "': data_offsets [", begin, ", ", end, "] do not fit the ", data_bytes,
         " bytes of data in the file; the file is truncated or damaged, fetch it again");
  tensor.bytes = static_cast<size_t>(end - begin);
  int64_t count = element_count(tensor.shape);
  if (count < 0 || static_cast<uint64_t>(count) > tensor.bytes / size_of(tensor.dtype) ||
      static_cast<size_t>(count) * size_of(tensor.dtype) != tensor.bytes)
    fail(map, "tensor '", name, "': shape ", shape_text(tensor.shape), " of ", to_string(tensor.dtype),
         " does not take the ", tensor.bytes, " bytes that data_offsets give it");
  tensor.data = data + begin;
  return tensor;
}

// The format allows neither gaps nor overlaps, so that a file cannot hide data or hold bytes nobody checked.
void check_cover(const FileMap& map, const std::vector<StoredTensor>& tensors, const uint8_t* data,
                 size_t data_bytes) {
  std::vector<const StoredTensor*> order;
  for (const StoredTensor& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const StoredTensor* a, const StoredTensor* b) {
    return a->data != b->data ? a->data < b->data : a->bytes < b->bytes;
  });
  const uint8_t* at = data;
  for (const StoredTensor* tensor : order) {
    if (tensor->data != at)
      fail(map, "tensor '", tensor->name, "' starts at byte ", tensor->data - data,
           " of the data, expected byte ", at - data,
           ": the tensors must follow each other without gaps or overlaps");
    at += tensor->bytes;
  }
  if (at != data + data_bytes)
    fail(map, "the tensors take ", at - data, " bytes, but the file holds ", data_bytes,
         " bytes of data; the file is damaged, fetch it again");
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

}  // namespace

TensorFile read_safetensors(std::shared_ptr<const FileMap> map) {
  uint64_t header_bytes = 0;
  if (map->size() < sizeof header_bytes)
    fail(*map, "expected a safetensors file, found ", map->size(), " bytes, too few for the header length");
  std::memcpy(&header_bytes, map->data(), sizeof header_bytes);
  if (header_bytes > kMaxHeader || header_bytes > map->size() - sizeof header_bytes)
    fail(*map, "the safetensors header claims ", header_bytes, " bytes, but the file has ", map->size(),
         " and a header at most ", kMaxHeader, "; the file is truncated, damaged or of another format");
  Json header = Json::parse(map->text().substr(sizeof header_bytes, header_bytes),
                            {ErrorCode::kCheckpoint, map->path() + ": header", true});
  if (!header.is_object()) fail(*map, "the safetensors header must be an object, found ", header.describe());
  if (header.object().size() > TensorFile::kMaxTensors)
    fail(*map, "expected at most ", TensorFile::kMaxTensors, " tensors, found ", header.object().size());

  const uint8_t* data = map->data() + sizeof header_bytes + header_bytes;
  size_t data_bytes = map->size() - sizeof header_bytes - static_cast<size_t>(header_bytes);
  TensorFile file;
  for (const auto& member : header.object())
    if (member.first != "__metadata__")
      file.tensors.push_back(parse_entry(*map, member.first, member.second, data, data_bytes));
  check_cover(*map, file.tensors, data, data_bytes);
  file.map = std::move(map);
  return file;
}

void write_safetensors(const std::string& path, const std::vector<StoredTensor>& tensors) {
  std::string header = "{\"__metadata__\":{\"format\":\"pt\"}";
  size_t offset = 0;
  for (const StoredTensor& tensor : tensors) {
    header += str(",", quoted(tensor.name), ":{\"dtype\":\"", to_string(tensor.dtype), "\",\"shape\":[");
    for (size_t i = 0; i < tensor.shape.size(); ++i) header += str(i ? "," : "", tensor.shape[i]);
    header += str("],\"data_offsets\":[", offset, ",", offset + tensor.bytes, "]}");
    offset += tensor.bytes;
  }
  header += "}";
  constexpr size_t kAlignment = 8;  // as the reference writer pads, so that readers can map the tensors
  header.append((kAlignment - header.size() % kAlignment) % kAlignment, ' ');

  AtomicFile file(path, ErrorCode::kCheckpoint);
  uint64_t header_bytes = header.size();
  file.write(&header_bytes, sizeof header_bytes);
  file.write(header);
  for (const StoredTensor& tensor : tensors) file.write(tensor.data, tensor.bytes);
  file.commit();
}

}  // namespace albert
