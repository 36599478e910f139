// Attention in training, forward and backward, against double precision: heads that tiles divide and do not,
// sequences of every length around a tile, rows that are no keys, with and without dropout.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "backends.h"
#include "ops.h"
#include "support/error.h"
#include "support/half.h"
#include "support/rng.h"
#include "test.h"

namespace albert::test {
namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

struct Lengths {
  std::vector<int32_t> rows, keys;
};

// Heads of a batch, the gradient of their context, and what became of both.
struct AttentionCase {
  AttentionCase(const Lengths& lengths, int64_t head_count, int64_t head_size)
      : keys(lengths.keys), count(head_count), size(head_size), stride(size + 3), hidden(count * size) {
    for (int32_t length : lengths.rows) begin.push_back(begin.back() + length);
    rows = begin.back();
    dcontext.assign(static_cast<size_t>(rows * row_stride(hidden)), kPoison);
    heads.assign(static_cast<size_t>(3 * count * rows * stride), kPoison);
  }

  float* head_row(int part, int64_t head, int64_t row) {
    return heads.data() + ((part * count + head) * rows + row) * stride;
  }
  float* dcontext_row(int64_t head, int64_t row) {
    return dcontext.data() + row * row_stride(hidden) + head * size;
  }
  void fill() {
    for (int64_t head = 0; head < count; ++head)
      for (int64_t row = 0; row < rows; ++row) {
        for (int part = 0; part < 3; ++part) {
          const Floats values = random_floats(size);
          std::copy(values.begin(), values.end(), head_row(part, head, row));
        }
        const Floats values = random_floats(size);
        std::copy(values.begin(), values.end(), dcontext_row(head, row));
      }
  }

  // Where the backend computes, so that it may leave results in a form of its own.
  void run(Backend& backend, Precision products, const Dropout& dropout) {
    const Segments segments{static_cast<int64_t>(keys.size()), begin.data(), keys.data()};
    const Precision precision = backend.training_heads(products, size);
    const int64_t there_stride = backend.head_stride(size, precision);
    std::vector<float*> memory;
    const auto on_device = [&](const Floats& values) {
      memory.push_back(backend.allocate(values.size()));
      backend.upload(memory.back(), values.data(), values.size());
      return memory.back();
    };
    const auto part = [&](int which) {
      Floats values(static_cast<size_t>(count * rows * there_stride), kPoison);
      auto* const halves = reinterpret_cast<uint16_t*>(values.data());
      for (int64_t i = 0; i < count * rows; ++i)
        for (int64_t d = 0; d < size; ++d) {
          const float value = head_row(which, 0, 0)[i * stride + d];
          if (precision == Precision::kBf16)
            halves[i * there_stride + d] = f32_to_bf16(value);
          else
            values[static_cast<size_t>(i * there_stride + d)] = value;
        }
      return on_device(values);
    };
    const Heads view{part(0), part(1), part(2), count, size, there_stride, precision};
    float* const to = on_device(Floats(static_cast<size_t>(rows * row_stride(hidden)), kPoison));
    float* const dto = on_device(Floats(static_cast<size_t>(rows * row_stride(3 * hidden)), kPoison));
    const auto values_of = [&](const float* matrix, int64_t width) {
      Floats values(static_cast<size_t>(rows * width));
      backend.gather_rows(values.data(), width, matrix, row_stride(width), nullptr, width, rows);
      return values;
    };
    backend.attention_forward(to, nullptr, view, segments, dropout);
    context = values_of(to, hidden);
    backend.attention_backward(dto, on_device(dcontext), view, segments, dropout);
    dqkv = values_of(dto, 3 * hidden);
    for (float* block : memory) backend.release(block);
  }

  // Of the context, and of the gradients of query, key and value: [A, N, D].
  Floats result(int which) const {
    Floats values;
    for (int64_t head = 0; head < count; ++head)
      for (int64_t row = 0; row < rows; ++row) {
        const float* const from = which == 0
                                      ? context.data() + row * hidden + head * size
                                      : dqkv.data() + row * 3 * hidden + (which - 1) * hidden + head * size;
        values.insert(values.end(), from, from + size);
      }
    return values;
  }

