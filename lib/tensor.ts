/** Tensors as every call of this package returns them. */
import { AlbertError } from './errors';
import { integer, invalid } from './options';

/** Nested arrays of numbers, as deep as the tensor has dimensions. */
export type NestedNumbers = number | NestedNumbers[];

/** A dense row-major float32 array with its extents. */
export class Tensor {
  /** Extent of each dimension, outermost first. */
  readonly dims: number[];
  /**
   * All values, the last dimension fastest. From 16 KB on they lie in the addon's memory, which Node 22 and later do not transfer to
   * another thread: post such an array without a transfer list, which copies it.
   */
  readonly data: Float32Array;

  /** @throws AlbertError INVALID_ARGUMENT where `dims` are no extents or `data` has not as many values as they say. */
  constructor(dims: number[], data: Float32Array) {
    if (!Array.isArray(dims)) throw invalid('an array of extents', 'dims', dims);
    Array.from(dims, (extent, i) => integer(`dims[${i}]`, extent, { min: 0 }));
    // By its name: one of another realm is no instance of this realm's class.
    if (Object.prototype.toString.call(data) !== '[object Float32Array]')
      throw invalid('a Float32Array', 'data', data);
    const size = dims.reduce((product, extent) => product * extent, 1);
    if (data.length !== size) {
      throw new AlbertError(
        'INVALID_ARGUMENT',
        `expected ${size} values for dims [${dims.join(', ')}] but received ${data.length}`,
      );
    }
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

  /** Row `index` of the outermost dimension, sharing memory. @throws AlbertError INVALID_ARGUMENT where there is none. */
  row(index: number): Float32Array {
    const rows = this.dims[0] ?? 0;
    if (rows === 0)
      throw new AlbertError(
        'INVALID_ARGUMENT',
        `expected a tensor with rows but received one of dims [${this.dims.join(', ')}]`,
      );
    integer('index', index, { min: 0, max: rows - 1 });
    const size = this.data.length / rows;
    return this.data.subarray(index * size, (index + 1) * size);
  }
}
