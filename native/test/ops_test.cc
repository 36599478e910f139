// Every operation of every backend against a double-precision reference: odd shapes, fresh inputs, poisoned
// outputs.
#include <cmath>
#include <limits>
#include <map>
#include <random>

#include "activations.h"
#include "backends.h"
#include "ops.h"
#include "support/error.h"
#include "support/half.h"
#include "test.h"

namespace albert::test {
namespace {

// Max-norm, relative to the largest value or to one, the scale of the inputs: where terms cancel, a small sum
// keeps the error of large ones. fp32: a chain of 300 additions. bf16: factors of 8 bits, after a
// sum of 300. int8: the same with factors of 1/255 of a row and 1/127 of a column.
double tolerance(Precision precision) {
  return precision == Precision::kFp32 ? 4e-6 : precision == Precision::kBf16 ? 8e-3 : 3e-2;
}
// Where the reference rounds its factors too. The offset of an int8 row times the sum of a column may be
// larger than the result.
constexpr double kSumTolerance = 1e-5;

// Rows with the padded stride of activations; what lies between them is poison.
struct Rows {
  Rows(int64_t count, int64_t width, bool filled)
      : width(width), stride(row_stride(width)), data(count * stride, kPoison) {
    if (!filled) return;
    const std::vector<float> values = random_floats(static_cast<size_t>(count * width));
    for (int64_t r = 0; r < count; ++r)
      std::copy_n(values.begin() + r * width, width, data.begin() + r * stride);
  }
  float& at(int64_t r, int64_t c) { return data[r * stride + c]; }
  int64_t width, stride;
  std::vector<float> data;
};

// Where int8 products add pairs in 16 bits, which must not overflow: rows have 225 steps instead of 255, and
// two neighbouring weights of one sign 144 together.
bool in_pairs(const Backend& backend) {
  const std::string isa = backend.isa();
  return isa == "avx2" || isa == "avx512_base";
}

// A row of activations as a product of this precision sees it.
void round_row(float* x, int64_t width, Precision precision, bool in_pairs) {
  if (precision == Precision::kBf16)
    for (int64_t k = 0; k < width; ++k) x[k] = bf16_to_f32(f32_to_bf16(x[k]));
  if (precision != Precision::kInt8) return;
  const float steps = in_pairs ? 225 : 255;
  const float least = *std::min_element(x, x + width), range = *std::max_element(x, x + width) - least;
  for (int64_t k = 0; k < width && range > 0; ++k)
    x[k] = std::nearbyint((x[k] - least) * (steps / range)) * (range / steps) + least;
}

void expect_close(const std::vector<double>& truth, const std::vector<float>& values, const std::string& what,
                  double tolerance = test::tolerance(Precision::kFp32)) {
  double largest = 1, error = 0;
  for (double value : truth) largest = std::max(largest, std::fabs(value));
  for (size_t i = 0; i < truth.size(); ++i) {
    const double difference = std::fabs(truth[i] - values[i]);
    if (!(difference <= error))
      error = std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference;
  }
  EXPECT(error / largest <= tolerance, what, ": relative error ", error / largest);
}

std::vector<float> visible(const Rows& rows, int64_t count) {
  std::vector<float> values;
  for (int64_t r = 0; r < count; ++r)
    values.insert(values.end(), rows.data.begin() + r * rows.stride,
                  rows.data.begin() + r * rows.stride + rows.width);
  return values;
}

struct Linear {
  Linear(int64_t in, int64_t out)
      : in(in),
        out(out),
        weight(random_floats(static_cast<size_t>(in * out), 1 / std::sqrt(static_cast<float>(in)))),
        bias(random_floats(static_cast<size_t>(out))) {}
  double dot(const float* x, int64_t o) const {
    double sum = bias[o];
    for (int64_t k = 0; k < in; ++k) sum += static_cast<double>(x[k]) * weight[o * in + k];
    return sum;
  }
  LinearSource source() const { return {weight.data(), bias.data(), out}; }
  // The layer as a product of this precision sees it.
  Linear rounded_to(Precision precision, bool in_pairs) const {
    Linear rounded = *this;
    if (precision == Precision::kBf16)
      for (float& w : rounded.weight) w = bf16_to_f32(f32_to_bf16(w));
    if (precision == Precision::kInt8)
      for (int64_t o = 0; o < out; ++o) {
        float* row = rounded.weight.data() + o * in;
        float largest = 0;
        for (int64_t k = 0; k < in; ++k) largest = std::max(largest, std::fabs(row[k]));
        for (int64_t k = 1; in_pairs && k < in; k += 2)
          if (row[k - 1] * row[k] > 0)
            largest = std::max(largest, std::fabs(row[k - 1] + row[k]) * (127 / 144.0f));
        for (int64_t k = 0; k < in; ++k)
          row[k] = static_cast<float>(std::lrint(row[k] * (127 / largest))) * (largest / 127);
      }
    return rounded;
  }
  int64_t in, out;
  std::vector<float> weight, bias;
};

struct Norm {
  explicit Norm(int64_t width)
      : weight(random_floats(static_cast<size_t>(width))), bias(random_floats(static_cast<size_t>(width))) {}
  LayerNormWeights view() const { return {weight.data(), bias.data(), 1e-12f}; }
  void apply(std::vector<double>& row) const {
    double mean = 0, variance = 0;
    for (double x : row) mean += x / static_cast<double>(row.size());
    for (double x : row) variance += (x - mean) * (x - mean) / static_cast<double>(row.size());
    for (size_t i = 0; i < row.size(); ++i)
      row[i] = (row[i] - mean) / std::sqrt(variance + 1e-12) * weight[i] + bias[i];
  }
  std::vector<float> weight, bias;
};

const std::vector<Precision> kEveryPrecision{Precision::kFp32, Precision::kBf16, Precision::kInt8};

}  // namespace

TEST(linear_with_every_activation_and_odd_shapes) {
  on_every_backend(kEveryPrecision, [](Backend& backend, Precision precision, const std::string& where) {
    for (const auto& [in, out] :
         {std::pair<int64_t, int64_t>{1, 1}, {13, 52}, {48, 97}, {300, 49}, {64, 240}}) {
      const Linear layer(in, out);
      const Linear reference = layer.rounded_to(precision, in_pairs(backend));
      const auto packed = backend.pack({layer.source()}, in, {precision, {}, {}});
      for (int64_t rows : {1, 5, 8, 23, 131, 517}) {
        if (rows == 517 && in > 48)
          continue;  // a GPU has a kernel of its own for many rows, whatever their width
        for (Activation activation : {Activation::kIdentity, Activation::kGelu, Activation::kGeluNew,
                                      Activation::kRelu, Activation::kSilu, Activation::kTanh}) {
          Rows x(rows, in, true), y(rows, out, false);
          backend.linear_forward(y.data.data(), y.stride, x.data.data(), x.stride, *packed, activation, rows);
          // The truth has rounded factors: what is left is the error of the sums.
          std::vector<double> truth;
          for (int64_t r = 0; r < rows; ++r) {
            round_row(&x.at(r, 0), in, precision, in_pairs(backend));
            for (int64_t o = 0; o < out; ++o)
              truth.push_back(activate(activation, reference.dot(&x.at(r, 0), o)));
          }
          expect_close(truth, visible(y, rows), str("linear ", rows, "x", in, "x", out, " on ", where),
                       kSumTolerance);
          for (int64_t r = 0; r < rows; ++r)
            EXPECT(std::isnan(y.at(r, out)), "a row was written past its end on ", where);
        }
      }
    }
  });
}

TEST(embedding) {
  on_every_backend({Precision::kFp32}, [](Backend& backend, Precision, const std::string& where) {
    for (int64_t rows : {1, 7, 150}) {
      const int64_t width = 13;
      const std::vector<float> words = random_floats(97 * width), positions = random_floats(40 * width),
                               types = random_floats(2 * width);
      const Norm norm(width);
      const EmbeddingWeights weights{words.data(), positions.data(), types.data(), norm.view(), width};
      std::vector<int32_t> id, type, position;
      std::vector<double> truth;
      for (int64_t r = 0; r < rows; ++r) {
        id.push_back(static_cast<int32_t>(random_engine()() % 97));
        type.push_back(static_cast<int32_t>(random_engine()() % 2));
        position.push_back(static_cast<int32_t>(random_engine()() % 40));
        std::vector<double> row;
        for (int64_t i = 0; i < width; ++i)
          row.push_back(static_cast<double>(words[id[r] * width + i]) + types[type[r] * width + i] +
                        positions[position[r] * width + i]);
        norm.apply(row);
        truth.insert(truth.end(), row.begin(), row.end());
      }
      Rows y(rows, width, false);
      backend.embedding_forward(y.data.data(), nullptr, id.data(), type.data(), position.data(), weights,
                                rows);
      expect_close(truth, visible(y, rows), str("embedding of ", rows, " rows on ", where));
    }
  });
}

TEST(residual_and_feed_forward) {
  on_every_backend(kEveryPrecision, [](Backend& backend, Precision precision, const std::string& where) {
    for (int64_t rows : {1, 30, 131}) {
      const int64_t hidden = 52, inner = 99;
      const Linear up(hidden, inner), down(inner, hidden);
      const Norm norm(hidden);
      const auto packed_up = backend.pack({up.source()}, hidden, {precision, {}, {}}),
                 packed_down = backend.pack({down.source()}, inner, {precision, {}, {}});
      Rows x(rows, hidden, true), input(rows, inner, true), y = x;
      std::vector<double> residual, feed_forward;
      for (int64_t r = 0; r < rows; ++r) {
        std::vector<double> row;
        for (int64_t o = 0; o < hidden; ++o) row.push_back(down.dot(&input.at(r, 0), o) + x.at(r, o));
        norm.apply(row);
        residual.insert(residual.end(), row.begin(), row.end());
        std::vector<float> middle;
        for (int64_t i = 0; i < inner; ++i)
          middle.push_back(static_cast<float>(activate(Activation::kGeluNew, up.dot(&x.at(r, 0), i))));
        for (int64_t o = 0; o < hidden; ++o) row[o] = down.dot(middle.data(), o) + x.at(r, o);
        norm.apply(row);
        feed_forward.insert(feed_forward.end(), row.begin(), row.end());
      }
      backend.linear_residual_layernorm_forward(y.data.data(), input.data.data(), *packed_down, norm.view(),
                                                rows);
      expect_close(residual, visible(y, rows), str("linear_residual_layernorm of ", rows, " rows on ", where),
                   tolerance(precision));
      backend.feed_forward_forward(x.data.data(), *packed_up, Activation::kGeluNew, *packed_down, norm.view(),
                                   rows);
      expect_close(feed_forward, visible(x, rows), str("feed_forward of ", rows, " rows on ", where),
                   tolerance(precision));
    }
  });
}

float head_value(const void* matrix, Precision precision, int64_t index) {
  if (precision == Precision::kFp32) return static_cast<const float*>(matrix)[index];
  return bf16_to_f32(static_cast<const uint16_t*>(matrix)[index]);
}

// Ragged sequences, one of them empty and one with a row that is no key, with and without a selection of
// queries.
TEST(qkv_and_attention) {
  on_every_backend(kEveryPrecision, [](Backend& backend, Precision precision, const std::string& where) {
    for (const auto& [head_count, size] :
         {std::pair<int64_t, int64_t>{4, 12}, {2, 26}, {3, 64}, {3, 13}, {1, 70}}) {
      const Precision of_heads = backend.inference_heads(precision);
      const int64_t hidden = head_count * size, stride = backend.head_stride(size, of_heads);
      const std::vector<int32_t> begin{0, 5, 5, 75, 76, 179}, keys{5, 0, 70, 1, 102};
      const std::vector<int32_t> queries{0, 4, 0, 33, 69, 0, 102}, query_begin{0, 2, 2, 5, 6, 7};
      const int64_t rows = begin.back();
      const Linear q(hidden, hidden), k(hidden, hidden), v(hidden, hidden);
      const Linear output(hidden, hidden);
      const Norm norm(hidden);
      const auto packed = backend.pack({q.source(), k.source(), v.source()}, hidden, {precision, {}, {}}),
                 packed_output = backend.pack({output.source()}, hidden, {precision, {}, {}});
      Rows x(rows, hidden, true);
      const int64_t matrix = head_count * rows * stride;
      std::vector<float> matrices(static_cast<size_t>(3 * matrix), kPoison);
      const int64_t words = of_heads == Precision::kFp32 ? matrix : matrix / 2;
      Heads heads{
          matrices.data(), matrices.data() + words, matrices.data() + 2 * words, head_count, size, stride,
          of_heads};
      backend.qkv_forward(heads, x.data.data(), *packed, rows);

      const Linear* layers[] = {&q, &k, &v};
      const void* parts[] = {heads.query, heads.key, heads.value};
      std::vector<double> projected_truth;
      std::vector<float> projected;
      for (int part = 0; part < 3; ++part)
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t c = 0; c < hidden; ++c) {
            projected_truth.push_back(layers[part]->dot(&x.at(r, 0), c));
            projected.push_back(head_value(parts[part], of_heads, (c / size * rows + r) * stride + c % size));
          }
      expect_close(projected_truth, projected, str("qkv of ", head_count, " heads of ", size, " on ", where),
                   tolerance(precision));

      for (bool selected : {false, true}) {
        Segments segments{5, begin.data(), keys.data(), selected ? queries.data() : nullptr,
                          selected ? query_begin.data() : nullptr};
        const int64_t results = selected ? query_begin.back() : rows;
        Rows context(results, hidden, false);
        std::vector<double> truth, weight_truth;
        for (int64_t s = 0; s < 5; ++s)
          for (int64_t head = 0; head < head_count; ++head)
            for (int64_t i = 0; i < segments.query_count(s); ++i) {
              const int64_t row = segments.first_row(s) + (selected ? queries[query_begin[s] + i] : i);
              const auto value = [&](const void* of, int64_t r, int64_t d) {
                return static_cast<double>(head_value(of, of_heads, (head * rows + r) * stride + d));
              };
              std::vector<double> weights;
              double largest = -1e30, sum = 0;
              for (int64_t key = 0; key < keys[s]; ++key) {
                double score = 0;
                for (int64_t d = 0; d < size; ++d)
                  score += value(heads.query, row, d) * value(heads.key, segments.first_row(s) + key, d);
                weights.push_back(score / std::sqrt(static_cast<double>(size)));
                largest = std::max(largest, weights.back());
              }
              for (double& w : weights) sum += w = std::exp(w - largest);
              for (double& w : weights) weight_truth.push_back(w / sum);
              truth.resize(static_cast<size_t>(results * hidden));
              for (int64_t d = 0; d < size; ++d) {
                double total = 0;
                for (int64_t key = 0; key < keys[s]; ++key)
                  total += weights[key] / sum * value(heads.value, segments.first_row(s) + key, d);
                truth[(segments.first_query(s) + i) * hidden + head * size + d] = total;
              }
            }
        std::vector<float> probabilities(weight_truth.size(), kPoison);
        backend.attention_forward(context.data.data(), probabilities.data(), heads, segments, {});
        const std::string what = str("attention of ", head_count, " heads of ", size,
                                     selected ? ", selected," : "", " on ", where);
        expect_close(truth, visible(context, results), what, tolerance(of_heads));
        expect_close(weight_truth, probabilities, what + ": probabilities", tolerance(of_heads));

        Rows stream(results, hidden, true);
        std::vector<double> stream_truth;
        for (int64_t r = 0; r < results; ++r) {
          const auto of_row = truth.begin() + r * hidden;
          const std::vector<float> input(of_row, of_row + hidden);
          std::vector<double> row;
          for (int64_t o = 0; o < hidden; ++o) row.push_back(output.dot(input.data(), o) + stream.at(r, o));
          norm.apply(row);
          stream_truth.insert(stream_truth.end(), row.begin(), row.end());
        }
        std::fill(context.data.begin(), context.data.end(), kPoison);
        backend.attention_linear_residual_layernorm_forward(stream.data.data(), context.data.data(), nullptr,
                                                            heads, segments, *packed_output, norm.view());
        expect_close(stream_truth, visible(stream, results), what + " and its output", tolerance(precision));
      }
    }
  });
}

