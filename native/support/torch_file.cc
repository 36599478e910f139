// From a pickled state dictionary to tensors: storages, views of them, and the dictionary that holds the
// weights.
#include "torch_file.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include "pickle.h"
#include "zip.h"

namespace albert {
namespace {

using Kind = Pickle::Kind;

struct Storage {
  DType dtype = DType::kF32;
  uint64_t elements = 0;
  const uint8_t* data = nullptr;
};

struct StorageType {
  const char* name;
  DType dtype;
};

constexpr StorageType kStorageTypes[] = {
    {"torch.FloatStorage", DType::kF32},     {"torch.HalfStorage", DType::kF16},
    {"torch.BFloat16Storage", DType::kBF16}, {"torch.DoubleStorage", DType::kF64},
    {"torch.LongStorage", DType::kI64},      {"torch.IntStorage", DType::kI32},
    {"torch.ShortStorage", DType::kI16},     {"torch.CharStorage", DType::kI8},
    {"torch.ByteStorage", DType::kU8},       {"torch.BoolStorage", DType::kBool},
};

class TorchReader {
 public:
  TorchReader(std::shared_ptr<const FileMap> map) : map_(std::move(map)) {}

  TensorFile zip() {
    std::vector<ZipEntry> entries = read_zip(*map_);
    constexpr std::string_view kPickle = "/data.pkl";
    const ZipEntry* pickle = nullptr;
    std::unordered_map<std::string_view, const ZipEntry*> by_name;
    for (const ZipEntry& entry : entries) {
      by_name.emplace(entry.name, &entry);
      size_t start = entry.name.size() - std::min(entry.name.size(), kPickle.size());
      if (std::string_view(entry.name).substr(start) == kPickle) pickle = &entry;
    }
    if (!pickle) fail("expected a torch checkpoint, found a zip archive without data.pkl");
    std::string root = pickle->name.substr(0, pickle->name.size() - kPickle.size() + 1);
    auto order = by_name.find(root + "byteorder");
    if (order != by_name.end() && bytes_of(*order->second) != "little")
      fail("byte order '", bytes_of(*order->second).substr(0, 20), "', expected 'little'");

    read_pickle(bytes_of(*pickle));
    for (auto& storage : storages_) {
      auto entry = by_name.find(root + "data/" + storage.first);
      if (entry == by_name.end())
        fail("no entry '", root, "data/", storage.first, "' for a storage of the pickle");
      if (storage.second.elements > entry->second->bytes / size_of(storage.second.dtype))
        fail("storage '", storage.first, "' needs ", storage.second.elements, " elements, its entry has ",
             entry->second->bytes, " bytes");
      storage.second.data = entry->second->data;
    }
    return tensors();
  }

  TensorFile legacy() {
    // 0x1950a86a20f9469cfc6c, little-endian, as torch.serialization.MAGIC_NUMBER
    constexpr std::string_view kMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    constexpr int64_t kProtocol = 1001;
    if (next_pickle().root().text != kMagic)
      fail("expected a torch checkpoint, found a pickle without torch's magic number");
    int64_t protocol = next_pickle().root().integer;
    if (protocol != kProtocol) fail("torch protocol ", protocol, ", expected ", kProtocol);
    Pickle system = next_pickle();
    const Pickle::Value* little = system.find(system.root(), "little_endian");
    if (little && !little->integer)
      fail("written on a big-endian machine; save it again on a little-endian one");
    at_ += read_pickle(map_->text().substr(at_));

    Pickle keys = next_pickle();
    for (Pickle::Ref ref : keys.root().items) {
      const std::string& key = keys.at(ref).text;
      auto storage = storages_.find(key);
      if (storage == storages_.end()) fail("storage '", key.substr(0, 60), "' has no type in the pickle");
      if (storage->second.data) fail("storage '", key, "' is listed twice");
      read_legacy_storage(key, &storage->second);
    }
    for (const auto& storage : storages_)
      if (!storage.second.data) fail("storage '", storage.first, "' is not in the file");
    return tensors();
  }

 private:
  template <typename... Args>
  [[noreturn]] void fail(const Args&... args) const {
    throw Error(ErrorCode::kCheckpoint, str(map_->path(), ": ", args...));
  }

  static std::string_view bytes_of(const ZipEntry& entry) {
    return {reinterpret_cast<const char*>(entry.data), entry.bytes};
  }

  Pickle next_pickle() {
    size_t consumed = 0;
    Pickle pickle = Pickle::parse(map_->text().substr(at_), map_->path(), at_, &consumed);
    at_ += consumed;
    return pickle;
  }

