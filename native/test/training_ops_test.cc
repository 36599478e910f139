// Every operation of training on every instruction set: finite differences of its forward, double-precision
// sums, the definition of dropout, and shapes that no tile divides.
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "activations.h"
#include "backends.h"
#include "ops.h"
#include "support/error.h"
#include "support/half.h"
#include "support/rng.h"
#include "test.h"

namespace albert::test {
namespace {

using Floats = std::vector<float>;

// Rows of row_stride(width); what lies between them is poison.
Floats random_rows(int64_t rows, int64_t width) {
  Floats padded(static_cast<size_t>(rows * row_stride(width)), kPoison);
  const Floats values = random_floats(rows * width);
  for (int64_t r = 0; r < rows; ++r)
    std::copy_n(values.begin() + r * width, width, padded.begin() + r * row_stride(width));
  return padded;
}
Floats poisoned_rows(int64_t rows, int64_t width) {
  return Floats(static_cast<size_t>(rows * row_stride(width)), kPoison);
}

// Relative to the largest value, or to `least` where all may cancel.
void expect_close(const Floats& values, const std::vector<double>& truth, double tolerance,
                  const std::string& what, double least = 1e-6) {
  EXPECT(values.size() == truth.size(), what, ": ", values.size(), " values, ", truth.size(), " expected");
  double largest = least, error = 0;
  for (size_t i = 0; i < truth.size(); ++i) {
    largest = std::max(largest, std::fabs(truth[i]));
    const double difference = std::fabs(truth[i] - values[i]);
    if (!(difference <= error))
      error = std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference;
  }
  EXPECT(error <= tolerance * largest, what, ": error ", error, " of ", largest);
}

Floats without_padding(const Floats& rows, int64_t count, int64_t width) {
  Floats values;
  for (int64_t r = 0; r < count; ++r)
    values.insert(values.end(), rows.begin() + r * row_stride(width),
                  rows.begin() + r * row_stride(width) + width);
  return values;
}

// The slope of sum(weights * forward(x)) along every element of x, by central differences. A step of 2^-6
// leaves errors of about step^2 and of 1e-7 / step, both below 1e-3 of the largest slope.
template <typename Forward>
std::vector<double> slopes(Floats x, int64_t rows, int64_t width, int64_t stride, const Floats& weights,
                           int64_t out_rows, int64_t out_width, const Forward& forward) {
  constexpr float kStep = 0x1p-6f;
  const auto value = [&] {
    const Floats y = without_padding(forward(x), out_rows, out_width);
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) sum += static_cast<double>(weights[i]) * y[i];
    return sum;
  };
  std::vector<double> result;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < width; ++i) {
      float& element = x[static_cast<size_t>(r * stride + i)];
      const float kept = element;
      element = kept + kStep;
      const double above = value();
      element = kept - kStep;
      result.push_back((above - value()) / (2 * kStep));
      element = kept;
    }
  return result;
}
constexpr double kSlopeTolerance = 4e-3;

}  // namespace