TEST(layernorm_and_gather) {
  on_every_backend({Precision::kFp32}, [](Backend& backend, Precision, const std::string& where) {
    for (int64_t width : {1, 16, 52, 313}) {
      Rows x(9, width, true), y(9, width, false), z(2, width, false);
      const Norm norm(width);
      backend.layernorm_forward(y.data.data(), y.stride, x.data.data(), x.stride, norm.view(), width, 9);
      std::vector<double> truth;
      for (int64_t r = 0; r < 9; ++r) {
        std::vector<double> row(&x.at(r, 0), &x.at(r, 0) + width);
        norm.apply(row);
        truth.insert(truth.end(), row.begin(), row.end());
      }
      expect_close(truth, visible(y, 9), str("layernorm of width ", width, " on ", where));
      const int32_t rows[] = {8, 3};
      backend.gather_rows(z.data.data(), z.stride, x.data.data(), x.stride, rows, width, 2);
      EXPECT(z.at(0, width - 1) == x.at(8, width - 1) && z.at(1, 0) == x.at(3, 0), "gather_rows on ", where);

      const int32_t row_begin[] = {0, 4, 4, 9}, keys[] = {4, 0, 5}, queries[] = {3, 1, 0, 4},
                    query_begin[] = {0, 2, 2, 4}, of_query[] = {3, 1, 4, 8};
      Rows picked(4, width, true);
      backend.gather_queries(picked.data.data(), x.data.data(), {3, row_begin, keys, queries, query_begin},
                             width);
      for (int64_t r = 0; r < 4; ++r)
        EXPECT(picked.at(r, 0) == x.at(of_query[r], 0) &&
                   picked.at(r, width - 1) == x.at(of_query[r], width - 1),
               "gather_queries on ", where);
    }
  });
}

