// Making bf16 tiles from fp32 matrices of the device.
#pragma once

#include "cuda/tiles.cuh"

namespace albert::cuda {

// Rows of y from `first_row` on become x [rows, width], zero past `width`.
void round_rows(const Tiles& y, int64_t first_row, const float* x, int64_t x_stride, int64_t width,
                int64_t rows, cudaStream_t stream);
// The way back: y [rows, y_stride] of fp32.
void expand_rows(float* y, int64_t y_stride, const Tiles& x, int64_t width, int64_t rows,
                 cudaStream_t stream);
// y = `width` columns of x from `first` on, zero past them; whole tiles of rows.
void copy_columns(const Tiles& y, const Tiles& x, int64_t first, int64_t width, int64_t rows,
                  cudaStream_t stream);
// Columns of y from `first_column` on become the rows of x: y[c][first_column + r] = x[r][c]. Zero for rows
// from `rows` to `padded_rows`.
void round_columns(const Tiles& y, int64_t first_column, const float* x, int64_t x_stride, int64_t width,
                   int64_t rows, int64_t padded_rows, cudaStream_t stream);

}  // namespace albert::cuda
