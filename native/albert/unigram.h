// The unigram segmentation of SentencePiece: the pieces of the path with the highest score through a
// normalised text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "double_array.h"
#include "sentencepiece_model.h"

namespace albert {

class Unigram {
 public:
  // Throws Error{kTokenizer} for what the reference library refuses too: no unknown piece, two of them, a
  // piece twice.
  Unigram(const SentencePieceModel& model, const std::string& name);

  // Bytes [begin, end) of the text.
  struct Piece {
    uint32_t begin, end;
    int32_t id;
  };
  // The best way to each byte of the text; a buffer for calls to share.
  struct Node {
    float score;
    int32_t id;
    int32_t start;  // where the last piece of the way begins; -1: no way known yet
  };

  // Appends the pieces of `text`. Neighbouring unknown characters make one piece, as in the library.
  void segment(std::string_view text, std::vector<Node>* nodes, std::vector<Piece>* pieces) const;

  int32_t unknown_id() const { return unknown_id_; }
  // The id of a piece, control and unknown pieces first as in the library; -1 when there is none.
  int32_t find(std::string_view piece) const;

 private:
  DoubleArray trie_;            // pieces that text may become
  DoubleArray unused_;          // pieces with an id that text never becomes, of type UNUSED
  DoubleArray reserved_;        // control, unknown and byte pieces
  std::vector<double> scores_;  // [V]
  float unknown_score_;
  int32_t unknown_id_ = -1;
};

}  // namespace albert
