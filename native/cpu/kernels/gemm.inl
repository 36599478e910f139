// Products of rows with packed weights: register tiles over the whole depth, and the epilogues that finish a
// tile.

// acc[r][v] = sum over k of x(r, k) * w(k, v), one chain over k for each element, so the tile's shape never
// shows in the result. x(r, k) = x[r * x_row + k * x_depth]; w(k, v) = w[k * w_depth + v * kWidth ..]. The
// sums live in a local array that nothing else touches, which lets the compiler keep them in registers.
template <int kRows, int kVectors>
inline void dot_tile(float* acc, const float* x, int64_t x_row, int64_t x_depth, const float* w,
                     int64_t w_depth, int64_t depth) {
  Vec sum[kRows][kVectors];
#pragma GCC unroll 32
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[r][v] = zero();
#pragma GCC unroll 4
  for (int64_t k = 0; k < depth; ++k) {
    Vec weight[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) weight[v] = load(w + v * kWidth);
#pragma GCC unroll 32
    for (int r = 0; r < kRows; ++r) {
      const Vec value = broadcast(x[r * x_row]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[r][v] = fma(value, weight[v], sum[r][v]);
    }
    x += x_depth;
    w += w_depth;
  }
#pragma GCC unroll 32
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) store(acc + (r * kVectors + v) * kWidth, sum[r][v]);
}

// dot_tile for a number of rows known at run time, 1 to kTileRows.
template <int kVectors, int kRows = kTileRows>
inline void dot_rows(int64_t rows, float* acc, const float* x, int64_t x_row, int64_t x_depth, const float* w,
                     int64_t w_depth, int64_t depth) {
  if (rows == kRows)
    dot_tile<kRows, kVectors>(acc, x, x_row, x_depth, w, w_depth, depth);
  else if constexpr (kRows > 1)
    dot_rows<kVectors, kRows - 1>(rows, acc, x, x_row, x_depth, w, w_depth, depth);
}

inline void store_some(float* p, Vec v, int64_t count) {
  if (count >= kWidth)
    store(p, v);
  else
    store_first(p, v, count);
}

// Epilogues. begin() names a vector of columns [column, column + count); put() finishes one row of it.
template <typename Function>
struct StoreActivation {
  const LinearTask& task;
  float* column = nullptr;
  int64_t count = 0;
  void begin(int64_t first, int64_t valid) { column = task.y + first, count = valid; }
  void put(int64_t row, Vec v) { store_some(column + row * task.y_stride, Function::apply(v), count); }
};

struct AddResidual {
  const LinearTask& task;
  float* column = nullptr;
  int64_t count = 0;
  void begin(int64_t first, int64_t valid) { column = task.y + first, count = valid; }
  void put(int64_t row, Vec v) {
    float* y = column + row * task.y_stride;
    if (count >= kWidth)
      store(y, add(v, load(y)));
    else
      store_first(y, add(v, load_first(y, count)), count);
  }
};

// Scatters columns to query, key and value of their head. A vector may straddle heads when D is no multiple
// of kWidth.
struct StoreHeads {
  const LinearTask& task;
  float* column = nullptr;  // of row 0, when the vector lies in one head
  int64_t first = 0, count = 0;

  float* element(int64_t c) const {
    const Heads& heads = task.heads;
    const int64_t hidden = heads.heads * heads.size, inner = c % hidden;
    float* matrix = c < hidden ? heads.query : c < 2 * hidden ? heads.key : heads.value;
    return matrix + (inner / heads.size * task.head_rows + task.first_row) * heads.stride +
           inner % heads.size;
  }
  void begin(int64_t begin, int64_t valid) {
    first = begin, count = valid;
    column = begin % task.heads.size + valid <= task.heads.size ? element(begin) : nullptr;
  }
  void put(int64_t row, Vec v) {
    if (column) return store_some(column + row * task.heads.stride, v, count);
    float lanes[kWidth];
    store(lanes, v);
    for (int64_t i = 0; i < count; ++i) element(first + i)[row * task.heads.stride] = lanes[i];
  }
};

// Panels outside, row tiles inside: a panel is read from L2 or L3 once and used by every row of the task.
template <typename Finish>
void linear_with(const LinearTask& task, Finish finish) {
  constexpr int64_t kPanel = kTileVectors * kWidth;
  alignas(64) float acc[kTileRows * kPanel];
  for (int64_t panel = task.panel_begin; panel < task.panel_end; ++panel) {
    const float* weights = task.panels + panel * task.in * kPanel;
    const int64_t first = panel * kPanel;
    for (int64_t row = 0; row < task.rows; row += kTileRows) {
      const int64_t rows = std::min<int64_t>(kTileRows, task.rows - row);
      dot_rows<kTileVectors>(rows, acc, task.x + row * task.x_stride, task.x_stride, 1, weights, kPanel,
                             task.in);
      for (int64_t v = 0; v < kTileVectors; ++v) {
        const int64_t column = first + v * kWidth, count = std::min(kWidth, task.out - column);
        if (count <= 0) break;
        const Vec bias = load(task.bias + column);
        finish.begin(column, count);
        for (int64_t r = 0; r < rows; ++r)
          finish.put(row + r, add(load(acc + (r * kTileVectors + v) * kWidth), bias));
      }
    }
  }
}

void linear(const LinearTask& task) {
  switch (task.epilogue) {
    case Epilogue::kResidual:
      return linear_with(task, AddResidual{task});
    case Epilogue::kHeads:
      return linear_with(task, StoreHeads{task});
    case Epilogue::kActivation:
      break;
  }
  switch (task.activation) {
    case Activation::kIdentity:
      return linear_with(task, StoreActivation<Identity>{task});
    case Activation::kGelu:
      return linear_with(task, StoreActivation<Gelu>{task});
    case Activation::kGeluNew:
      return linear_with(task, StoreActivation<GeluNew>{task});
    case Activation::kRelu:
      return linear_with(task, StoreActivation<Relu>{task});
    case Activation::kSilu:
      return linear_with(task, StoreActivation<Silu>{task});
    case Activation::kTanh:
      return linear_with(task, StoreActivation<Tanh>{task});
  }
}
