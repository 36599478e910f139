// Heads of the model as compositions of operations.
#include "heads.h"

namespace albert {

HeadWeights::HeadWeights(const Config& config, Head head, const Weights& weights, Backend& backend)
    : placed_(backend) {
  const int64_t hidden = config.hidden_size, width = config.embedding_size;
  const auto pack = [&](const std::string& name, int64_t in) {
    return backend.pack({{weights.data(name + ".weight"), weights.data(name + ".bias"),
                          weights.find(name + ".weight")->shape[0]}},
                        in, {});
  };
  if (is_pooled(head)) pooler = pack("pooler", hidden);
  switch (head) {
    case Head::kPretraining:
      classifier = pack("sop_classifier.classifier", hidden);
      break;
    case Head::kQuestionAnswering:
      classifier = pack("qa_outputs", hidden);
      break;
    case Head::kQuestionAnsweringBeam:
      answer_beam = std::make_unique<AnswerBeamWeights>(config, weights, backend);
      break;
    case Head::kSequenceClassification:
    case Head::kTokenClassification:
    case Head::kMultipleChoice:
      classifier = pack("classifier", hidden);
      break;
    case Head::kBase:
    case Head::kMaskedLm:
      break;
  }
  if (is_language(head)) {
    transform = pack("predictions.dense", hidden);
    transform_norm = placed_.place_norm(weights, "predictions.LayerNorm", config.layer_norm_eps, width);
    decoder =
        backend.pack({{weights.decoder(), weights.data("predictions.bias"), config.vocab_size}}, width, {});
  }
}

size_t HeadWeights::bytes() const {
  size_t total = placed_.bytes() + (answer_beam ? answer_beam->bytes() : 0);
  for (const auto* part : {&pooler, &classifier, &transform, &decoder})
    if (*part) total += (*part)->bytes;
  return total;
}

void pooler_forward(Backend& backend, float* y, const float* x, const HeadWeights& weights, int64_t rows) {
  const int64_t stride = row_stride(weights.pooler->in);
  backend.linear_forward(y, stride, x, stride, *weights.pooler, Activation::kTanh, rows);
}

void classifier_forward(Backend& backend, float* y, const float* x, const HeadWeights& weights,
                        int64_t rows) {
  const PackedLinear& classifier = *weights.classifier;
  backend.linear_forward(y, classifier.out, x, row_stride(classifier.in), classifier, Activation::kIdentity,
                         rows);
}

void transform_forward(Backend& backend, float* y, const float* x, const HeadWeights& weights,
                       Activation activation, int64_t rows) {
  const PackedLinear& transform = *weights.transform;
  const int64_t stride = row_stride(transform.out);
  backend.linear_forward(y, stride, x, row_stride(transform.in), transform, activation, rows);
  backend.layernorm_forward(y, stride, y, stride, weights.transform_norm, transform.out, rows);
}

void decoder_forward(Backend& backend, float* y, const float* x, const HeadWeights& weights, int64_t rows) {
  const PackedLinear& decoder = *weights.decoder;
  backend.linear_forward(y, decoder.out, x, row_stride(decoder.in), decoder, Activation::kIdentity, rows);
}

}  // namespace albert