  // The state dictionary; notes every storage it refers to.
  size_t read_pickle(std::string_view bytes) {
    size_t offset = static_cast<size_t>(bytes.data() - map_->text().data());
    size_t consumed = 0;
    pickle_ = Pickle::parse(bytes, map_->path(), offset, &consumed);
    collect_tensors();
    return consumed;
  }

  void read_legacy_storage(const std::string& key, Storage* storage) {
    constexpr size_t kCountBytes = 8;
    uint64_t elements = 0;
    if (map_->size() - at_ < kCountBytes) fail("truncated before storage '", key, "'; fetch it again");
    std::memcpy(&elements, map_->data() + at_, kCountBytes);
    at_ += kCountBytes;
    if (elements != storage->elements)
      fail("storage '", key, "' has ", elements, " elements, its pickle says ", storage->elements);
    size_t element_bytes = size_of(storage->dtype);
    if (elements > (map_->size() - at_) / element_bytes)
      fail("storage '", key, "' needs ", elements, " elements of ", element_bytes,
           " bytes, but the file has only ", map_->size() - at_,
           " bytes left; it is truncated, fetch it again");
    storage->data = map_->data() + at_;
    at_ += static_cast<size_t>(elements) * element_bytes;
  }

  // Training frameworks keep the weights one level down, among the state of the optimiser and the like.
  const Pickle::Value& state_dict() const {
    const Pickle::Value& root = pickle_.root();
    if (root.kind != Kind::kDict)
      fail("expected a state dictionary, found another object; save model.state_dict()");
    for (size_t i = 1; i < root.items.size(); i += 2)
      if (pickle_.at(root.items[i]).kind == Kind::kTensor) return root;
    for (const char* key : {"state_dict", "model_state_dict", "model"}) {
      const Pickle::Value* nested = pickle_.find(root, key);
      if (nested && nested->kind == Kind::kDict) return *nested;
    }
    return root;
  }

  void collect_tensors() {
    const Pickle::Value& dict = state_dict();
    for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
      const Pickle::Value& name = pickle_.at(dict.items[i]);
      const Pickle::Value& value = pickle_.at(dict.items[i + 1]);
      if (value.kind != Kind::kTensor) continue;
      if (name.kind != Kind::kString) fail("expected tensors under string names");
      if (pending_.size() == TensorFile::kMaxTensors)
        fail("expected at most ", TensorFile::kMaxTensors, " tensors");
      pending_.emplace_back(name.text, &value);
    }
    // A legacy file lists the storages of everything in the pickle, so those of skipped tensors count as
    // well.
    for (size_t i = 0; i < pickle_.size(); ++i)
      if (pickle_.at(static_cast<Pickle::Ref>(i)).kind == Kind::kStorage)
        storage_key(pickle_.at(static_cast<Pickle::Ref>(i)));
  }

  // A storage's persistent id is ('storage', type, key, device, elements), in old files with a view as sixth
  // item.
  const std::string& storage_key(const Pickle::Value& value) {
    const Pickle::Value& id = pickle_.at(value.items[0]);
    bool shaped = id.kind == Kind::kTuple && id.items.size() >= 5 && id.items.size() <= 6;
    if (!shaped || pickle_.at(id.items[0]).text != "storage" ||
        pickle_.at(id.items[1]).kind != Kind::kGlobal || pickle_.at(id.items[2]).kind != Kind::kString ||
        pickle_.at(id.items[4]).kind != Kind::kInt)
      fail("a persistent id of the pickle does not describe a storage");
    if (id.items.size() == 6 && pickle_.at(id.items[5]).kind != Kind::kNone)
      fail(
          "storages that are views of others (torch before 0.4) are not supported; save the checkpoint "
          "again");
    Storage storage;
    const std::string& type = pickle_.at(id.items[1]).text;
    const std::string& key = pickle_.at(id.items[2]).text;
    auto known = std::find_if(std::begin(kStorageTypes), std::end(kStorageTypes),
                              [&](const StorageType& candidate) { return type == candidate.name; });
    if (known == std::end(kStorageTypes))
      fail("storage '", key, "' has the type '", type, "', which is none of torch's");
    storage.dtype = known->dtype;
    int64_t elements = pickle_.at(id.items[4]).integer;
    if (elements < 0) fail("storage '", key, "' has ", elements, " elements");
    storage.elements = static_cast<uint64_t>(elements);
    const Storage& first = storages_.emplace(key, storage).first->second;
    if (first.dtype != storage.dtype || first.elements != storage.elements)
      fail("storage '", key, "' is described in two ways");
    return key;
  }