TEST(weight_and_input_gradients_of_odd_shapes) {
  on_every_backend({Precision::kFp32, Precision::kBf16}, [](Backend& backend, Precision precision,
                                                            const std::string& where) {
    // As a product of this precision sees a factor.
    const auto seen = [&](float value) -> double {
      return precision == Precision::kBf16 ? bf16_to_f32(f32_to_bf16(value)) : value;
    };
    constexpr double kTolerance = 1e-5;
    for (const auto& [in, outs] : {std::pair<int64_t, std::vector<int64_t>>{1, {1}},
                                   {13, {52}},
                                   {49, {17, 17, 17}},
                                   {97, {5, 30}},
                                   {64, {240}}})
      for (int64_t rows : {1, 2, 7, 33, 1100}) {
        if (rows == 1100 && in != 49) continue;  // more than one chunk of rows
        const int64_t out = std::accumulate(outs.begin(), outs.end(), int64_t{0});
        const Floats weight = random_floats(in * out), x = random_rows(rows, in), dy = random_rows(rows, out);
        const int64_t x_stride = row_stride(in), dy_stride = row_stride(out);
        std::vector<LinearSource> sources;
        std::vector<LinearGradient> gradients;
        const Floats before = random_floats(in * out), bias_before = random_floats(out);
        Floats dweight = before, dbias = bias_before;
        int64_t first = 0;
        for (int64_t part : outs) {
          sources.push_back({weight.data() + first * in, nullptr, part});
          gradients.push_back({dweight.data() + first * in, dbias.data() + first, part});
          first += part;
        }
        backend.linear_backward_weights(gradients, dy.data(), dy_stride, x.data(), x_stride, in, precision,
                                        rows);
        std::vector<double> truth(before.begin(), before.end()), bias(bias_before.begin(), bias_before.end());
        for (int64_t o = 0; o < out; ++o)
          for (int64_t r = 0; r < rows; ++r) {
            bias[o] += dy[r * dy_stride + o];
            for (int64_t i = 0; i < in; ++i)
              truth[o * in + i] += seen(dy[r * dy_stride + o]) * seen(x[r * x_stride + i]);
          }
        const std::string what = str(rows, "x", in, "x", out, " on ", where);
        expect_close(dweight, truth, kTolerance, "weights " + what, 1);
        expect_close(dbias, bias, kTolerance, "bias " + what, 1);

        const auto transposed = backend.pack_transposed(sources, in, precision);
        Floats dx = poisoned_rows(rows, in), sum = random_rows(rows, in);
        std::vector<double> input, added;
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t i = 0; i < in; ++i) {
            double total = 0;
            for (int64_t o = 0; o < out; ++o) total += seen(dy[r * dy_stride + o]) * seen(weight[o * in + i]);
            input.push_back(total);
            added.push_back(total + sum[r * x_stride + i]);
          }
        backend.linear_backward_input(dx.data(), x_stride, dy.data(), dy_stride, *transposed, false, rows);
        backend.linear_backward_input(sum.data(), x_stride, dy.data(), dy_stride, *transposed, true, rows);
        expect_close(without_padding(dx, rows, in), input, kTolerance, "input " + what, 1);
        expect_close(without_padding(sum, rows, in), added, kTolerance, "added input " + what, 1);
        EXPECT(std::isnan(dx[static_cast<size_t>(in)]), "a row was written past its end on ", where);
      }
  });
}

TEST(slopes_of_activations) {
  on_every_backend({Precision::kFp32}, [](Backend& backend, Precision, const std::string& where) {
    for (Activation activation : {Activation::kIdentity, Activation::kGelu, Activation::kGeluNew,
                                  Activation::kRelu, Activation::kSilu, Activation::kTanh}) {
      const int64_t rows = 3, width = 21, stride = row_stride(width);
      Floats x = random_rows(rows, width);
      // A step may not cross the corner of ReLU.
      for (float& value : x)
        if (std::fabs(value) < 0.05f) value = 0.05f;
      const Floats weights = random_floats(rows * width);
      const auto forward = [&](const Floats& at) {
        Floats y = poisoned_rows(rows, width);
        backend.activation_forward(y.data(), at.data(), activation, width, rows);
        return y;
      };
      Floats dx = poisoned_rows(rows, width), y = poisoned_rows(rows, width);
      for (int64_t r = 0; r < rows; ++r)
        std::copy_n(weights.begin() + r * width, width, dx.begin() + r * stride);
      backend.activation_backward(dx.data(), y.data(), dx.data(), x.data(), activation, width, rows);
      expect_close(without_padding(dx, rows, width),
                   slopes(x, rows, width, stride, weights, rows, width, forward), kSlopeTolerance,
                   str("activation ", static_cast<int>(activation), " on ", where));
      const Floats value = without_padding(forward(x), rows, width);
      expect_close(without_padding(y, rows, width), {value.begin(), value.end()}, 1e-6, "value on " + where);
    }
  });
}