// Sums of whole numbers have no rounding, so instruction sets that round weights alike may only differ in the
// last digits.
TEST(int8_products_agree_on_every_isa) {
  const int64_t in = 199, out = 131, rows = 37;
  const Linear layer(in, out);
  const Rows x(rows, in, true);
  std::vector<float> spread = random_floats(in, 4);
  for (float& value : spread) value = std::fabs(value);
  std::map<bool, std::vector<double>> firsts;
  for (const std::string& isa : cpu_info().available) {
    const std::unique_ptr<Backend> backend = make_cpu_backend(isa, 1);
    BackendLimits limits;
    limits.precision = Precision::kInt8;
    limits.max_width = in;
    backend->reserve(limits);
    const auto packed = backend->pack({layer.source()}, in, {Precision::kInt8, spread, {}});
    Rows y(rows, out, false);
    backend->linear_forward(y.data.data(), y.stride, x.data.data(), x.stride, *packed, Activation::kIdentity,
                            rows);
    const std::vector<float> values = visible(y, rows);
    std::vector<double>& first = firsts[in_pairs(*backend)];
    if (first.empty()) first.assign(values.begin(), values.end());
    expect_close(first, values, str("int8 on ", isa, " against the first alike"), kSumTolerance);
  }
}

// All of a row but one value at its upper end, all weights of a column at one end: the largest sums there
// are.
TEST(int8_products_do_not_saturate) {
  on_every_backend({Precision::kInt8}, [](Backend& backend, Precision, const std::string& where) {
    const int64_t in = 42, out = 35, rows = 13;
    Linear layer(in, out);
    for (int64_t i = 0; i < in * out; ++i) layer.weight[i] = i / in % 2 ? -1 : 1;
    Rows x(rows, in, false), y(rows, out, false);
    std::vector<double> truth;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t k = 0; k < in; ++k) x.at(r, k) = k == 2 * r ? 0 : 1;
      for (int64_t o = 0; o < out; ++o) truth.push_back(layer.dot(&x.at(r, 0), o));
    }
    const auto packed = backend.pack({layer.source()}, in, {Precision::kInt8, {}, {}});
    backend.linear_forward(y.data.data(), y.stride, x.data.data(), x.stride, *packed, Activation::kIdentity,
                           rows);
    expect_close(truth, visible(y, rows), str("int8 at its ends on ", where), 1e-2);
  });
}

