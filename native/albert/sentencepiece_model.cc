// Reads a SentencePiece ModelProto; field numbers are those of sentencepiece_model.proto in
// google/sentencepiece.
#include "sentencepiece_model.h"

#include <cmath>

#include "support/protobuf.h"

namespace albert {
namespace {

constexpr int kUnigram = 1;

void read_piece(std::string_view bytes, const std::string& name, SentencePieceModel* model) {
  std::string piece;
  float score = 0;
  int type = static_cast<int>(PieceType::kNormal);
  ProtobufReader reader(bytes, ErrorCode::kTokenizer, name);
  for (ProtobufReader::Field field; reader.next(&field);) {
    switch (field.number) {
      case 1:
        piece = field.as_bytes(reader);
        break;
      case 2:
        score = field.as_float(reader);
        break;
      case 3:
        type = field.as_int32(reader);
        break;
    }
  }
  const size_t id = model->pieces.size();
  check(!piece.empty(), ErrorCode::kTokenizer, name, ": piece ", id, " is empty; the file is damaged");
  check(std::isfinite(score), ErrorCode::kTokenizer, name, ": the score of piece ", id,
        " is not a finite number");
  check(type >= 1 && type <= 6, ErrorCode::kTokenizer, name, ": expected a type from 1 to 6 for piece ", id,
        ", found ", type);
  check(id < SentencePieceModel::kMaxPieces, ErrorCode::kTokenizer, name, ": has more than ",
        SentencePieceModel::kMaxPieces, " pieces, the most that is supported");
  model->pieces.push_back(std::move(piece));
  model->scores.push_back(score);
  model->types.push_back(static_cast<PieceType>(type));
}

void read_trainer(std::string_view bytes, const std::string& name, SentencePieceModel* model) {
  ProtobufReader reader(bytes, ErrorCode::kTokenizer, name);
  for (ProtobufReader::Field field; reader.next(&field);) {
    switch (field.number) {
      case 3: {
        const int model_type = field.as_int32(reader);
        check(model_type == kUnigram, ErrorCode::kTokenizer, name,
              ": expected a unigram SentencePiece model (type ", kUnigram, ", what ALBERT uses), found type ",
              model_type);
        break;
      }
      case 24:
        model->treat_whitespace_as_suffix = field.as_bool(reader);
        break;
      case 35:
        model->byte_fallback = field.as_bool(reader);
        break;
    }
  }
}

void read_normalizer(std::string_view bytes, const std::string& name, SentencePieceModel* model) {
  ProtobufReader reader(bytes, ErrorCode::kTokenizer, name);
  for (ProtobufReader::Field field; reader.next(&field);) {
    switch (field.number) {
      case 2:
        model->charsmap = field.as_bytes(reader);
        break;
      case 3:
        model->add_dummy_prefix = field.as_bool(reader);
        break;
      case 4:
        model->remove_extra_whitespaces = field.as_bool(reader);
        break;
      case 5:
        model->escape_whitespaces = field.as_bool(reader);
        break;
    }
  }
}

}  // namespace

std::string byte_piece(int byte) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  return std::string("<0x") + kHex[byte >> 4] + kHex[byte & 15] + '>';
}

SentencePieceModel read_sentencepiece_model(std::string_view bytes, const std::string& name) {
  SentencePieceModel model;
  ProtobufReader reader(bytes, ErrorCode::kTokenizer, name);
  for (ProtobufReader::Field field; reader.next(&field);) {
    switch (field.number) {
      case 1:
        read_piece(field.as_bytes(reader), name, &model);
        break;
      case 2:
        read_trainer(field.as_bytes(reader), name, &model);
        break;
      case 3:
        read_normalizer(field.as_bytes(reader), name, &model);
        break;
    }
  }
  check(!model.pieces.empty(), ErrorCode::kTokenizer, name,
        ": expected a SentencePiece model, found no pieces");
  return model;
}

}  // namespace albert
