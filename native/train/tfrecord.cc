// The framing of TFRecord and the fields of tf.train.Example, read with every bound checked.
#include "tfrecord.h"

#include <cstring>
#include <map>

#include "support/crc32c.h"
#include "support/half.h"
#include "support/protobuf.h"

namespace albert {
namespace {

struct Features {
  std::map<std::string, std::vector<int64_t>> integers;
  std::map<std::string, std::vector<float>> floats;
};

void read_list(std::string_view bytes, bool floats, const std::string& name, const std::string& key,
               Features* out) {
  ProtobufReader list(bytes, ErrorCode::kData, name);
  ProtobufReader::Field field;
  while (list.next(&field)) {
    if (field.number != 1) continue;
    if (field.type == ProtobufReader::WireType::kBytes) {
      ProtobufReader packed(field.bytes, ErrorCode::kData, name);
      while (!packed.done())
        if (floats)
          out->floats[key].push_back(float_from_bits(static_cast<uint32_t>(packed.fixed(4))));
        else
          out->integers[key].push_back(static_cast<int64_t>(packed.varint()));
    } else if (floats) {
      out->floats[key].push_back(field.as_float(list));
    } else {
      out->integers[key].push_back(static_cast<int64_t>(field.integer));
    }
  }
}

// Example { Features features = 1 { map<string, Feature> feature = 1 } }; Feature { bytes = 1, float = 2,
// int64 = 3 }.
Features read_example(std::string_view bytes, const std::string& name) {
  Features features;
  ProtobufReader example(bytes, ErrorCode::kData, name);
  ProtobufReader::Field outer, entry, part, kind;
  while (example.next(&outer)) {
    if (outer.number != 1) continue;
    ProtobufReader map(outer.as_bytes(example), ErrorCode::kData, name);
    while (map.next(&entry)) {
      if (entry.number != 1) continue;
      std::string key;
      std::string_view value;
      ProtobufReader pair(entry.as_bytes(map), ErrorCode::kData, name);
      while (pair.next(&part)) {
        if (part.number == 1) key = std::string(part.as_bytes(pair));
        if (part.number == 2) value = part.as_bytes(pair);
      }
      ProtobufReader feature(value, ErrorCode::kData, name);
      while (feature.next(&kind))
        if (kind.number == 2 || kind.number == 3)
          read_list(kind.as_bytes(feature), kind.number == 2, name, key, &features);
    }
  }
  return features;
}

Instance to_instance(const Features& features, int32_t vocabulary_size, const std::string& name) {
  const auto integers = [&](const char* key) -> const std::vector<int64_t>& {
    const auto found = features.integers.find(key);
    check(found != features.integers.end(), ErrorCode::kData, name, ": expected the feature ", key,
          " of pre-training instances but there is none");
    return found->second;
  };
  const auto id = [&](int64_t value) {
    check(value >= 0 && value < vocabulary_size, ErrorCode::kData, name, ": token id ", value,
          " is not in the vocabulary, which has ", vocabulary_size);
    return static_cast<int32_t>(value);
  };
  const auto& ids = integers("input_ids");
  const auto& mask = integers("input_mask");
  const auto& types = integers("segment_ids");
  const auto& positions = integers("masked_lm_positions");
  const auto& targets = integers("masked_lm_ids");
  const auto& order = integers("next_sentence_labels");
  const auto weights = features.floats.find("masked_lm_weights");
  check(ids.size() == mask.size() && ids.size() == types.size() && positions.size() == targets.size() &&
            weights != features.floats.end() && weights->second.size() == positions.size() &&
            order.size() == 1,
        ErrorCode::kData, name, ": expected features of matching lengths");
  Instance instance;
  for (size_t i = 0; i < ids.size() && mask[i] != 0; ++i) {
    check(types[i] == 0 || types[i] == 1, ErrorCode::kData, name, ": segment id ", types[i],
          " is neither 0 nor 1");
    instance.ids.push_back(id(ids[i]));
    instance.types.push_back(static_cast<int32_t>(types[i]));
  }
  check(!instance.ids.empty(), ErrorCode::kData, name, ": expected tokens but all are padding");
  instance.labels.assign(instance.ids.size(), kIgnoredLabel);
  for (size_t i = 0; i < positions.size(); ++i) {
    if (weights->second[i] == 0) continue;
    check(positions[i] >= 0 && static_cast<uint64_t>(positions[i]) < instance.ids.size(), ErrorCode::kData,
          name, ": masked position ", positions[i], " is outside its ", instance.ids.size(), " tokens");
    instance.labels[static_cast<size_t>(positions[i])] = id(targets[i]);
  }
  check(order[0] == 0 || order[0] == 1, ErrorCode::kData, name, ": label ", order[0], " is neither 0 nor 1");
  instance.sop_label = static_cast<int32_t>(order[0]);
  return instance;
}

template <typename T>
T load(const uint8_t* data) {
  T value;
  std::memcpy(&value, data, sizeof value);
  return value;
}

class RecordSource final : public InstanceSource {
 public:
  RecordSource(const std::vector<std::shared_ptr<const FileMap>>& files, int32_t vocabulary_size)
      : vocabulary_size_(vocabulary_size) {
    for (const std::shared_ptr<const FileMap>& file : files) index(file);
    check(!records_.empty(), ErrorCode::kData, "expected records in the TFRecord files but they are empty");
  }

  uint64_t size(uint64_t) override { return records_.size(); }

  Instance make(uint64_t, uint64_t number) override {
    const Record& record = records_[static_cast<size_t>(number)];
    const FileMap& file = *files_[record.file];
    const std::string name = str(file.path(), ": record ", record.number);
    const uint8_t* data = file.data() + record.offset;
    check(masked_crc32c(data, record.size) == load<uint32_t>(data + record.size), ErrorCode::kData, name,
          " does not match its checksum; the file is damaged");
    const std::string_view bytes(reinterpret_cast<const char*>(data), record.size);
    return to_instance(read_example(bytes, name), vocabulary_size_, name);
  }

 private:
  struct Record {
    size_t file, number, offset, size;
  };

  void index(std::shared_ptr<const FileMap> map) {
    const FileMap& file = *map;
    for (size_t at = 0, number = 0; at < file.size(); ++number) {
      check(file.size() - at >= 12, ErrorCode::kData, file.path(), ": record ", number,
            " is cut off at byte ", at);
      const uint8_t* header = file.data() + at;
      check(masked_crc32c(header, 8) == load<uint32_t>(header + 8), ErrorCode::kData, file.path(),
            ": record ", number, " at byte ", at,
            " has a length that does not match its checksum; expected an uncompressed TFRecord file");
      const auto size = load<uint64_t>(header);
      const size_t rest = file.size() - at - 12;
      check(rest >= 4 && size <= rest - 4, ErrorCode::kData, file.path(), ": record ", number, " of ", size,
            " bytes is cut off");
      records_.push_back({files_.size(), number, at + 12, static_cast<size_t>(size)});
      at += 12 + static_cast<size_t>(size) + 4;
    }
    files_.push_back(std::move(map));
  }

  int32_t vocabulary_size_;
  std::vector<std::shared_ptr<const FileMap>> files_;
  std::vector<Record> records_;
};

}  // namespace

std::unique_ptr<InstanceSource> tfrecord_source(const std::vector<std::shared_ptr<const FileMap>>& files,
                                                int32_t vocabulary_size) {
  return std::make_unique<RecordSource>(files, vocabulary_size);
}

}  // namespace albert
