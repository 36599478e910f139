/** Tensors as every call of this package returns them. */

/** Nested arrays of numbers, as deep as the tensor has dimensions. */
export type NestedNumbers = number | NestedNumbers[];

/** A dense row-major float32 array with its extents. */
export class Tensor {
  /** Extent of each dimension, outermost first. */
  readonly dims: number[];
  /** All values, the last dimension fastest. */
  readonly data: Float32Array;

  constructor(dims: number[], data: Float32Array) {
    this.dims = dims;
    this.data = data;
  }

  /** The values as nested arrays. */
  tolist(): NestedNumbers {
    const build = (dimension: number, offset: number): NestedNumbers => {
      if (dimension === this.dims.length) return this.data[offset];
      const stride = this.dims.slice(dimension + 1).reduce((product, extent) => product * extent, 1);
      return Array.from({ length: this.dims[dimension] }, (_, i) =>
        build(dimension + 1, offset + i * stride),
      );
    };
    return build(0, 0);
  }

  /** Row `index` of the outermost dimension, sharing memory. */
  row(index: number): Float32Array {
    const size = this.data.length / this.dims[0];
    return this.data.subarray(index * size, (index + 1) * size);
  }
}
