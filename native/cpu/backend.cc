// Memory, scheduling and products of the CPU backend.
#include "cpu/backend.h"

#include "support/half.h"

namespace albert {
namespace cpu {
namespace {

const CpuPackedLinear& packed(const PackedLinear& weights) {
  return static_cast<const CpuPackedLinear&>(weights);
}

// The columns of x that int8 leaves out, as rows of a bf16 product.
void gather_outliers(Lane* lanes, int64_t stride, const OperandTask& task,
                     const std::vector<int32_t>& columns, bool in_pairs) {
  static_assert(kMaxOutliers % 2 == 0, "an odd last value has a zero beside it");
  Bf16 values[kMaxOutliers] = {};
  const size_t count = columns.size() + columns.size() % 2;
  for (int64_t r = 0; r < task.rows; ++r, lanes += stride) {
    for (size_t i = 0; i < columns.size(); ++i) {
      const int64_t at = r * task.x_stride + columns[i];
      values[i] = task.x_is_bf16 ? static_cast<const Bf16*>(task.x)[at]
                                 : f32_to_bf16(static_cast<const float*>(task.x)[at]);
    }
    if (in_pairs)
      std::memcpy(lanes, values, count * sizeof(Bf16));
    else
      for (size_t i = 0; i < count; ++i) lanes[i] = static_cast<Lane>(values[i]) << 16;
  }
}

}  // namespace

// ---- memory

std::unique_ptr<PackedLinear> CpuBackend::pack(const std::vector<LinearSource>& sources, int64_t in,
                                               const LinearFormat& format) {
  auto weights = std::make_unique<CpuPackedLinear>(sources, in, format, false, kernels_);
  repack(*weights, sources);
  return weights;
}

std::unique_ptr<PackedLinear> CpuBackend::pack_transposed(const std::vector<LinearSource>& sources,
                                                          int64_t in, Precision precision) {
  auto weights =
      std::make_unique<CpuPackedLinear>(sources, in, LinearFormat{precision, {}, {}}, true, kernels_);
  repack(*weights, sources);
  return weights;
}

void CpuBackend::repack(PackedLinear& weights, const std::vector<LinearSource>& sources) {
  CpuPackedLinear& linear = static_cast<CpuPackedLinear&>(weights);
  for_items(linear.panel_count(), [&](CpuBackend&, int64_t panel) { linear.fill(sources, panel); });
}

void CpuBackend::reserve(const BackendLimits& limits) {
  const Precision precision = precision_ = limits.precision;
  const int64_t rows = pool_ ? std::min(kMaxSharedRows, kRowsPerThread * threads()) : row_block(precision);
  scratch_rows_ = rows + kernels_.tile_rows;
  const auto allocate_rows = [&](int64_t width) {
    return allocate_floats(static_cast<size_t>(scratch_rows_ * width));
  };
  inner_ = allocate_rows(row_stride(limits.max_width) / (precision == Precision::kFp32 ? 1 : 2));
  if (precision != Precision::kFp32)
    operand_ = allocate_rows(row_stride(lanes_of(std::max(limits.max_width, limits.max_depth), precision) *
                                        kernels_.row_lanes(precision)));
  if (precision == Precision::kInt8) {
    row_scale_ = allocate_rows(2);
    outliers_ = allocate_rows(lanes_of(kMaxOutliers, Precision::kBf16) * kernels_.bf16_row_lanes);
  }
  for (auto& worker : workers_) worker->reserve(limits);
  if (!pool_) {
    int64_t lanes =
        kernels_.attention_scratch(head_stride(limits.head_size, Precision::kBf16), limits.max_length);
    if (limits.training)
      lanes = std::max(lanes, kernels_.attention_backward_scratch(
                                  head_stride(limits.head_size, Precision::kFp32), limits.max_length));
    attention_scratch_ = allocate_floats(static_cast<size_t>(lanes));
  }
  if (limits.training) reserve_training(limits);
}

// ---- scheduling

ShardPlan CpuBackend::plan(const Segments& segments) const {
  ShardPlan best{1, segments.rows(), {0, static_cast<int32_t>(segments.count)}};
  double least = shared_cost(precision_) * cost_of(segments.rows()) / threads();
  for (const int64_t rows : kShardRows) {
    ShardPlan plan = shards_of(segments, rows);
    const double cost = cost_of(plan, segments);
    if (cost < least) least = cost, best = std::move(plan);
  }
  return best;
}

// Each of at least so many rows, but the last.
ShardPlan CpuBackend::shards_of(const Segments& segments, int64_t least_rows) const {
  ShardPlan plan;
  plan.workers = threads();
  plan.begin.push_back(0);
  for (int64_t s = 0; s < segments.count; ++s) {
    const int64_t rows = segments.row_begin[s + 1] - segments.row_begin[plan.begin.back()];
    if (rows < least_rows && s + 1 < segments.count) continue;
    plan.begin.push_back(static_cast<int32_t>(s + 1));
    plan.max_rows = std::max(plan.max_rows, rows);
  }
  return plan;
}

// In rows' worth of time of one thread.
double CpuBackend::cost_of(int64_t rows) const {
  return static_cast<double>(rows) +
         kRowsOfBlock * static_cast<double>(divide_up(rows, row_block(precision_)));
}

// What the busiest of the threads that draw shards in order would get.
double CpuBackend::cost_of(const ShardPlan& plan, const Segments& segments) const {
  std::vector<double> load(static_cast<size_t>(threads()), 0);
  for (size_t i = 0; i + 1 < plan.begin.size(); ++i)
    *std::min_element(load.begin(), load.end()) +=
        cost_of(segments.row_begin[plan.begin[i + 1]] - segments.row_begin[plan.begin[i]]);
  return *std::max_element(load.begin(), load.end());
}

void CpuBackend::run(const ShardPlan& plan, const ShardBody& body) {
  const int64_t shards = static_cast<int64_t>(plan.begin.size()) - 1;
  if (plan.workers == 1) {
    for (int64_t shard = 0; shard < shards; ++shard) body(*this, 0, shard);
    return;
  }
  std::atomic<int64_t> next{0};
  auto work = [&](int worker) {
    for (int64_t shard; (shard = next.fetch_add(1)) < shards;) body(*workers_[worker], worker, shard);
  };
  pool_->run(work);
}

// ---- products

LinearTask rows_of(const LinearTask& task, int64_t begin, int64_t end) {
  LinearTask part = task;
  part.x += begin * task.x_stride;
  if (task.row_scale) part.row_scale += begin, part.row_offset += begin;
  if (task.outliers) part.outliers += begin * task.outlier_stride;
  const size_t element = task.y_is_bf16 ? sizeof(Bf16) : sizeof(float);
  if (task.y) part.y = static_cast<char*>(task.y) + static_cast<size_t>(begin * task.y_stride) * element;
  part.first_row += begin;
  part.rows = end - begin;
  return part;
}

LinearTask CpuBackend::product(const PackedLinear& weights, const Matrix& x, int64_t rows) {
  const CpuPackedLinear& linear = packed(weights);
  LinearTask task = linear.task();
  task.rows = rows;
  const bool multiplied_as_it_is =
      linear.precision == Precision::kFp32 ||
      (linear.precision == Precision::kBf16 && x.is_bf16 && kernels_.multiplies_bf16());
  if (multiplied_as_it_is) {
    task.x = static_cast<const Lane*>(x.values);
    task.x_stride = x.stride / values_per_lane(linear.precision);
    task.spare_rows = x.spare_rows;
    return task;
  }
  OperandTask convert{};
  convert.x_is_bf16 = x.is_bf16;
  convert.x_stride = x.stride;
  convert.input_scale = linear.input_scale();
  convert.width = linear.in;
  convert.lane_stride = row_stride(linear.row_lanes());
  if (linear.precision == Precision::kInt8) {
    task.row_scale = convert.row_scale = row_scale_;
    task.row_offset = convert.row_offset = row_scale_ + scratch_rows_;
  }
  for_parts(rows, [&](int64_t begin, int64_t end) {
    OperandTask part = convert;
    part.x = x.from(begin).values;
    part.lanes = reinterpret_cast<Lane*>(operand_) + begin * part.lane_stride;
    if (part.row_scale) part.row_scale += begin, part.row_offset += begin;
    part.rows = end - begin;
    kernels_.operand[static_cast<int>(linear.precision)](part);
    if (!linear.outliers().empty())
      gather_outliers(reinterpret_cast<Lane*>(outliers_) + begin * task.outlier_stride, task.outlier_stride,
                      part, linear.outliers(), kernels_.multiplies_bf16());
  });
  if (!linear.outliers().empty()) task.outliers = reinterpret_cast<const Lane*>(outliers_);
  task.x = reinterpret_cast<const Lane*>(operand_);
  task.x_stride = convert.lane_stride;
  task.spare_rows = true;
  return task;
}

// Threads share a product by panels, and by rows too where that leaves the busiest of them less to do.
void CpuBackend::run(const LinearTask& task, Precision precision) {
  const auto linear = kernels_.linear[static_cast<int>(precision)];
  if (!pool_) return linear(task);
  const int64_t tile = kernels_.tile_rows, tiles = divide_up(task.rows, tile), panels = task.panel_end;
  int64_t row_parts = 1, least = tiles * panels;
  for (int64_t parts = 1; parts <= std::min<int64_t>(threads(), tiles); ++parts) {
    const int64_t work = divide_up(tiles, parts) * divide_up(panels, threads() / parts);
    if (work < least) row_parts = parts, least = work;
  }
  const int64_t panel_parts = std::min(panels, threads() / row_parts);
  for_items(row_parts * panel_parts, [&](CpuBackend&, int64_t item) {
    const int64_t row_part = item / panel_parts, panel_part = item % panel_parts;
    const int64_t begin = tiles * row_part / row_parts * tile;
    LinearTask part = rows_of(task, begin, std::min(task.rows, tiles * (row_part + 1) / row_parts * tile));
    part.panel_begin = panels * panel_part / panel_parts;
    part.panel_end = panels * (panel_part + 1) / panel_parts;
    linear(part);
  });
}

void CpuBackend::normalise(float* x, const LayerNormWeights& norm, int64_t width, int64_t rows) {
  const int64_t stride = row_stride(width);
  for_parts(rows, [&](int64_t begin, int64_t end) {
    kernels_.layernorm(x + begin * stride, stride, x + begin * stride, stride, norm, width, end - begin);
  });
}

}  // namespace cpu

std::unique_ptr<Backend> make_cpu_backend(const std::string& isa, int threads) {
  return std::make_unique<cpu::CpuBackend>(cpu::select_kernels(isa),
                                           threads > 0 ? threads : cpu::available_threads());
}

}  // namespace albert
