// Torch checkpoints: both containers, views, nesting, and a refusal of every truncation and of anything that
// could run.
#include "support/torch_file.h"

#include <cstring>
#include <functional>

#include "albert/weights.h"
#include "support/pickle.h"
#include "support/zip.h"
#include "test.h"

namespace albert {
namespace {

std::string golden(const std::string& name) { return test::golden_folder() + "/torch/" + name; }

std::vector<uint8_t> bytes_of(const std::string& name) {
  auto map = FileMap::open(golden(name), ErrorCode::kCheckpoint);
  return {map->data(), map->data() + map->size()};
}

TensorFile read(std::vector<uint8_t> bytes) {
  return TensorFile::read(FileMap::from_bytes(std::move(bytes), "x.bin"));
}

void refuse(const std::function<void()>& body, const std::string& part) {
  const std::string message = test::refusal(body, ErrorCode::kCheckpoint);
  EXPECT(message.find(part) != std::string::npos, "'", part, "' in: ", message);
}

Config tiny() {
  Config config;
  config.vocab_size = 11;
  config.embedding_size = 4;
  config.hidden_size = 6;
  config.num_hidden_layers = config.num_attention_heads = 2;
  config.intermediate_size = 8;
  config.max_position_embeddings = 5;
  return config;
}

Pickle parse(const std::string& text) {
  size_t consumed = 0;
  return Pickle::parse(text, "x.bin", 0, &consumed);
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  size_t at = text.find(from);
  EXPECT(at != std::string::npos && from.size() == to.size(), from);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST(torch_files_of_every_kind_load_the_same_weights) {
  TensorFile expect = TensorFile::open(golden("expect.safetensors"));
  for (const char* name : {"zip.bin", "legacy.bin", "lightning.bin"}) {
    std::vector<std::string> warnings;
    auto weights = Weights::load(tiny(), Head::kMaskedLm, golden(name), &warnings);
    EXPECT(warnings.empty(), name, ": ", warnings[0]);
    EXPECT(weights->decoder() == weights->data("embeddings.word_embeddings.weight"), name);
    for (const StoredTensor& tensor : expect.tensors) {
      const Parameter* parameter = nullptr;
      for (const Parameter& candidate : weights->all())
        if (candidate.name == tensor.name) parameter = &candidate;
      EXPECT(parameter && parameter->shape == tensor.shape, name, " ", tensor.name);
      EXPECT(std::memcmp(parameter->data, tensor.data, tensor.bytes) == 0, name, " ", tensor.name);
    }
  }
}

TEST(torch_storages_are_shared_and_typed) {
  TensorFile file = TensorFile::open(golden("zip.bin"));
  const StoredTensor* words = file.find("albert.embeddings.word_embeddings.weight");
  const StoredTensor* decoder = file.find("predictions.decoder.weight");
  EXPECT(words && decoder && words->data == decoder->data, "one storage under two names");
  const StoredTensor* positions = file.find("albert.embeddings.position_ids");
  EXPECT(positions && positions->dtype == DType::kI64 && positions->bytes == 40, "");
  EXPECT(file.copies.size() == 1, "only the transposed weight is copied, found ", file.copies.size());
  TensorFile nested = TensorFile::open(golden("lightning.bin"));
  EXPECT(nested.tensors.size() == 28 && nested.tensors[0].dtype == DType::kBF16, nested.tensors.size());
}

TEST(torch_files_truncated_anywhere_are_refused) {
  for (const char* name : {"zip.bin", "legacy.bin", "lightning.bin"}) {
    std::vector<uint8_t> whole = bytes_of(name);
    for (size_t size = 0; size < whole.size(); ++size)
      refuse([&] { read({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)}); }, "x.bin");
  }
}

TEST(torch_files_damaged_anywhere_never_crash) {
  for (const char* name : {"zip.bin", "legacy.bin", "lightning.bin", "expect.safetensors"}) {
    std::vector<uint8_t> whole = bytes_of(name);
    for (size_t i = 0; i < whole.size(); i += 3) {
      std::vector<uint8_t> damaged = whole;
      damaged[i] = static_cast<uint8_t>(damaged[i] ^ (1 + i % 255));
      try {
        TensorFile file = read(std::move(damaged));
        for (const StoredTensor& tensor : file.tensors) {
          std::vector<float> values(tensor.bytes / size_of(tensor.dtype));
          widen(tensor, values.data());
        }
      } catch (const Error& error) {
        EXPECT(error.code() == ErrorCode::kCheckpoint, error.what());
      }
    }
  }
}

TEST(pickle_refuses_what_could_run) {
  refuse([] { parse("cos\nsystem\n."); }, "refused to load 'os.system'");
  refuse(
      [] {
        parse(
            "\x80\x04\x8c\x08"
            "builtins\x8c\x04"
            "eval\x93.");
      },
      "refused to load 'builtins.eval'");
  refuse([] { parse("ctorch._utils\n_rebuild_tensor_v3\n."); },
         "refused to load 'torch._utils._rebuild_tensor_v3'");
  refuse([] { parse("\x80\x02)\x81."); }, "refused opcode NEWOBJ");
  refuse([] { parse("(ios\nsystem\n."); }, "refused opcode INST");
  refuse([] { parse("\x80\x02\x82\x01."); }, "refused opcode EXT1");
  refuse([] { parse("\x80\x02P0\n."); }, "refused opcode PERSID");
  refuse([] { parse("\x80\x02\xff."); }, "unknown opcode 255");
  refuse([] { parse("ctorch\nFloatStorage\n)R."); }, "'torch.FloatStorage' with 0 arguments");
  refuse([] { parse("K\x01)R."); }, "REDUCE of something else");
}

TEST(pickle_checks_its_machine) {
  refuse([] { parse(""); }, "ends before its STOP");
  refuse([] { parse("\x80\x01."); }, "protocol 1, expected 2 to 5");
  refuse([] { parse("."); }, "the stack is empty");
  refuse([] { parse("NN."); }, "values left on the stack");
  refuse([] { parse("t."); }, "no mark");
  refuse([] { parse("N(s."); }, "too few values");
  refuse([] { parse("N(b."); }, "the stack is empty");
  refuse([] { parse("]NNs."); }, "no dictionary");
  refuse([] { parse("}(Nu."); }, "no dictionary");
  refuse([] { parse("h\x05."); }, "memo index 5 was never set");
  refuse([] { parse("Nr\xff\xff\xff\xff."); }, "out of order");
  refuse([] { parse(std::string("X\xff\xff\xff\x7f", 5)); }, "a string of 2147483647 bytes");
  refuse([] { parse("cos"); }, "a name without an end");
  refuse([] { parse(std::string(Pickle::kMaxValues, ')')); }, "more than 1000000 values");
  refuse([] { parse(std::string(Pickle::kMaxValues + 1, 'N')); }, "more than 1000000 values");
  EXPECT(parse(std::string("\x8a\x01\xff.", 4)).root().integer == -1, "LONG1 of one byte");
  EXPECT(parse(std::string("\x8a\x09\0\0\0\0\0\0\0\0\x01.", 12)).root().integer == INT64_MAX, "2^64");
  EXPECT(parse(std::string("\x8a\x09\0\0\0\0\0\0\0\0\xff.", 12)).root().integer == INT64_MIN, "-2^64");
  EXPECT(parse(std::string("J\xfe\xff\xff\xff.")).root().integer == -2, "BININT");
  Pickle cyclic = parse(
      "]q\x01h\x01"
      "a.");
  EXPECT(&cyclic.at(cyclic.root().items[0]) == &cyclic.root(), "a list inside itself");
}

TEST(torch_tensors_must_stay_in_their_storage) {
  std::vector<uint8_t> bytes = bytes_of("legacy.bin");
  std::string text(bytes.begin(), bytes.end());
  auto attempt = [&](const std::string& from, const std::string& to, const std::string& part) {
    std::string spoilt = replaced(text, from, to);
    refuse([&] { read({spoilt.begin(), spoilt.end()}); }, part);
  };
  // Shape (11, 4) and stride (4, 1) of the first tensor, offset 0, in a storage of 44 elements.
  std::string view("K\x0bK\x04\x86", 5), stride("K\x04K\x01\x86", 5);
  attempt(view, std::string("K\x0cK\x04\x86", 5), "leave its storage of 44 elements");
  attempt(view, std::string("K\xffK\xff\x86", 5), "leave its storage of 44 elements");
  attempt(stride, std::string("K\x05K\x01\x86", 5), "leave its storage");
  attempt(stride, std::string("K\x04NN\x86", 5), "integers");
  attempt("tensor_v2", "tensor_v9", "refused to load 'torch._utils._rebuild_tensor_v9'");
}

TEST(zip_refuses_compressed_entries) {
  std::vector<uint8_t> bytes = bytes_of("zip.bin");
  std::string text(bytes.begin(), bytes.end());
  size_t central = text.find("PK\x01\x02");
  text[central + 10] = 8;
  refuse([&] { read({text.begin(), text.end()}); }, "is compressed (method 8)");
  text[central + 10] = 0;
  text[central + 8] = 9;
  refuse([&] { read({text.begin(), text.end()}); }, "is encrypted");
  refuse([] { read({'P', 'K', 3, 4, 0, 0}); }, "too short");
}

TEST(tensor_file_names_what_it_was_given) {
  auto text = [](const std::string& content) { return std::vector<uint8_t>(content.begin(), content.end()); };
  refuse([&] { read(text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")); },
         "Git LFS pointer");
  refuse([&] { read(text("<!DOCTYPE html><html>")); }, "found something else (21 bytes)");
  refuse([&] { read({}); }, "found an empty file");
  refuse([] { TensorFile::open("/nowhere/model.bin"); }, "/nowhere/model.bin: cannot be read: No such file");
  refuse([] { TensorFile::open(test::golden_folder()); }, "Is a directory");
}

}  // namespace albert