  std::vector<int64_t> integers(const std::string& name, Pickle::Ref ref) const {
    const Pickle::Value& tuple = pickle_.at(ref);
    if (tuple.kind != Kind::kTuple || tuple.items.size() > TensorFile::kMaxRank)
      fail("tensor '", name, "': expected a tuple of at most ", TensorFile::kMaxRank,
           " integers as its size and stride");
    std::vector<int64_t> values;
    for (Pickle::Ref item : tuple.items) {
      if (pickle_.at(item).kind != Kind::kInt || pickle_.at(item).integer < 0)
        fail("tensor '", name, "': size and stride must hold integers from 0");
      values.push_back(pickle_.at(item).integer);
    }
    return values;
  }

  TensorFile tensors() {
    std::unordered_set<std::string_view> names;
    for (const auto& pending : pending_) {
      if (!names.insert(pending.first).second) fail("tensor '", pending.first, "' appears twice");
      file_.tensors.push_back(tensor(pending.first, *pending.second));
    }
    file_.map = std::move(map_);
    return std::move(file_);
  }

  StoredTensor tensor(const std::string& name, const Pickle::Value& value) {
    if (pickle_.at(value.items[0]).kind != Kind::kStorage || pickle_.at(value.items[1]).kind != Kind::kInt)
      fail("tensor '", name, "' has no storage and offset");
    const Storage& storage = storages_.at(storage_key(pickle_.at(value.items[0])));
    int64_t offset = pickle_.at(value.items[1]).integer;
    std::vector<int64_t> shape = integers(name, value.items[2]), stride = integers(name, value.items[3]);
    int64_t count = element_count(shape);
    if (shape.size() != stride.size() || count < 0 || offset < 0)
      fail("tensor '", name, "': size ", shape_text(shape), ", stride ", shape_text(stride), " and offset ",
           offset, " describe no tensor");
    // An expanded tensor repeats its elements; a few bytes could then stand for any amount of memory.
    uint64_t available = storage.elements;
    bool fits = static_cast<uint64_t>(count) <= available && static_cast<uint64_t>(offset) <= available;
    bool contiguous = true;
    uint64_t last = static_cast<uint64_t>(offset), expected = 1;
    for (size_t i = shape.size(); fits && count > 0 && i-- > 0;) {
      uint64_t steps = static_cast<uint64_t>(shape[i]) - 1, step = static_cast<uint64_t>(stride[i]);
      if (steps == 0) continue;
      contiguous = contiguous && step == expected;
      expected *= steps + 1;
      fits = step <= available && step * steps / steps == step && step * steps <= available;
      last += step * steps;
    }
    if (!fits || (count > 0 && last >= available))
      fail("tensor '", name, "': size ", shape_text(shape), ", stride ", shape_text(stride), " and offset ",
           offset, " leave its storage of ", available, " elements");

    StoredTensor out{name, storage.dtype, std::move(shape), nullptr,
                     static_cast<size_t>(count) * size_of(storage.dtype)};
    const uint8_t* first = storage.data + static_cast<size_t>(offset) * size_of(storage.dtype);
    out.data = contiguous ? first : gather(out, stride, first);
    return out;
  }

  // Copies a strided view, last dimension fastest.
  const uint8_t* gather(const StoredTensor& tensor, const std::vector<int64_t>& stride,
                        const uint8_t* first) {
    // Many views of one storage must not multiply a small file into a large copy.
    copied_ += tensor.bytes;
    if (copied_ / 4 > map_->size())
      fail("tensor '", tensor.name, "': too many strided views; save contiguous tensors");
    size_t element = size_of(tensor.dtype), rank = tensor.shape.size();
    file_.copies.push_back(std::unique_ptr<uint8_t[]>(new uint8_t[tensor.bytes]));
    uint8_t* out = file_.copies.back().get();
    std::vector<int64_t> index(rank, 0);
    for (size_t done = 0; done < tensor.bytes; done += element) {
      int64_t from = 0;
      for (size_t i = 0; i < rank; ++i) from += index[i] * stride[i];
      std::memcpy(out + done, first + static_cast<size_t>(from) * element, element);
      for (size_t i = rank; i-- > 0;) {
        if (++index[i] < tensor.shape[i]) break;
        index[i] = 0;
      }
    }
    return out;
  }

  std::shared_ptr<const FileMap> map_;
  size_t at_ = 0;
  Pickle pickle_;
  std::unordered_map<std::string, Storage> storages_;
  std::vector<std::pair<std::string, const Pickle::Value*>> pending_;
  TensorFile file_;
  size_t copied_ = 0;
};

}  // namespace

TensorFile read_torch_zip(std::shared_ptr<const FileMap> map) { return TorchReader(std::move(map)).zip(); }

TensorFile read_torch_legacy(std::shared_ptr<const FileMap> map) {
  return TorchReader(std::move(map)).legacy();
}

}  // namespace albert