  std::vector<int32_t> begin{0}, keys;
  int64_t count, size, stride, hidden, rows;
  Floats heads, dcontext, context, dqkv;
};

double keep(const Dropout& dropout, int64_t row, int64_t column) {
  const Philox4 words = philox(dropout.seed, dropout.stream,
                               static_cast<uint64_t>(row) << 16 | static_cast<uint64_t>(column / 4));
  return words.word[column % 4] >= dropout.probability * 0x1p32 ? 1 / (1.0 - dropout.probability) : 0;
}

// What result() should be.
std::vector<Doubles> truth_of(AttentionCase& at, const Dropout& dropout) {
  std::vector<Doubles> truth(4, Doubles(static_cast<size_t>(at.count * at.rows * at.size)));
  const double scale = 1 / std::sqrt(static_cast<double>(at.size));
  for (int64_t head = 0; head < at.count; ++head)
    for (size_t s = 0; s < at.keys.size(); ++s)
      for (int64_t row = at.begin[s]; row < at.begin[s + 1]; ++row) {
        const auto of = [&](int which, int64_t r) {
          return truth[static_cast<size_t>(which)].data() + (head * at.rows + r) * at.size;
        };
        const auto dot = [&](const float* a, const float* b) {
          double sum = 0;
          for (int64_t d = 0; d < at.size; ++d) sum += static_cast<double>(a[d]) * b[d];
          return sum;
        };
        const float* const query = at.head_row(0, head, row);
        const float* const dcontext = at.dcontext_row(head, row);
        const int64_t keys = at.keys[s];
        Doubles p, kept, dp;
        double sum = 0, shared = 0;
        for (int64_t k = 0; k < keys; ++k) {
          p.push_back(std::exp(scale * dot(query, at.head_row(1, head, at.begin[s] + k))));
          sum += p.back();
          kept.push_back(dropout.probability > 0 ? keep(dropout, head * at.rows + row, k) : 1);
          dp.push_back(kept.back() * dot(dcontext, at.head_row(2, head, at.begin[s] + k)));
        }
        for (int64_t k = 0; k < keys; ++k) shared += (p[k] /= sum) * dp[k];
        for (int64_t k = 0; k < keys; ++k) {
          const double dscore = scale * p[k] * (dp[k] - shared);
          const int64_t key = at.begin[s] + k;
          for (int64_t d = 0; d < at.size; ++d) {
            of(0, row)[d] += p[k] * kept[k] * at.head_row(2, head, key)[d];
            of(1, row)[d] += dscore * at.head_row(1, head, key)[d];
            of(2, key)[d] += dscore * query[d];
            of(3, key)[d] += p[k] * kept[k] * dcontext[d];
          }
        }
      }
  return truth;
}

double relative_error(const Floats& values, const Doubles& truth) {
  double error = 0, size = 0;
  for (size_t i = 0; i < truth.size(); ++i) {
    error += (values[i] - truth[i]) * (values[i] - truth[i]);
    size += truth[i] * truth[i];
  }
  return std::sqrt(error / size);
}

template <typename Body>
void on_every_training_backend(const Body& body) {
  for (const Processor& processor : processors())
    for (Precision precision : {Precision::kFp32, Precision::kBf16}) {
      const std::unique_ptr<Backend> backend = make_backend(processor.device, precision, processor.isa, 2);
      BackendLimits limits;
      limits.precision = precision;
      limits.max_width = 1024;
      limits.max_length = 256;
      limits.head_size = 160;
      limits.training = true;
      backend->reserve(limits);
      body(*backend, precision, str(" in ", to_string(precision), " on ", processor.name()));
    }
}

constexpr const char* kResults[] = {"context", "dquery", "dkey", "dvalue"};

}  // namespace