// Inputs a thousand times wider than the others are multiplied in bf16 and leave the others their digits.
TEST(int8_products_keep_outliers_apart) {
  on_every_backend({Precision::kInt8}, [](Backend& backend, Precision, const std::string& where) {
    const int64_t in = 67, out = 101, rows = 19;
    const Linear layer(in, out);
    for (const std::vector<int32_t>& outliers :
         {std::vector<int32_t>{0}, {5, 66}, {1, 2, 3}, std::vector<int32_t>{63, 64, 65, 66}}) {
      Linear others = layer, apart = layer.rounded_to(Precision::kBf16, false);
      std::fill(apart.bias.begin(), apart.bias.end(), 0.0f);
      Rows x(rows, in, true);
      for (int64_t k = 0; k < in; ++k) {
        const bool is_outlier = std::count(outliers.begin(), outliers.end(), k) > 0;
        for (int64_t o = 0; o < out; ++o) (is_outlier ? others : apart).weight[o * in + k] = 0;
        for (int64_t r = 0; is_outlier && r < rows; ++r) x.at(r, k) *= 1000;
      }
      const Linear rounded = others.rounded_to(Precision::kInt8, in_pairs(backend));
      const auto packed = backend.pack({layer.source()}, in, {Precision::kInt8, {}, outliers});
      Rows y(rows, out, false);
      backend.linear_forward(y.data.data(), y.stride, x.data.data(), x.stride, *packed, Activation::kIdentity,
                             rows);
      std::vector<double> truth;
      for (int64_t r = 0; r < rows; ++r) {
        std::vector<float> usual(&x.at(r, 0), &x.at(r, 0) + in), wide = usual;
        for (const int32_t k : outliers) usual[k] = 0;
        round_row(usual.data(), in, Precision::kInt8, in_pairs(backend));
        round_row(wide.data(), in, Precision::kBf16, false);
        for (int64_t o = 0; o < out; ++o)
          truth.push_back(rounded.dot(usual.data(), o) + apart.dot(wide.data(), o));
      }
      expect_close(truth, visible(y, rows), str("int8 with ", outliers.size(), " outliers on ", where),
                   kSumTolerance);
    }
  });
}