TEST(activations_between_layers) {
  on_every_backend({Precision::kFp32, Precision::kBf16}, [](Backend& backend, Precision precision,
                                                            const std::string& where) {
    const bool rounds = precision == Precision::kBf16;
    const auto seen = [&](float value) -> double { return rounds ? bf16_to_f32(f32_to_bf16(value)) : value; };
    // Rounded to bf16, from what was rounded to fp16 and computed with less exact exponentials.
    const double tolerance = rounds ? 0x1p-8 + 0x1p-10 : 1e-5;
    struct Shape {
      int64_t rows, in, inner;
    };
    for (const Shape& shape : {Shape{7, 13, 52}, {33, 49, 97}, {131, 64, 240}, {300, 20, 600}})
      for (Activation activation : {Activation::kIdentity, Activation::kGelu, Activation::kGeluNew,
                                    Activation::kRelu, Activation::kSilu, Activation::kTanh}) {
        const int64_t rows = shape.rows, in = shape.in, inner = shape.inner;
        if (rows == 300 && activation != Activation::kGelu) continue;
        const Floats up = random_floats(inner * in), bias = random_floats(inner),
                     down = random_floats(in * inner);
        const Floats x = random_rows(rows, in), dy = random_rows(rows, in);
        const auto packed = backend.pack({{up.data(), bias.data(), inner}}, in, {precision, {}, {}});
        const auto transposed = backend.pack_transposed({{down.data(), nullptr, in}}, inner, precision);
        const auto on_device = [&](const Floats& values) {
          float* const memory = backend.allocate(values.size());
          backend.upload(memory, values.data(), values.size());
          return memory;
        };
        float* const x_there = on_device(x);
        float* const dy_there = on_device(dy);
        float* const y = on_device(poisoned_rows(rows, inner));
        float* const sum = on_device(poisoned_rows(rows, inner));
        float* const dx = on_device(poisoned_rows(rows, inner));
        const int64_t stride = row_stride(inner);
        const auto values_of = [&](const float* matrix) {
          Floats values(static_cast<size_t>(rows * inner));
          backend.gather_rows(values.data(), inner, matrix, stride, nullptr, inner, rows);
          return values;
        };
        constexpr double kStep = 1e-4;
        std::vector<double> value, gradient;
        std::vector<size_t> at_corner;  // of ReLU, where rounding decides about the slope
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t o = 0; o < inner; ++o) {
            double at = bias[o], behind = 0;
            for (int64_t i = 0; i < in; ++i) {
              at += seen(x[r * row_stride(in) + i]) * seen(up[o * in + i]);
              behind += seen(dy[r * row_stride(in) + i]) * seen(down[i * inner + o]);
            }
            value.push_back(activate(activation, at));
            if (activation == Activation::kRelu && std::fabs(at) <= kStep)
              at_corner.push_back(gradient.size());
            const double rise = activate(activation, at + kStep) - activate(activation, at - kStep);
            gradient.push_back(behind * rise / (2 * kStep));
          }
        const std::string what = str(static_cast<int>(activation), " of ", rows, "x", inner, " on ", where);
        backend.linear_activation_forward(y, sum, x_there, *packed, activation, rows);
        expect_close(values_of(y), value, tolerance, "activation " + what);
        backend.linear_activation_backward(dx, y, dy_there, *transposed, sum, activation, rows);
        expect_close(values_of(y), value, tolerance, "activation again " + what);
        Floats computed = values_of(dx);
        for (size_t i : at_corner) computed[i] = 0, gradient[i] = 0;
        expect_close(computed, gradient, tolerance, "gradient of activation " + what);
        for (float* memory : {x_there, dy_there, y, sum, dx}) backend.release(memory);
      }
  });
}

