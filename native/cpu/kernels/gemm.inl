// Products of rows with packed weights: register tiles over the whole depth, and the epilogues that finish a
// tile.

// Lanes of a row that one lane of a panel meets.
template <Precision kPrecision>
constexpr int kRowLanes = kPrecision == Precision::kBf16 ? kBf16RowLanes : 1;

// sum + x . w for every lane, where x is the lane number kPart of those that w meets.
template <Precision kPrecision, int kPart>
inline Lanes dot(Lanes x, Lanes w, Lanes sum) {
  if constexpr (kPrecision == Precision::kFp32) return as_lanes(fma(as_vec(x), as_vec(w), as_vec(sum)));
  if constexpr (kPrecision == Precision::kBf16) return dot_bf16<kPart>(x, w, sum);
  if constexpr (kPrecision == Precision::kInt8) return dot_int8(x, w, sum);
}

// One lane of depth of dot_tile's rows: x + r * x_row times the vectors at w.
template <Precision kPrecision, int kRows, int kVectors, int kPart>
inline void dot_step(Lanes (&sum)[kRows][kVectors], const Lane* x, int64_t x_row, const Lane* w) {
  Lanes weight[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) weight[v] = load_lanes(w + v * kWidth);
#pragma GCC unroll 32
  for (int r = 0; r < kRows; ++r) {
    const Lanes value = broadcast_lane(x + r * x_row);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[r][v] = dot<kPrecision, kPart>(value, weight[v], sum[r][v]);
  }
}

// sums[r][v] = sum over l of x(r, l) . w(l, v), one chain over l for each element, so the tile's shape never
// shows in the result. x(r, l) = x[r * x_row + l * x_depth], or two such lanes; w(l, v) = w[l * w_depth +
// v * kWidth ..]. The sums live in a local array that nothing else touches, which lets the compiler keep them
// in registers.
template <Precision kPrecision, int kRows, int kVectors>
inline void dot_tile(Lane* sums, const Lane* x, int64_t x_row, int64_t x_depth, const Lane* w,
                     int64_t w_depth, int64_t depth) {
  Lanes sum[kRows][kVectors];
#pragma GCC unroll 32
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[r][v] = zero_lanes();
#pragma GCC unroll 4
  for (int64_t l = 0; l < depth; ++l) {
    dot_step<kPrecision, kRows, kVectors, 0>(sum, x, x_row, w);
    if constexpr (kRowLanes<kPrecision> == 2)
      dot_step<kPrecision, kRows, kVectors, 1>(sum, x + x_depth, x_row, w);
    x += kRowLanes<kPrecision> * x_depth;
    w += w_depth;
  }
#pragma GCC unroll 32
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) store_lanes(sums + (r * kVectors + v) * kWidth, sum[r][v]);
}

// dot_tile for a number of rows known at run time, 1 to kTileRows.
template <Precision kPrecision, int kVectors, int kRows = kTileRows>
inline void dot_rows(int64_t rows, Lane* sums, const Lane* x, int64_t x_row, int64_t x_depth, const Lane* w,
                     int64_t w_depth, int64_t depth) {
  if (rows == kRows)
    dot_tile<kPrecision, kRows, kVectors>(sums, x, x_row, x_depth, w, w_depth, depth);
  else if constexpr (kRows > 1)
    dot_rows<kPrecision, kVectors, kRows - 1>(rows, sums, x, x_row, x_depth, w, w_depth, depth);
}

constexpr int64_t kPanelWidth = kTileVectors * kWidth;

// How many of a task's last `left` rows the next tile takes. What is more than one tile and less than two is
// halved, as a tile of one or two rows waits for its own sums. Where more than half a tile runs as a whole
// one (kFillsTiles), halves would only waste more.
inline int64_t next_rows(int64_t left) {
  const bool halves = !kFillsTiles && left > kTileRows && left < 2 * kTileRows;
  return halves ? (left + 1) / 2 : std::min<int64_t>(kTileRows, left);
}

