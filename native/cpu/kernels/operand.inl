// Rows of activations and columns of weights as bf16 or int8 products multiply them.

template <typename T>
inline Vec load_some(const T* p, int64_t count) {
  return count >= kWidth ? load(p) : load_first(p, count);
}

template <typename T>
inline void store_some(T* p, Vec v, int64_t count) {
  if (count >= kWidth)
    store(p, v);
  else
    store_first(p, v, count);
}

// The lanes [begin, end) of v, from p on. AVX-512 has its own.
template <typename T>
inline void store_part(T* p, Vec v, int64_t begin, int64_t end) {
  T values[kWidth];
  store(values, v);
  std::copy(values + begin, values + end, p);
}

// Two values a lane.
inline void bf16_pairs(Lane* lanes, const float* x, int64_t width) {
  Bf16* out = reinterpret_cast<Bf16*>(lanes);
  if (width % 2) out[width] = 0;
  for (int64_t i = 0; i < width; i += kWidth) {
    const int64_t count = std::min(kWidth, width - i);
    store_some(out + i, load_some(x + i, count), count);
  }
}

// A value in the upper half of each lane: fp32.
template <typename T>
inline void bf16_singles(Lane* lanes, const T* x, int64_t width) {
  if (width % 2) lanes[width] = 0;
  for (int64_t i = 0; i < width; i += kWidth)
    store_lanes(lanes + i, pair_bf16(zero(), load_some(x + i, width - i)));
}

void bf16_operand(const OperandTask& task) {
  for (int64_t r = 0; r < task.rows; ++r) {
    Lane* lanes = task.lanes + r * task.lane_stride;
    const float* x = static_cast<const float*>(task.x) + r * task.x_stride;
    if constexpr (kBf16RowLanes == 1)
      bf16_pairs(lanes, x, task.width);
    else if (task.x_is_bf16)
      bf16_singles(lanes, static_cast<const Bf16*>(task.x) + r * task.x_stride, task.width);
    else
      bf16_singles(lanes, x, task.width);
  }
}

void bf16_weights(WeightTask& task) { bf16_pairs(task.lanes, task.weights, task.in); }

// Added to a float below 2^22, it leaves no bits for a fraction: the sum is rounded to an integer.
constexpr float kNoFraction = 0x1.8p23f;

// Steps between the ends of an int8 row. Sums of two products that pass through 16 bits must stay below 2^15:
// 225 x 145, the shares of a row's value and of two weights, between which errors were least
// (docs/cpu-kernels.md).
constexpr float kRowSteps = kPairsIn16Bits ? 225 : 255;

// weight = scale * q with q in -127..127, rounded to nearest.
void int8_weights(WeightTask& task) {
  const auto weight = [&](int64_t k, int64_t count) {
    const Vec w = load_some(task.weights + k, count);
    return task.factors ? mul(w, load_some(task.factors + k, count)) : w;
  };
  float largest = 0, pair[2] = {0, 0};
  for (int64_t k = 0; k < task.in; k += kWidth) {
    const int64_t count = std::min(kWidth, task.in - k);
    float values[kWidth];
    store(values, weight(k, count));
    for (int64_t i = 0; i < count; ++i) {
      largest = std::max(largest, std::fabs(values[i]));
      // Two neighbours of one sign get 144 steps together, 145 after rounding.
      pair[(k + i) % 2] = values[i];
      if (kPairsIn16Bits && (k + i) % 2 == 1 && (pair[0] > 0) == (pair[1] > 0))
        largest = std::max(largest, std::fabs(pair[0] + pair[1]) * (127 / 144.0f));
    }
  }
  task.scale = largest / 127;
  const Vec inverse = broadcast(largest > 0 ? 127 / largest : 0);
  uint8_t* out = reinterpret_cast<uint8_t*>(task.lanes);
  int32_t sum = 0;
  for (int64_t k = 0; k < task.in; k += kWidth) {
    const int64_t count = std::min(kWidth, task.in - k);
    // As q + 128, which is what the bytes of activations look like; the highest bit turned makes it q. 128 is
    // added to the integer: before, it would push a fraction near one half over to the other side.
    const Vec q = add(mul(weight(k, count), inverse), broadcast(kNoFraction));
    store_bytes(out + k, sub(q, broadcast(kNoFraction - 128)), count);
    for (int64_t i = k; i < k + count; ++i) {
      sum += out[i] - 128;
      out[i] ^= 0x80;
    }
  }
  task.sum = task.scale * static_cast<float>(sum);
  for (int64_t k = task.in; k % 4; ++k) out[k] = 0;
}