// A gradient of weights takes what the activation's gradient left, whole tiles of it on a GPU: rows that no
// tile divides must not bring anything in from behind the last of them.
TEST(weight_gradients_of_what_an_activation_left) {
  on_every_backend({Precision::kFp32, Precision::kBf16}, [](Backend& backend, Precision precision,
                                                            const std::string& where) {
    const int64_t in = 64, inner = 256;
    for (const int64_t rows : {40, 97, 120}) {
      // Sums around one, where rounding hardly moves the slope.
      const Floats up = random_floats(inner * in, 0.125f), down = random_floats(in * inner),
                   bias = random_floats(inner);
      const auto packed = backend.pack({{up.data(), bias.data(), inner}}, in, {precision, {}, {}});
      const auto transposed = backend.pack_transposed({{down.data(), nullptr, in}}, inner, precision);
      const int64_t wide = row_stride(inner), narrow = row_stride(in);
      const auto there = [&](const Floats& values) {
        float* memory = backend.allocate(values.size());
        backend.upload(memory, values.data(), values.size());
        return memory;
      };
      const Floats x = random_rows(rows, in), from_above = random_rows(rows, in);
      float *const input = there(x), *const dy = there(from_above);
      float *const y = there(poisoned_rows(rows, inner)), *const sum = there(poisoned_rows(rows, inner)),
                   *const dx = there(poisoned_rows(rows, inner));
      float* const gradient = there(Floats(static_cast<size_t>(inner * in)));
      backend.linear_activation_forward(y, sum, input, *packed, Activation::kGelu, rows);
      backend.linear_activation_backward(dx, y, dy, *transposed, sum, Activation::kGelu, rows);
      backend.linear_backward_weights({{gradient, nullptr, inner}}, dx, wide, input, narrow, in, precision,
                                      rows);
      Floats values(static_cast<size_t>(inner * in));
      backend.download(values.data(), gradient, values.size());
      std::vector<double> truth(values.size());
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t o = 0; o < inner; ++o) {
          double u = bias[o], slope = 0;
          for (int64_t i = 0; i < in; ++i) {
            u += static_cast<double>(x[r * narrow + i]) * up[o * in + i];
            slope += static_cast<double>(from_above[r * narrow + i]) * down[i * inner + o];
          }
          // (u Phi(u))' = Phi(u) + u phi(u)
          slope *= 0.5 * (1 + std::erf(u * std::sqrt(0.5))) + u * std::exp(-u * u / 2) * 0.3989422804014327;
          for (int64_t i = 0; i < in; ++i) truth[o * in + i] += slope * x[r * narrow + i];
        }
      expect_close(values, truth, precision == Precision::kFp32 ? 1e-5 : 2e-2, str(where, ", rows ", rows));
      for (float* memory : {input, dy, y, sum, dx, gradient}) backend.release(memory);
    }
  });
}

TEST(slopes_of_layernorm) {
  on_every_backend({Precision::kFp32}, [](Backend& backend, Precision, const std::string& where) {
    struct Shape {
      int64_t rows, width;
    };
    for (const Shape& shape : {Shape{2, 19}, {70, 5}}) {
      const int64_t rows = shape.rows, width = shape.width, stride = row_stride(width);
      Floats x = random_rows(rows, width);
      // Where a row hardly spreads, its norm bends within a step.
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t i = 0; i < width; ++i) x[r * stride + i] += static_cast<float>(3 * (i % 5));
      const Floats weights = random_floats(rows * width);
      Floats weight = random_floats(width), bias = random_floats(width);
      const LayerNormWeights norm{weight.data(), bias.data(), 1e-12f};
      const auto forward = [&](const Floats& at) {
        Floats y = poisoned_rows(rows, width);
        backend.layernorm_forward(y.data(), stride, at.data(), stride, norm, width, rows);
        return y;
      };
      Floats dx = poisoned_rows(rows, width), dweight(static_cast<size_t>(width)), dbias = dweight;
      for (int64_t r = 0; r < rows; ++r)
        std::copy_n(weights.begin() + r * width, width, dx.begin() + r * stride);
      backend.layernorm_backward(dx.data(), {dweight.data(), dbias.data()}, dx.data(), x.data(), norm, width,
                                 rows);
      expect_close(without_padding(dx, rows, width),
                   slopes(x, rows, width, stride, weights, rows, width, forward), kSlopeTolerance,
                   "LayerNorm on " + where);
      const auto of_parameter = [&](Floats& parameter) {
        return slopes(parameter, 1, width, width, weights, rows, width, [&](const Floats& at) {
          const Floats kept = parameter;
          parameter = at;
          const Floats y = forward(x);
          parameter = kept;
          return y;
        });
      };
      expect_close(dweight, of_parameter(weight), kSlopeTolerance, "LayerNorm weight on " + where);
      expect_close(dbias, of_parameter(bias), kSlopeTolerance, "LayerNorm bias on " + where);
    }
  });
}