// The tile of `rows` rows and one panel.
template <Precision kPrecision>
inline void panel_tile(int64_t rows, bool spare_rows, Lane* sums, const Lane* x, int64_t x_stride,
                       const Lane* panel, int64_t depth, const Lane* ahead) {
  if constexpr (has_whole_tile(kPrecision)) {
    if (rows == kTileRows || (kFillsTiles && spare_rows && rows > kTileRows / 2))
      return whole_tile<kPrecision>(sums, x, x_stride, panel, depth, ahead);
    dot_rows<kPrecision, kTileVectors, kTileRows - 1>(rows, sums, x, x_stride, 1, panel, kPanelWidth, depth);
  } else {
    dot_rows<kPrecision, kTileVectors>(rows, sums, x, x_stride, 1, panel, kPanelWidth, depth);
  }
}

// Epilogues. begin() names a vector of columns [column, column + count) and a row; put() finishes one vector
// after another down the rows. What they need of the task is copied, as a store might change the task for all
// that the compiler knows.
template <typename Function, typename T>
struct StoreActivation {
  explicit StoreActivation(const LinearTask& task) : y(static_cast<T*>(task.y)), stride(task.y_stride) {}
  void begin(int64_t row, int64_t column, int64_t valid) { at = y + row * stride + column, count = valid; }
  void put(Vec v) {
    store_some(at, Function::apply(v), count);
    at += stride;
  }
  T *y, *at = nullptr;
  int64_t stride, count = 0;
};

struct AddResidual {
  explicit AddResidual(const LinearTask& task) : y(static_cast<float*>(task.y)), stride(task.y_stride) {}
  void begin(int64_t row, int64_t column, int64_t valid) { at = y + row * stride + column, count = valid; }
  void put(Vec v) {
    store_some(at, add(v, load_some(at, count)), count);
    at += stride;
  }
  float *y, *at = nullptr;
  int64_t stride, count = 0;
};

// Scatters columns to query, key and value of their head. A vector may straddle heads when D is no multiple
// of kWidth: each part of it goes to a head.
template <typename T>
struct StoreHeads {
  explicit StoreHeads(const LinearTask& task)
      : heads(task.heads), head_rows(task.head_rows), first_row(task.first_row) {}

  T* element(int64_t row, int64_t c) const {
    const int64_t hidden = heads.heads * heads.size, inner = c % hidden;
    T* matrix = static_cast<T*>(c < hidden ? heads.query : c < 2 * hidden ? heads.key : heads.value);
    return matrix + (inner / heads.size * head_rows + first_row + row) * heads.stride + inner % heads.size;
  }
  void begin(int64_t row, int64_t column, int64_t valid) {
    count = valid;
    parts = 0;
    for (int64_t lane = 0, end; lane < valid; lane = end) {
      end = std::min(valid, lane + heads.size - (column + lane) % heads.size);
      part[parts++] = {element(row, column + lane), lane, end};
    }
  }
  void put(Vec v) {
    if (parts == 1) {
      store_some(part[0].at, v, count);
      part[0].at += heads.stride;
      return;
    }
    for (int64_t i = 0; i < parts; ++i) {
      store_part(part[i].at, v, part[i].begin, part[i].end);
      part[i].at += heads.stride;
    }
  }
  struct Part {
    T* at;
    int64_t begin, end;  // lanes of the vector
  };
  const Heads heads;
  int64_t head_rows, first_row, count = 0, parts = 0;
  Part part[kWidth] = {};
};