// Whole sequences in order, none left out, and no shard of more rows than the plan says.
TEST(plans_cover_every_sequence) {
  on_every_backend({Precision::kFp32}, [](Backend& backend, Precision, const std::string& where) {
    for (const std::vector<int32_t>& lengths :
         {std::vector<int32_t>{5}, {0, 3, 0}, std::vector<int32_t>(900, 200), {70000, 1, 65536, 2}}) {
      std::vector<int32_t> begin{0};
      for (int32_t length : lengths) begin.push_back(begin.back() + length);
      const Segments segments{static_cast<int64_t>(lengths.size()), begin.data(), lengths.data(), nullptr,
                              nullptr};
      const ShardPlan plan = backend.plan(segments);
      EXPECT(plan.begin.front() == 0 && plan.begin.back() == segments.count, where);
      int64_t most = 0;
      for (size_t i = 0; i + 1 < plan.begin.size(); ++i) {
        EXPECT(plan.begin[i] < plan.begin[i + 1], where, ": an empty shard");
        most = std::max<int64_t>(most, begin[plan.begin[i + 1]] - begin[plan.begin[i]]);
      }
      EXPECT(most <= plan.max_rows, where, ": ", most, " rows in a shard of ", plan.max_rows);
      if (std::string(backend.device()) == "cuda" && segments.count == 900)
        EXPECT(plan.begin.size() > 3, where, ": one pass over ", begin.back(), " rows");
    }
  });
}

TEST(unknown_isa_is_refused_by_name) {
  const std::string message = refusal([] { make_cpu_backend("mmx", 1); }, ErrorCode::kDevice);
  EXPECT(message.find("'mmx'") != std::string::npos, message);
}

}  // namespace albert::test