TEST(slopes_of_attention_with_and_without_dropout) {
  on_every_backend({Precision::kFp32}, [](Backend& backend, Precision, const std::string& where) {
    for (int64_t size : {7, 16, 35})
      for (float probability : {0.0f, 0.3f}) {
        // A whole sequence, one with a row that is no key, and an empty one.
        const std::vector<int32_t> row_begin{0, 5, 5, 9}, keys{5, 0, 3};
        Segments segments;
        segments.count = 3;
        segments.row_begin = row_begin.data();
        segments.keys = keys.data();
        const int64_t rows = 9, count = 2, hidden = count * size,
                      stride = backend.head_stride(size, Precision::kFp32);
        const Dropout dropout{probability, 11, 5};
        const int64_t matrix = count * rows * stride;
        Floats qkv = random_floats(3 * matrix);  // padding between rows is read and must not matter
        Heads heads;
        heads.heads = count, heads.size = size, heads.stride = stride, heads.precision = Precision::kFp32;
        const auto forward = [&](const Floats& at) {
          Floats copy = at, context = poisoned_rows(rows, hidden);
          heads.query = copy.data(), heads.key = copy.data() + matrix, heads.value = copy.data() + 2 * matrix;
          backend.attention_forward(context.data(), nullptr, heads, segments, dropout);
          return context;
        };
        const Floats weights = random_floats(rows * hidden);
        Floats dcontext = poisoned_rows(rows, hidden), dqkv = poisoned_rows(rows, 3 * hidden);
        for (int64_t r = 0; r < rows; ++r)
          std::copy_n(weights.begin() + r * hidden, hidden, dcontext.begin() + r * row_stride(hidden));
        heads.query = qkv.data(), heads.key = qkv.data() + matrix, heads.value = qkv.data() + 2 * matrix;
        backend.attention_backward(dqkv.data(), dcontext.data(), heads, segments, dropout);
        const std::vector<double> truth =
            slopes(qkv, 3 * count * rows, size, stride, weights, rows, hidden, forward);
        Floats values;
        for (int64_t part = 0; part < 3; ++part)
          for (int64_t head = 0; head < count; ++head)
            for (int64_t r = 0; r < rows; ++r) {
              const float* row = dqkv.data() + r * row_stride(3 * hidden) + part * hidden + head * size;
              values.insert(values.end(), row, row + size);
            }
        expect_close(values, truth, kSlopeTolerance,
                     str("attention of ", size, ", p ", probability, " on ", where));
      }
  });
}

TEST(slopes_of_cross_entropy) {
  on_every_backend({Precision::kFp32}, [](Backend& backend, Precision, const std::string& where) {
    for (int64_t width : {1, 2, 16, 37}) {
      const int64_t rows = 4;
      std::vector<int32_t> labels;
      for (int64_t r = 0; r < rows; ++r) labels.push_back(static_cast<int32_t>(random_engine()() % width));
      const Floats logits = random_floats(rows * width, 2);
      const auto run = [&](Floats at, Floats* gradient, std::vector<uint8_t>* hits) {
        Floats losses(rows, kPoison);
        std::vector<uint8_t> hit(rows);
        const Floats scales(rows, 0.5f);
        backend.cross_entropy_forward_backward(losses.data(), hit.data(), at.data(), labels.data(),
                                               scales.data(), width, rows);
        if (gradient) *gradient = at;
        if (hits) *hits = hit;
        return losses;
      };
      Floats gradient;
      std::vector<uint8_t> hits;
      run(logits, &gradient, &hits);
      for (int64_t r = 0; r < rows; ++r) {
        const float* row = logits.data() + r * width;
        EXPECT(hits[r] == (std::max_element(row, row + width) - row == labels[r]), "hit on ", where);
      }
      std::vector<double> truth;
      constexpr float kStep = 0x1p-6f;
      for (int64_t i = 0; i < rows * width; ++i) {
        Floats above = logits, below = logits;
        above[i] += kStep, below[i] -= kStep;
        const Floats a = run(above, nullptr, nullptr), b = run(below, nullptr, nullptr);
        truth.push_back(0.5 * (static_cast<double>(a[i / width]) - b[i / width]) / (2 * kStep));
      }
      expect_close(gradient, truth, kSlopeTolerance, str("cross-entropy of ", width, " on ", where));
    }
  });
}

