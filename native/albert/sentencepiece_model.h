// What a SentencePiece model file says: pieces with scores and types, the character map and the normaliser's
// switches.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace albert {

// The numbers of ModelProto.SentencePiece.Type in sentencepiece_model.proto.
enum class PieceType : uint8_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

// The metaspace U+2581 that stands for a space inside pieces.
constexpr std::string_view kMetaspace = "\xE2\x96\x81";
inline bool starts_with_metaspace(std::string_view piece) {
  return piece.substr(0, kMetaspace.size()) == kMetaspace;
}

// The piece that stands for a byte where the vocabulary has no piece for a character: '<0x0A>'.
std::string byte_piece(int byte);

// Defaults are those of the proto file.
struct SentencePieceModel {
  static constexpr size_t kMaxPieces = 1 << 20;

  std::vector<std::string> pieces;  // [V] UTF-8
  std::vector<float> scores;        // [V] log probabilities
  std::vector<PieceType> types;     // [V]
  std::string charsmap;             // precompiled_charsmap; empty: no character is rewritten
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
  bool treat_whitespace_as_suffix = false;
  bool byte_fallback = false;
};

// Reads the bytes of a spiece.model. Throws Error{kTokenizer} for anything but a unigram model; `name` is the
// file's.
SentencePieceModel read_sentencepiece_model(std::string_view bytes, const std::string& name);

}  // namespace albert