// x = scale * q + offset with q in 0..kRowSteps and the offset the row's smallest value, a float: no integer
// zero point, so both ends of the row are used whatever its sign. Where a value is no number, neither is the
// scale: minima and maxima pass by NaN.
template <bool kScaled, typename T>
inline void int8_row(const OperandTask& task, const T* x, uint8_t* out, float& scale_of_row, float& offset) {
  const int64_t whole = task.width / (4 * kWidth) * (4 * kWidth);
  const auto input = [&](int64_t i, int64_t count) {
    const Vec v = load_some(x + i, count);
    return kScaled ? mul(v, load_some(task.input_scale + i, count)) : v;
  };
  Vec low[4], high[4], nothing[4];  // zero times each value: zero, or NaN
  for (int v = 0; v < 4; ++v) {
    low[v] = broadcast(std::numeric_limits<float>::infinity());
    high[v] = broadcast(-std::numeric_limits<float>::infinity());
    nothing[v] = zero();
  }
  for (int64_t i = 0; i < whole; i += 4 * kWidth)
    for (int v = 0; v < 4; ++v) {
      const Vec value = input(i + v * kWidth, kWidth);
      low[v] = min(low[v], value);
      high[v] = max(high[v], value);
      nothing[v] = fma(value, zero(), nothing[v]);
    }
  float least = reduce_min(min(min(low[0], low[1]), min(low[2], low[3])));
  float most = reduce_max(max(max(high[0], high[1]), max(high[2], high[3])));
  float unknown = reduce_add(add(add(nothing[0], nothing[1]), add(nothing[2], nothing[3])));
  for (int64_t i = whole; i < task.width; i += kWidth) {
    const int64_t count = std::min(kWidth, task.width - i);
    float values[kWidth];
    store(values, input(i, count));
    for (int64_t k = 0; k < count; ++k) {
      least = std::min(least, values[k]);
      most = std::max(most, values[k]);
      unknown += 0 * values[k];
    }
  }

  const float range = most - least + unknown;
  scale_of_row = range / kRowSteps;
  offset = least;
  const Vec inverse = broadcast(range > 0 ? kRowSteps / range : 0), minus = broadcast(-least);
  for (int64_t i = 0; i < task.width; i += kWidth) {
    const int64_t count = std::min(kWidth, task.width - i);
    store_bytes(out + i, mul(add(input(i, count), minus), inverse), count);
  }
  for (int64_t i = task.width; i % 4; ++i) out[i] = 0;
  if constexpr (kSignedRows) {
    offset += 128 * scale_of_row;
    for (int64_t i = 0; i < lanes_of(task.width, Precision::kInt8) * 4; ++i) out[i] ^= 0x80;
  }
}

template <typename T>
inline void int8_rows(const OperandTask& task) {
  const T* x = static_cast<const T*>(task.x);
  for (int64_t r = 0; r < task.rows; ++r, x += task.x_stride) {
    uint8_t* out = reinterpret_cast<uint8_t*>(task.lanes + r * task.lane_stride);
    if (task.input_scale)
      int8_row<true>(task, x, out, task.row_scale[r], task.row_offset[r]);
    else
      int8_row<false>(task, x, out, task.row_scale[r], task.row_offset[r]);
  }
}

void int8_operand(const OperandTask& task) {
  if (task.x_is_bf16)
    int8_rows<Bf16>(task);
  else
    int8_rows<float>(task);
}
