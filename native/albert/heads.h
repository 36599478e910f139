// What stands on top of the encoder: the pooler, the masked-language head tied to the word table, and the
// classifiers.
#pragma once

#include <memory>

#include "answer_beam.h"
#include "config.h"
#include "ops.h"
#include "placed_weights.h"
#include "weights.h"

namespace albert {

// Null pointers for the parts that the head does not have.
struct HeadWeights {
  HeadWeights(const Config& config, Head head, const Weights& weights, Backend& backend);
  size_t bytes() const;

  std::unique_ptr<PackedLinear> pooler;      // H -> H
  std::unique_ptr<PackedLinear> classifier;  // H -> labels
  std::unique_ptr<PackedLinear> transform;   // H -> E, masked language
  LayerNormWeights transform_norm;           // over E
  std::unique_ptr<PackedLinear> decoder;     // E -> V, the word table and the output bias
  std::unique_ptr<AnswerBeamWeights> answer_beam;

 private:
  PlacedWeights placed_;
};

// y = tanh(x W^T + b), x the first row of each sequence.
void pooler_forward(Backend& backend, float* y,  // [rows, row_stride(H)]
                    const float* x,              // [rows, row_stride(H)]
                    const HeadWeights& weights, int64_t rows);

// y = x W^T + b, x pooled rows or hidden rows.
void classifier_forward(Backend& backend, float* y,  // [rows, labels]
                        const float* x,              // [rows, row_stride(H)]
                        const HeadWeights& weights, int64_t rows);

// y = LayerNorm(activation(x W^T + b)): the hidden rows on their way down to the embedding width.
void transform_forward(Backend& backend, float* y,  // [rows, row_stride(E)]
                       const float* x,              // [rows, row_stride(H)]
                       const HeadWeights& weights, Activation activation, int64_t rows);

// y = x table^T + bias
void decoder_forward(Backend& backend, float* y,  // [rows, V]
                     const float* x,              // [rows, row_stride(E)]
                     const HeadWeights& weights, int64_t rows);

}  // namespace albert