TEST(cross_entropy_of_logits_far_apart) {
  on_every_backend({Precision::kFp32}, [](Backend& backend, Precision, const std::string& where) {
    for (float apart : {0.0f, 30.0f, 79.0f, 81.0f, 700.0f, 2000.0f, 1e30f})
      for (int32_t label : {0, 1}) {
        Floats logits{apart, 0, 0};
        float loss = kPoison;
        uint8_t hit = 0;
        const float scale = 1;
        backend.cross_entropy_forward_backward(&loss, &hit, logits.data(), &label, &scale, 3, 1);
        const double others = std::log1p(2 * std::exp(-static_cast<double>(apart)));
        const double truth = label == 0 ? others : apart + others;
        // An fp32 exponential of -x is off by x steps.
        EXPECT(std::fabs(loss - truth) <= 1e-5 * truth + 1e-37, "loss ", loss, " of ", apart, " on ", where);
        EXPECT(label == 0 || std::fabs(logits[1] - (std::exp(-truth) - 1)) < 1e-6, "slope ", logits[1],
               " on ", where);
      }
  });
}

TEST(dropout_draws_what_its_definition_says) {
  on_every_backend({Precision::kFp32}, [](Backend& backend, Precision, const std::string& where) {
    const int64_t rows = 37, width = 77, stride = row_stride(width);
    const Dropout dropout{0.25f, 99, 7};
    const Floats x = random_rows(rows, width), residual = random_rows(rows, width);
    Floats y = poisoned_rows(rows, width), sum = x, normed = poisoned_rows(rows, width);
    backend.dropout_forward(y.data(), x.data(), dropout, width, rows);
    const Floats weight(static_cast<size_t>(width), 1.0f), bias(static_cast<size_t>(width), 0.0f);
    const LayerNormWeights norm{weight.data(), bias.data(), 1e-12f};
    backend.residual_layernorm_forward(normed.data(), sum.data(), residual.data(), norm, dropout, width,
                                       rows);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < width; ++c) {
        const Philox4 random = philox(dropout.seed, dropout.stream, static_cast<uint64_t>(r << 16 | c / 4));
        const bool keeps = random.word[c % 4] >= 0x40000000u;
        const float kept = keeps ? x[r * stride + c] * (1 / 0.75f) : 0;
        EXPECT(std::fabs(y[r * stride + c] - kept) <= 1e-6f, "row ", r, " column ", c, " on ", where);
        EXPECT(std::fabs(sum[r * stride + c] - kept - residual[r * stride + c]) <= 1e-5f, "sum on ", where);
      }
    Floats expected = poisoned_rows(rows, width);
    backend.layernorm_forward(expected.data(), stride, sum.data(), stride, norm, width, rows);
    EXPECT(without_padding(expected, rows, width) == without_padding(normed, rows, width), "norm on ", where);
  });
}