// The part of the next panel that the tile at `row` fetches into L2 while it multiplies. The first tile of a
// panel would wait for memory otherwise, where the weights of a layer are larger than the share of L3 that
// neighbours leave. A tile that has nothing to fetch names its own panel, which is on its way anyway; so do
// all where one or two tiles a panel leave no time to be early.
inline const Lane* panel_ahead(const LinearTask& task, int64_t panel, int64_t row) {
  const int64_t size = task.depth * kPanelWidth, part = task.depth / 4 * kAheadLanes, tile = row / kTileRows;
  const Lane* own = task.panels + panel * size;
  if (panel + 1 == task.panel_end || task.rows <= 2 * kTileRows || (tile + 1) * part > size) return own;
  return own + size + tile * part;
}

// Panels outside, row tiles inside: a panel is read from L2 or L3 once and used by every row of the task.
template <Precision kPrecision, typename Finish>
void linear_with(const LinearTask& task, Finish finish) {
  alignas(64) Lane sums[kTileRows * kPanelWidth];
  alignas(64) Lane outliers[kPrecision == Precision::kInt8 ? kTileRows * kPanelWidth : 1];
  for (int64_t panel = task.panel_begin; panel < task.panel_end; ++panel) {
    const Lane* weights = task.panels + panel * task.depth * kPanelWidth;
    for (int64_t row = 0, rows; row < task.rows; row += rows) {
      rows = next_rows(task.rows - row);
      panel_tile<kPrecision>(rows, task.spare_rows, sums, task.x + row * task.x_stride, task.x_stride,
                             weights, task.depth, panel_ahead(task, panel, row));
      if constexpr (kPrecision == Precision::kInt8)
        if (task.outliers)
          dot_rows<Precision::kBf16, kTileVectors>(
              rows, outliers, task.outliers + row * task.outlier_stride, task.outlier_stride, 1,
              task.outlier_panels + panel * task.outlier_depth * kPanelWidth, kPanelWidth,
              task.outlier_depth);
      for (int64_t v = 0; v < kTileVectors; ++v) {
        const int64_t column = panel * kPanelWidth + v * kWidth, count = std::min(kWidth, task.out - column);
        if (count <= 0) break;
        const Vec bias = load(task.bias + column);
        const Lane* sum = sums + v * kWidth;
        finish.begin(row, column, count);
        if constexpr (kPrecision == Precision::kInt8) {
          const Vec column_scale = load(task.column_scale + column),
                    column_sum = load(task.column_sum + column);
          const float *row_scale = task.row_scale + row, *row_offset = task.row_offset + row;
          const Lane* outlier = task.outliers ? outliers + v * kWidth : nullptr;
          for (int64_t r = 0; r < rows; ++r, sum += kPanelWidth) {
            Vec y = fma(mul(to_float(load_lanes(sum)), broadcast(row_scale[r])), column_scale,
                        fma(broadcast(row_offset[r]), column_sum, bias));
            if (outlier) y = add(y, as_vec(load_lanes(outlier + r * kPanelWidth)));
            finish.put(y);
          }
        } else {
          for (int64_t r = 0; r < rows; ++r, sum += kPanelWidth)
            finish.put(add(as_vec(load_lanes(sum)), bias));
        }
      }
    }
  }
}

template <Precision kPrecision, typename T>
void linear_activation(const LinearTask& task) {
  with_activation<std::is_same_v<T, float>>(task.activation, [&](auto function) {
    linear_with<kPrecision>(task, StoreActivation<decltype(function), T>(task));
  });
}

template <Precision kPrecision>
void linear(const LinearTask& task) {
  switch (task.epilogue) {
    case Epilogue::kResidual:
      return linear_with<kPrecision>(task, AddResidual(task));
    case Epilogue::kHeads:
      if (kPrecision == Precision::kFp32 || task.heads.precision == Precision::kFp32)
        return linear_with<kPrecision>(task, StoreHeads<float>(task));
      return linear_with<kPrecision>(task, StoreHeads<Bf16>(task));
    case Epilogue::kActivation:
      break;
  }
  if constexpr (kPrecision != Precision::kFp32)
    if (task.y_is_bf16) return linear_activation<kPrecision, Bf16>(task);
  linear_activation<kPrecision, float>(task);
}
