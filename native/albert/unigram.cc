// Viterbi over the trie, with the arithmetic of Model::EncodeOptimized in google/sentencepiece, so that ties
// fall alike.
#include "unigram.h"

#include <algorithm>
#include <cfloat>

#include "support/error.h"

namespace albert {
namespace {

constexpr float kUnknownPenalty = 10;

// Bytes of the character that starts with this byte; a continuation byte counts alone.
int character_length(char lead) {
  static constexpr char kLengths[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4};
  return kLengths[static_cast<unsigned char>(lead) >> 4];
}

}  // namespace

Unigram::Unigram(const SentencePieceModel& model, const std::string& name) : scores_(model.pieces.size()) {
  // The library starts its maximum at FLT_MIN, which is above zero, so that log probabilities never raise it.
  float lowest = FLT_MAX, highest = FLT_MIN;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    if (model.types[id] != PieceType::kNormal) continue;
    lowest = std::min(lowest, model.scores[id]);
    highest = std::max(highest, model.scores[id]);
  }
  unknown_score_ = lowest - kUnknownPenalty;

  std::vector<DoubleArray::Key> usable, unused, reserved;
  for (size_t i = 0; i < model.pieces.size(); ++i) {
    const std::string& piece = model.pieces[i];
    const auto id = static_cast<int32_t>(i);
    scores_[i] = model.scores[i];
    switch (model.types[i]) {
      case PieceType::kUserDefined:
        // Long enough a bonus that the symbol always wins; the mixed precision is the library's.
        scores_[i] = static_cast<float>(piece.size()) * highest - 0.1;
        [[fallthrough]];
      case PieceType::kNormal:
        usable.emplace_back(piece, id);
        break;
      case PieceType::kUnused:
        unused.emplace_back(piece, id);
        break;
      case PieceType::kUnknown:
        check(unknown_id_ < 0, ErrorCode::kTokenizer, name, ": expected one unknown piece, found ids ",
              unknown_id_, " and ", id);
        unknown_id_ = id;
        [[fallthrough]];
      case PieceType::kControl:
      case PieceType::kByte:
        reserved.emplace_back(piece, id);
        break;
    }
  }
  check(unknown_id_ >= 0, ErrorCode::kTokenizer, name, ": expected a piece of type UNKNOWN, found none");
  trie_ = DoubleArray(std::move(usable), name);
  unused_ = DoubleArray(std::move(unused), name);
  reserved_ = DoubleArray(std::move(reserved), name);
}

int32_t Unigram::find(std::string_view piece) const {
  for (const DoubleArray* trie : {&reserved_, &trie_, &unused_})
    if (const int32_t id = trie->find(piece); id != DoubleArray::kNoValue) return id;
  return -1;
}

void Unigram::segment(std::string_view text, std::vector<Node>* nodes, std::vector<Piece>* pieces) const {
  const auto size = static_cast<int32_t>(text.size());
  if (size == 0) return;
  nodes->assign(text.size() + 1, Node{0, -1, -1});
  Node* best = nodes->data();
  const auto offer = [&](int32_t start, int32_t end, double score, int32_t id) {
    Node& node = best[end];
    if (node.start >= 0 && score <= node.score) return;
    node = {static_cast<float>(score), id, start};
  };
  for (int32_t start = 0; start < size;) {
    const float score = best[start].score;
    const int32_t character = std::min(character_length(text[start]), size - start);
    bool has_character = false;
    uint32_t node = DoubleArray::kRoot;
    for (int32_t end = start; end < size && trie_.step(&node, static_cast<unsigned char>(text[end]));) {
      ++end;
      const int32_t id = trie_.value(node);
      if (id == DoubleArray::kNoValue) continue;
      offer(start, end, scores_[id] + score, id);
      has_character |= end - start == character;
    }
    if (!has_character) offer(start, start + character, unknown_score_ + score, unknown_id_);
    start += character;
  }

  const size_t first = pieces->size();
  for (int32_t end = size; end > 0; end = best[end].start) {
    const Node& node = best[end];
    if (node.id == unknown_id_ && pieces->size() > first && pieces->back().id == unknown_id_)
      pieces->back().begin = static_cast<uint32_t>(node.start);
    else
      pieces->push_back({static_cast<uint32_t>(node.start), static_cast<uint32_t>(end), node.id});
  }
  std::reverse(pieces->begin() + static_cast<int64_t>(first), pieces->end());
}

}  // namespace albert