TEST(attention_in_training_against_double_precision) {
  struct Truth {
    AttentionCase at;
    Dropout dropout;
    std::vector<Doubles> results;
  };
  std::vector<Truth> truths;
  for (int64_t size : {26, 33, 64, 128, 130})
    for (float probability : {0.0f, 0.3f}) {
      AttentionCase at({{1, 17, 64, 65, 130, 5, 70}, {1, 17, 64, 65, 130, 0, 66}}, 2, size);
      at.fill();
      const Dropout dropout{probability, random_engine()(), 7};
      truths.push_back({at, dropout, truth_of(at, dropout)});
    }
  on_every_training_backend([&](Backend& backend, Precision precision, const std::string& where) {
    for (const Truth& truth : truths) {
      AttentionCase at = truth.at;
      at.run(backend, precision, truth.dropout);
      for (size_t which = 0; which < 4; ++which) {
        const double error = relative_error(at.result(static_cast<int>(which)), truth.results[which]);
        const double tolerance = precision == Precision::kFp32 ? 1e-5 : 1e-2;
        EXPECT(error < tolerance, kResults[which], " of heads of ", at.size, ", p ",
               truth.dropout.probability, where, ": relative error ", error);
      }
    }
  });
}

TEST(attention_gradients_of_a_sequence_do_not_depend_on_its_neighbours) {
  const std::vector<int32_t> rows{9, 100, 64, 81}, keys{9, 100, 0, 70};
  on_every_training_backend([&](Backend& backend, Precision precision, const std::string& where) {
    const int64_t size = 48;
    AttentionCase all({rows, keys}, 2, size);
    all.fill();
    all.run(backend, precision, {});
    for (size_t s = 0; s < rows.size(); ++s) {
      AttentionCase alone({{rows[s]}, {keys[s]}}, 2, size);
      for (int64_t head = 0; head < 2; ++head)
        for (int64_t r = 0; r < rows[s]; ++r) {
          for (int part = 0; part < 3; ++part)
            std::copy_n(all.head_row(part, head, all.begin[s] + r), size, alone.head_row(part, head, r));
          std::copy_n(all.dcontext_row(head, all.begin[s] + r), size, alone.dcontext_row(head, r));
        }
      alone.run(backend, precision, {});
      for (int which = 0; which < 4; ++which) {
        const Floats together = all.result(which), apart = alone.result(which);
        for (int64_t head = 0; head < 2; ++head) {
          const float* const from = together.data() + (head * all.rows + all.begin[s]) * size;
          const float* const to = apart.data() + head * rows[s] * size;
          EXPECT(!std::memcmp(from, to, static_cast<size_t>(rows[s] * size) * sizeof(float)), kResults[which],
                 " of sequence ", s, where);
        }
        for (int64_t r = keys[s]; which > 1 && r < rows[s]; ++r)
          for (int64_t d = 0; d < size; ++d)
            EXPECT(apart[static_cast<size_t>(r * size + d)] == 0, kResults[which], " of a row that is no key",
                   where);
      }
    }
  });
}

// A row that is no key stands in its tile with scores of 0, far above those of the keys.
TEST(attention_gradients_where_all_scores_are_far_below_zero) {
  on_every_training_backend([&](Backend& backend, Precision precision, const std::string& where) {
    for (int64_t size : {48, 128, 130}) {
      AttentionCase at({{70}, {66}}, 2, size);
      at.fill();
      for (int64_t head = 0; head < at.count; ++head)
        for (int64_t row = 0; row < at.rows; ++row)
          for (int64_t d = 0; d < size; ++d) {
            at.head_row(0, head, row)[d] += 8;
            at.head_row(1, head, row)[d] -= 8;
          }
      at.run(backend, precision, {});
      for (int which = 0; which < 4; ++which)
        for (float value : at.result(which))
          EXPECT(std::isfinite(value), kResults[which], " of heads of ", size, where);
      for (int which : {2, 3}) {
        const Floats values = at.result(which);
        for (int64_t head = 0; head < at.count; ++head)
          for (int64_t i = (head * at.rows + at.keys[0]) * size; i < (head + 1) * at.rows * size; ++i)
            EXPECT(values[static_cast<size_t>(i)] == 0, kResults[which], " of a row that is no key", where);
      }
    }
  });
}

}  // namespace albert::test
