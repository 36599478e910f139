// Values that are no numbers stay visible: a model that diverged must not end in finite results.
#include <cmath>

#include "backends.h"

namespace albert::test {
namespace {

constexpr float kInfinite = std::numeric_limits<float>::infinity();
constexpr float kHuge = 3e38f;       // its product with the second weights is infinite
constexpr float kFarLeft = -100000;  // where activations have ended, and fp16 has too
constexpr int64_t kHidden = 48, kInner = 64;
constexpr Activation kActivations[] = {Activation::kIdentity, Activation::kGelu, Activation::kGeluNew,
                                       Activation::kRelu,     Activation::kSilu, Activation::kTanh};

// A feed-forward's products. Its inner values are zero but for the first: the first weights are zero, so that
// of x nothing gets there but what is no number. Column c of the result is c times that value.
struct Layers {
  Backend& backend;
  std::unique_ptr<PackedLinear> up, down, down_transposed;
  std::vector<float*> memory;

  Layers(Backend& on, Precision precision, float inner) : backend(on) {
    const std::vector<float> none(static_cast<size_t>(kHidden * kInner), 0.0f), zeros(kHidden, 0.0f);
    std::vector<float> bias(kInner, 0.0f), columns(none);
    bias[0] = inner;
    for (int64_t c = 0; c < kHidden; ++c) columns[static_cast<size_t>(c * kInner)] = static_cast<float>(c);
    up = backend.pack({{none.data(), bias.data(), kInner}}, kHidden, {precision, {}, {}});
    down = backend.pack({{columns.data(), zeros.data(), kHidden}}, kInner, {precision, {}, {}});
    if (precision != Precision::kInt8)
      down_transposed = backend.pack_transposed({{columns.data(), nullptr, kHidden}}, kInner, precision);
  }
  ~Layers() {
    for (float* one : memory) backend.release(one);
  }

  float* upload(const std::vector<float>& values) {
    memory.push_back(backend.allocate(values.size()));
    backend.upload(memory.back(), values.data(), values.size());
    return memory.back();
  }
  float* rows_of(int64_t width, int64_t rows, float value) {
    return upload(std::vector<float>(static_cast<size_t>(rows * row_stride(width)), value));
  }
  // Whether each row has numbers alone.
  std::vector<bool> are_numbers(const float* of_device, int64_t width, int64_t rows) {
    const int64_t stride = row_stride(width);
    std::vector<float> values(static_cast<size_t>(rows * stride));
    backend.download(values.data(), of_device, values.size());
    std::vector<bool> result;
    for (int64_t r = 0; r < rows; ++r) {
      int64_t numbers = 0;
      for (int64_t c = 0; c < width; ++c)
        numbers += std::isfinite(values[static_cast<size_t>(r * stride + c)]);
      result.push_back(numbers == width);
    }
    return result;
  }

