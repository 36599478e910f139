// A checkpoint of any origin under one set of names: those of Hugging Face's base model and heads, without
// prefixes.
#pragma once

#include <algorithm>
#include <string>
#include <unordered_map>
#include <vector>

#include "support/tensor_file.h"

namespace albert {

// 'module.bert.encoder.transformer.group.0.inner_group.0.LayerNorm.gamma' ->
// 'encoder.albert_layer_groups.0.albert_layers.0.attention.LayerNorm.weight'. A name it does not know stays
// as it is.
std::string canonical_name(std::string_view stored);

class Checkpoint {
 public:
  // A folder in Hugging Face layout, or one weight or index file. Throws Error{kCheckpoint} that names the
  // path.
  static Checkpoint open(const std::string& path);

  // The tensor with this canonical name, or null. Throws Error{kCheckpoint} when two stored names mean it.
  const StoredTensor* find(const std::string& name) const;

  const std::string& path() const { return path_; }  // the weight file, or the index of several
  size_t size() const { return tensors_.size(); }

  // Whether a value lies in a mapped file.
  bool holds(const void* value) const {
    const auto* at = static_cast<const uint8_t*>(value);
    return std::any_of(files_.begin(), files_.end(), [at](const TensorFile& file) {
      return at >= file.map->data() && at < file.map->data() + file.map->size();
    });
  }
  // Throws Error{kCheckpoint} when something has been written into a file since it was mapped.
  void require_intact() const {
    for (const TensorFile& file : files_)
      check(file.map->is_intact(), ErrorCode::kCheckpoint, file.map->path(),
            ": expected the file that the model was loaded from, but its length or time of writing has "
            "changed since; load the model again, and replace such files by renaming others");
  }
  void release_pages() const {
    for (const TensorFile& file : files_) file.map->release_pages();
  }

 private:
  void open_index(const std::string& folder);
  void add(const StoredTensor& tensor);

  struct Entry {
    const StoredTensor* tensor;
    const StoredTensor* rival;  // another tensor that means the same parameter, or null
  };
  std::string path_;
  std::vector<TensorFile> files_;
  std::unordered_map<std::string, Entry> tensors_;
};

}  // namespace albert