TEST(embedding_gradient_adds_up_repeated_words) {
  on_every_backend({Precision::kFp32}, [](Backend& backend, Precision, const std::string& where) {
    const int64_t rows = 90, width = 13;
    const Floats dsum = random_rows(rows, width);
    std::vector<int32_t> ids, types, positions;
    Floats tables[3] = {random_floats(11 * width), random_floats(40 * width), random_floats(2 * width)};
    std::vector<double> truths[3];
    for (int t = 0; t < 3; ++t) truths[t].assign(tables[t].begin(), tables[t].end());
    for (int64_t r = 0; r < rows; ++r) {
      ids.push_back(static_cast<int32_t>(random_engine()() % 11));
      positions.push_back(static_cast<int32_t>(r % 40));
      types.push_back(static_cast<int32_t>(r % 2));
      for (int64_t i = 0; i < width; ++i) {
        const double value = dsum[r * row_stride(width) + i];
        truths[0][ids[r] * width + i] += value;
        truths[1][positions[r] * width + i] += value;
        truths[2][types[r] * width + i] += value;
      }
    }
    backend.embedding_backward({tables[0].data(), tables[1].data(), tables[2].data()}, dsum.data(),
                               ids.data(), types.data(), positions.data(), width, rows);
    for (int t = 0; t < 3; ++t) expect_close(tables[t], truths[t], 1e-6, str("table ", t, " on ", where));
  });
}

// Tensors of one step, in memory where another one and gaps lie between: those stay as they are.
TEST(optimizer_steps_of_several_tensors) {
  on_every_backend({Precision::kFp32}, [](Backend& backend, Precision, const std::string& where) {
    const MomentRule rule{0.9f, 0.1f, 0.999f, 0.001f, 1e-6f, 0.5f};
    const int64_t total = 40160;
    const std::vector<OptimizedTensor> tensors{
        {0, 5, 0.1, 0.01f, true},
        {16, 19, 0.2, 0, false},
        {112, 40000, 0.05, 0.01f, true},
        {40112, 33, 0.1, 0, true}};  // the last has no gradient: no update, and no trust ratio
    Floats gradient = random_floats(total), first = random_floats(total), second = random_floats(total),
           weight = random_floats(total);
    for (float& value : second) value = value * value + 0.1f;  // no update stands out of the norms
    for (int64_t i = 0; i < 33; ++i) gradient[40112 + i] = first[40112 + i] = 0;
    std::vector<double> m(first.begin(), first.end()), v(second.begin(), second.end()),
        w(weight.begin(), weight.end());
    double squares = 0;
    for (float value : gradient) squares += static_cast<double>(value) * value;
    for (const OptimizedTensor& tensor : tensors) {
      const int64_t end = tensor.begin + tensor.count;
      std::vector<double> update;
      double weights = 0, updates = 0;  // squared norms
      for (int64_t i = tensor.begin; i < end; ++i) {
        const double g = 0.5 * gradient[i];
        m[i] = static_cast<double>(rule.beta1) * m[i] + static_cast<double>(rule.rest1) * g;
        v[i] = static_cast<double>(rule.beta2) * v[i] + static_cast<double>(rule.rest2) * g * g;
        update.push_back(m[i] / (std::sqrt(v[i]) + rule.epsilon) + tensor.decay * w[i]);
        weights += w[i] * w[i];
        updates += update.back() * update.back();
      }
      const bool scaled = tensor.has_trust_ratio && updates > 0;
      const double rate = tensor.rate * (scaled ? std::sqrt(weights / updates) : 1);
      for (int64_t i = tensor.begin; i < end; ++i) w[i] -= rate * update[i - tensor.begin];
    }
    EXPECT(std::fabs(backend.squared_norm(gradient.data(), total) / squares - 1) < 1e-5, where);
    backend.optimizer_step({weight.data(), gradient.data(), first.data(), second.data(), total}, rule,
                           tensors);
    expect_close(first, m, 1e-6, "first moments on " + where);
    expect_close(second, v, 1e-6, "second moments on " + where);
    expect_close(weight, w, 1e-6, "weights on " + where);
    backend.optimizer_step({weight.data(), gradient.data(), first.data(), second.data(), total}, rule, {});
    expect_close(weight, w, 1e-6, "weights after a step of nothing on " + where);
  });
}

}  // namespace albert::test
