// Finds the weight files of a model and maps the names other code bases gave the same parameters.
#include "checkpoint.h"

#include <filesystem>
#include <map>

#include "support/json.h"

namespace albert {
namespace {

namespace fs = std::filesystem;

// Wrappers leave their attribute name in front: DataParallel, Lightning, torch.compile,
// sentence-transformers.
constexpr std::string_view kPrefixes[] = {"module.",     "model.",  "_orig_mod.", "0.auto_model.",
                                          "auto_model.", "albert.", "bert."};

struct Rename {
  std::string_view from, to;
};

// Names of lonePatient/albert_pytorch, which follow the TF1 release but store [out, in] as torch does; the
// '_1' forms are TF1's literal spelling. Applied to what follows 'inner_group.N.'; longer names stand before
// their beginnings.
constexpr Rename kInside[] = {
    {"attention.self.", "attention."},
    {"attention_1.self.", "attention."},
    {"attention.output.dense.", "attention.dense."},
    {"attention_1.output.dense.", "attention.dense."},
    {"ffn.intermediate.output.dense.", "ffn_output."},
    {"ffn_1.intermediate.output.dense.", "ffn_output."},
    {"ffn.intermediate.dense.", "ffn."},
    {"ffn_1.intermediate.dense.", "ffn."},
    {"LayerNorm_1.", "full_layer_layer_norm."},
    {"LayerNorm.", "attention.LayerNorm."},
};
constexpr Rename kOutside[] = {
    {"pooler.dense.", "pooler."},
    {"cls.predictions.transform.", "predictions."},
    {"cls.predictions.", "predictions."},
    {"cls.seq_relationship.", "sop_classifier.classifier."},
};

bool drop_prefix(std::string_view* text, std::string_view prefix) {
  if (text->substr(0, prefix.size()) != prefix) return false;
  text->remove_prefix(prefix.size());
  return true;
}

std::string rename_start(std::string_view name, const Rename* renames, size_t count) {
  for (size_t i = 0; i < count; ++i)
    if (drop_prefix(&name, renames[i].from)) return str(renames[i].to, name);
  return std::string(name);
}

// '3.rest' -> '3', leaving 'rest'; empty when the text does not start with a number and a dot.
std::string_view take_number(std::string_view* text) {
  size_t digits = text->find_first_not_of("0123456789");
  if (digits == 0 || digits == std::string_view::npos || (*text)[digits] != '.') return {};
  std::string_view number = text->substr(0, digits);
  text->remove_prefix(digits + 1);
  return number;
}

bool exists(const std::string& path) {
  std::error_code ignored;
  return fs::exists(fs::u8path(path), ignored);
}

// A shard is a file of the same folder; a plain name is the only spelling that cannot leave it.
void check_shard_name(const std::string& index, const std::string& name) {
  bool plain = !name.empty() && name[0] != '.' &&
               name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
                   std::string::npos;
  check(plain, ErrorCode::kCheckpoint, index, ": expected plain file names in weight_map, found \"",
        name.substr(0, 200), "\"");
}

}  // namespace

std::string canonical_name(std::string_view stored) {
  std::string_view name = stored;
  for (bool again = true; again;) {
    again = false;
    for (std::string_view prefix : kPrefixes) again = drop_prefix(&name, prefix) || again;
  }
  std::string mapped;
  std::string_view rest = name;
  std::string_view group, inner;
  if (drop_prefix(&rest, "encoder.transformer.group.") && !(group = take_number(&rest)).empty() &&
      drop_prefix(&rest, "inner_group.") && !(inner = take_number(&rest)).empty())
    mapped = str("encoder.albert_layer_groups.", group, ".albert_layers.", inner, ".",
                 rename_start(rest, kInside, std::size(kInside)));
  else
    mapped = rename_start(name, kOutside, std::size(kOutside));

  // LayerNorm parameters as TF1 and early torch conversions spell them.
  for (const Rename& norm : {Rename{".gamma", ".weight"}, Rename{".beta", ".bias"}})
    if (mapped.size() > norm.from.size() &&
        mapped.compare(mapped.size() - norm.from.size(), norm.from.size(), norm.from) == 0)
      mapped.replace(mapped.size() - norm.from.size(), norm.from.size(), norm.to);
  return mapped;
}

Checkpoint Checkpoint::open(const std::string& path) {
  Checkpoint checkpoint;
  std::error_code ignored;
  std::string folder;
  if (fs::is_directory(fs::u8path(path), ignored)) {
    folder = path;
    for (const char* name : {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
                             "pytorch_model.bin.index.json"}) {
      checkpoint.path_ = (fs::u8path(path) / name).u8string();
      if (exists(checkpoint.path_)) break;
      checkpoint.path_.clear();
    }
    check(!checkpoint.path_.empty(), ErrorCode::kCheckpoint, path,
          ": no weights here; a model folder needs config.json and one of model.safetensors, "
          "model.safetensors.index.json, pytorch_model.bin or pytorch_model.bin.index.json");
  } else {
    check(exists(path), ErrorCode::kCheckpoint, path,
          ": no such file or folder; expected a model folder with config.json and model.safetensors (or "
          "pytorch_model.bin), or a weight file");
    checkpoint.path_ = path;
    folder = fs::u8path(path).parent_path().u8string();
  }
  if (fs::u8path(checkpoint.path_).extension() == ".json") {
    checkpoint.open_index(folder);
  } else {
    checkpoint.files_.push_back(TensorFile::open(checkpoint.path_));
    for (const StoredTensor& tensor : checkpoint.files_.back().tensors) checkpoint.add(tensor);
  }
  return checkpoint;
}

void Checkpoint::open_index(const std::string& folder) {
  constexpr size_t kMaxShards = 1000;
  std::shared_ptr<const FileMap> map = FileMap::open(path_, ErrorCode::kCheckpoint);
  Json index = Json::parse(map->text(), {ErrorCode::kCheckpoint, path_, true});
  const Json* weight_map = index.find("weight_map");
  check(weight_map && weight_map->is_object(), ErrorCode::kCheckpoint, path_,
        ": expected an object 'weight_map' from tensor names to files");
  std::map<std::string, std::vector<std::string>> shards;
  for (const auto& entry : weight_map->object()) {
    check(entry.second.is_string(), ErrorCode::kCheckpoint, path_, ": weight_map['", entry.first,
          "'] must be a file name, found ", entry.second.describe());
    check_shard_name(path_, entry.second.string());
    shards[entry.second.string()].push_back(entry.first);
  }
  check(shards.size() <= kMaxShards, ErrorCode::kCheckpoint, path_, ": expected at most ", kMaxShards,
        " files, found ", shards.size());

  files_.reserve(shards.size());  // entries point into the files
  for (const auto& shard : shards) {
    std::string shard_path = (fs::u8path(folder) / fs::u8path(shard.first)).u8string();
    files_.push_back(TensorFile::open(shard_path));
    std::unordered_map<std::string_view, const StoredTensor*> stored;
    for (const StoredTensor& tensor : files_.back().tensors) stored.emplace(tensor.name, &tensor);
    for (const std::string& name : shard.second) {
      auto found = stored.find(name);
      check(found != stored.end(), ErrorCode::kCheckpoint, shard_path, ": no tensor '", name, "', which ",
            path_, " places in it; the files belong to different checkpoints");
      add(*found->second);
    }
  }
}

void Checkpoint::add(const StoredTensor& tensor) {
  auto inserted = tensors_.emplace(canonical_name(tensor.name), Entry{&tensor, nullptr});
  // Two names of one torch storage are no contradiction.
  if (!inserted.second && inserted.first->second.tensor->data != tensor.data)
    inserted.first->second.rival = &tensor;
}

const StoredTensor* Checkpoint::find(const std::string& name) const {
  auto found = tensors_.find(name);
  if (found == tensors_.end()) return nullptr;
  const Entry& entry = found->second;
  check(!entry.rival, ErrorCode::kCheckpoint, path_, ": both '", entry.tensor->name, "' and '",
        entry.rival ? entry.rival->name : "", "' mean ", name, "; expected one of them");
  return entry.tensor;
}

}  // namespace albert