  // x = LayerNorm(x + ...) for rows of zeros in which one value is given.
  std::vector<bool> feed_forward(Activation activation, int64_t rows, int64_t row, float value) {
    const int64_t stride = row_stride(kHidden);
    std::vector<float> values(static_cast<size_t>(rows * stride), 0.0f);
    values[static_cast<size_t>(row * stride + 5)] = value;
    float* const x = upload(values);
    const float* const gain = upload(std::vector<float>(kHidden, 1));
    const float* const shift = upload(std::vector<float>(kHidden, 0));
    backend.feed_forward_forward(x, *up, activation, *down, {gain, shift, 1e-12f}, rows);
    return are_numbers(x, kHidden, rows);
  }
};

// What becomes of a value far to the left, or of minus infinity, is zero or minus one: numbers.
bool ends_on_the_left(Activation activation) { return activation != Activation::kIdentity; }
// On the right all but tanh go on for ever.
bool ends_on_the_right(Activation activation) { return activation == Activation::kTanh; }

std::string what_of(Activation activation, float value, const std::string& where) {
  return str("activation ", static_cast<int>(activation), " of ", value, " in ", where);
}

}  // namespace

// Minus infinity is left out: GELU's limit there is zero, and its formula, zero times infinity, no number.
TEST(no_number_inside_a_feed_forward) {
  on_every_backend({Precision::kFp32, Precision::kBf16, Precision::kInt8},
                   [](Backend& backend, Precision precision, const std::string& where) {
                     for (const float inner : {kPoison, kInfinite, kHuge, kFarLeft, 40.0f}) {
                       Layers layers(backend, precision, inner);
                       for (const Activation activation : kActivations)
                         for (const int64_t rows : {1, 3}) {
                           if (inner == kFarLeft && !ends_on_the_left(activation)) continue;
                           const bool expected =
                               inner < kHuge || (inner >= kHuge && ends_on_the_right(activation));
                           EXPECT(layers.feed_forward(activation, rows, 0, 0) ==
                                      std::vector<bool>(static_cast<size_t>(rows), expected),
                                  what_of(activation, inner, where));
                         }
                     }
                   });
}

TEST(no_number_given_to_a_feed_forward) {
  on_every_backend(
      {Precision::kFp32, Precision::kBf16, Precision::kInt8},
      [](Backend& backend, Precision precision, const std::string& where) {
        Layers layers(backend, precision, 1);
        for (const Activation activation : kActivations)
          for (const float value : {kPoison, kInfinite, -kInfinite})
            EXPECT(layers.feed_forward(activation, 3, 1, value) == std::vector<bool>({true, false, true}),
                   what_of(activation, value, where));
      });
}

// A row of the first sequence: all of it attends to that row. The second sequence sees nothing of it.
TEST(no_number_given_to_attention) {
  constexpr int64_t kRows = 70, kHeads = 2;
  const std::vector<int32_t> begin{0, 67, kRows}, keys{67, 3};
  const Segments segments{2, begin.data(), keys.data(), nullptr, nullptr};
  const std::vector<float> weights = random_floats(3 * kHidden * kHidden, 0.1f);
  on_every_backend({Precision::kFp32, Precision::kBf16}, [&](Backend& backend, Precision precision,
                                                             const std::string& where) {
    for (const float value : {kPoison, kInfinite, 1.0f}) {
      Layers layers(backend, precision, 0);
      const auto qkv = backend.pack({{weights.data(), nullptr, 3 * kHidden}}, kHidden, {precision, {}, {}});
      std::vector<float> rows(static_cast<size_t>(kRows * row_stride(kHidden)), 0.5f);
      rows[static_cast<size_t>(66 * row_stride(kHidden) + 5)] = value;
      const float* const x = layers.upload(rows);
      const Precision of_heads = backend.inference_heads(precision);
      const int64_t size = kHidden / kHeads, stride = backend.head_stride(size, of_heads);
      const auto part = [&] {
        return layers.upload(std::vector<float>(static_cast<size_t>(kHeads * kRows * stride), kPoison));
      };
      const Heads heads{part(), part(), part(), kHeads, size, stride, of_heads};
      float* const context = layers.rows_of(kHidden, kRows, kPoison);
      backend.qkv_forward(heads, x, *qkv, kRows);
      backend.attention_forward(context, nullptr, heads, segments, {});
      std::vector<float> y(static_cast<size_t>(kRows * kHidden));
      backend.gather_rows(y.data(), kHidden, context, row_stride(kHidden), nullptr, kHidden, kRows);
      for (int64_t i = 0; i < kRows * kHidden; ++i)
        EXPECT(std::isfinite(y[static_cast<size_t>(i)]) == (value == 1.0f || i >= 67 * kHidden), "row ",
               i / kHidden, " of attention with ", value, " in ", where);
    }
  });
}

// Minus infinity is a logit of what cannot be.
TEST(no_number_among_logits) {
  constexpr int64_t kWidth = 70;
  const int32_t label = 3;
  const float scale = 1;
  on_every_backend({Precision::kFp32}, [&](Backend& backend, Precision, const std::string& where) {
    for (const int64_t at : {0, 3, 69})
      for (const float value : {kPoison, kInfinite, -kInfinite}) {
        std::vector<float> logits(kWidth, 0.5f);
        logits[static_cast<size_t>(at)] = value;
        float loss = 0;
        uint8_t hit = 0;
        backend.cross_entropy_forward_backward(&loss, &hit, logits.data(), &label, &scale, kWidth, 1);
        EXPECT(std::isfinite(loss) == (value < 0 && at != label), "loss ", loss, " of ", value, " at ", at,
               " in ", where);
      }
  });
}

// The way of training: what the activation was given is kept for its gradient.
TEST(no_number_between_layers_in_training) {
  constexpr int64_t kRows = 3;
  on_every_backend({Precision::kFp32, Precision::kBf16}, [](Backend& backend, Precision precision,
                                                            const std::string& where) {
    for (const float inner : {kPoison, kInfinite, kFarLeft, 40.0f}) {
      Layers layers(backend, precision, inner);
      for (const Activation activation : kActivations) {
        if (inner == kFarLeft && !ends_on_the_left(activation)) continue;
        const float* const x = layers.rows_of(kHidden, kRows, 0);
        const float* const dy = layers.rows_of(kHidden, kRows, 1);
        float* const sum = layers.rows_of(kInner, kRows, kPoison);
        float* const inner_values = layers.rows_of(kInner, kRows, kPoison);
        float* const dinner = layers.rows_of(kInner, kRows, kPoison);
        float* const y = layers.rows_of(kHidden, kRows, kPoison);
        const int64_t stride = row_stride(kHidden), inner_stride = row_stride(kInner);
        const std::vector<bool> all(kRows, true), none(kRows, false);
        const bool expected = inner < kHuge || (inner >= kHuge && ends_on_the_right(activation));
        const auto result = [&] {
          backend.linear_forward(y, stride, inner_values, inner_stride, *layers.down, Activation::kIdentity,
                                 kRows);
          return layers.are_numbers(y, kHidden, kRows);
        };
        backend.linear_activation_forward(inner_values, sum, x, *layers.up, activation, kRows);
        EXPECT(result() == (expected ? all : none), what_of(activation, inner, where));
        backend.linear_activation_backward(dinner, inner_values, dy, *layers.down_transposed, sum, activation,
                                           kRows);
        EXPECT(result() == (expected ? all : none), what_of(activation, inner, where), " again");
        if (!expected) continue;
        backend.linear_forward(y, stride, dinner, inner_stride, *layers.down, Activation::kIdentity, kRows);
        EXPECT(layers.are_numbers(y, kHidden, kRows) == all, "gradient of ",
               what_of(activation, inner, where));
      }
    }
  });
}

}  // namespace albert::test
