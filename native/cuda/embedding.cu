// Rows by index: gathered, scattered back, and the gradient of the embedding tables.
#include <algorithm>
#include <numeric>

#include "cuda/backend.h"
#include "cuda/common.cuh"

namespace albert::cuda {
namespace {

constexpr int kThreads = 128;
// Rows of one index that one block adds up, before its blocks are added in order.
constexpr int64_t kRunRows = 128;

__global__ void __launch_bounds__(kThreads)
    gather_kernel(float* y, int64_t y_stride, const float* x, int64_t x_stride, const int32_t* rows,
                  int64_t width) {
  const int64_t r = blockIdx.x, from = rows ? rows[r] : r;
  for (int64_t i = threadIdx.x; i < width; i += kThreads) y[r * y_stride + i] = x[from * x_stride + i];
}

__global__ void __launch_bounds__(kThreads)
    scatter_add_kernel(float* x, int64_t x_stride, const float* y, int64_t y_stride, const int32_t* rows,
                       int64_t width) {
  const int64_t r = blockIdx.x, to = rows[r];
  for (int64_t i = threadIdx.x; i < width; i += kThreads) x[to * x_stride + i] += y[r * y_stride + i];
}

// Rows order[run_begin[b]] to order[run_begin[b + 1] - 1] have one index.
__global__ void __launch_bounds__(kThreads)
    run_sums_kernel(float* partial, const float* x, int64_t x_stride, const int32_t* order,
                    const int32_t* run_begin, int64_t width) {
  const int64_t run = blockIdx.x;
  for (int64_t i = threadIdx.x; i < width; i += kThreads) {
    float sum = 0;
    for (int32_t r = run_begin[run]; r < run_begin[run + 1]; ++r) sum += x[order[r] * x_stride + i];
    partial[run * width + i] = sum;
  }
}

// Runs group_begin[g] to group_begin[g + 1] - 1 belong to row index[g] of the table.
__global__ void __launch_bounds__(kThreads)
    add_runs_kernel(float* table, const float* partial, const int32_t* index, const int32_t* group_begin,
                    int64_t width) {
  const int64_t group = blockIdx.x;
  for (int64_t i = threadIdx.x; i < width; i += kThreads) {
    float sum = 0;
    for (int32_t run = group_begin[group]; run < group_begin[group + 1]; ++run)
      sum += partial[run * width + i];
    table[index[group] * width + i] += sum;
  }
}

// table[indices[r]] += x[r], the rows of one index in their order.
void add_rows_by_index(float* table, const float* x, int64_t x_stride, const int32_t* indices, int64_t width,
                       int64_t rows, Operation& operation) {
  std::vector<int32_t> order(static_cast<size_t>(rows)), index, group_begin, run_begin;
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return indices[a] < indices[b]; });
  for (int64_t r = 0; r < rows; ++r) {
    const bool starts = r == 0 || indices[order[r]] != indices[order[r - 1]];
    if (starts) {
      index.push_back(indices[order[r]]);
      group_begin.push_back(static_cast<int32_t>(run_begin.size()));
    }
    if (starts || r - run_begin.back() == kRunRows) run_begin.push_back(static_cast<int32_t>(r));
  }
  const int64_t groups = static_cast<int64_t>(index.size()), runs = static_cast<int64_t>(run_begin.size());
  group_begin.push_back(static_cast<int32_t>(runs));
  run_begin.push_back(static_cast<int32_t>(rows));
  float* const partial = operation.scratch<float>(runs * width);
  launch(run_sums_kernel, dim3(static_cast<unsigned>(runs)), kThreads, 0, operation.stream(), partial, x,
         x_stride, operation.upload(order.data(), rows), operation.upload(run_begin.data(), runs + 1), width);
  launch(add_runs_kernel, dim3(static_cast<unsigned>(groups)), kThreads, 0, operation.stream(), table,
         partial, operation.upload(index.data(), groups), operation.upload(group_begin.data(), groups + 1),
         width);
}

}  // namespace

void CudaBackend::embedding_backward(const EmbeddingGradient& gradient, const float* dsum, const int32_t* ids,
                                     const int32_t* types, const int32_t* positions, int64_t width,
                                     int64_t rows) {
  Operation operation(memory_);
  const int64_t stride = row_stride(width);
  const float* const from = operation.in(dsum, stride, width, rows);
  const auto add = [&](float* table, const int32_t* indices) {
    const int64_t count = rows ? *std::max_element(indices, indices + rows) + 1 : 0;
    add_rows_by_index(operation.in_out(table, width, width, count), from, stride, indices, width, rows,
                      operation);
  };
  add(gradient.word, ids);
  add(gradient.position, positions);
  add(gradient.type, types);
  operation.finish();
}

void CudaBackend::gather_queries(float* y, const float* x, const Segments& segments, int64_t width) {
  Operation operation(memory_);
  const int64_t stride = row_stride(width);
  const DeviceSegments& on_gpu = segments_on_device(segments, operation);
  const float* const from = operation.in(x, stride, width, on_gpu.total_rows);
  float* const to = operation.out(y, stride, width, on_gpu.total_queries);
  launch(gather_kernel, dim3(static_cast<unsigned>(on_gpu.total_queries)), kThreads, 0, operation.stream(),
         to, stride, from, stride, on_gpu.query_row, width);
  operation.finish();
}

void CudaBackend::gather_rows(float* y, int64_t y_stride, const float* x, int64_t x_stride,
                              const int32_t* rows, int64_t width, int64_t count) {
  Operation operation(memory_);
  if (count == 0) return;
  const int64_t from_rows = rows ? *std::max_element(rows, rows + count) + 1 : count;
  float* const to = operation.out(y, y_stride, width, count);
  const float* const from = operation.in(x, x_stride, width, from_rows);
  launch(gather_kernel, dim3(static_cast<unsigned>(count)), kThreads, 0, operation.stream(), to, y_stride,
         from, x_stride, rows ? operation.upload(rows, count) : nullptr, width);
  operation.finish();
}

void CudaBackend::scatter_add_rows(float* x, int64_t x_stride, const float* y, int64_t y_stride,
                                   const int32_t* rows, int64_t width, int64_t count) {
  Operation operation(memory_);
  if (count == 0) return;
  float* const to = operation.in_out(x, x_stride, width, *std::max_element(rows, rows + count) + 1);
  const float* const from = operation.in(y, y_stride, width, count);
  launch(scatter_add_kernel, dim3(static_cast<unsigned>(count)), kThreads, 0, operation.stream(), to,
         x_stride, from, y_stride, operation.upload(rows, count), width);
  operation.finish();
}

}  // namespace albert::cuda
