/** Reads and writes safetensors files of the tests; independent of the reader it helps to test. */
import { readFileSync, writeFileSync } from 'node:fs';

export interface StoredTensor {
  dtype: string;
  dims: number[];
  /** Values as plain numbers. */
  data: number[] | Float32Array;
}

type Header = Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;

/** What a file lists, and where its data begins. */
function headerOf(bytes: Buffer): { header: Header; data: number } {
  const data = 8 + Number(bytes.readBigUInt64LE(0));
  return { header: JSON.parse(bytes.toString('utf8', 8, data)) as Header, data };
}

export function readSafetensors(file: string): Record<string, StoredTensor> {
  const bytes = readFileSync(file);
  const { header, data: start } = headerOf(bytes);
  const tensors: Record<string, StoredTensor> = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const [begin, end] = entry.data_offsets;
    // A copy, as typed arrays need aligned memory.
    const buffer = new Uint8Array(bytes.subarray(start + begin, start + end)).buffer;
    const data =
      entry.dtype === 'I64'
        ? Array.from(new BigInt64Array(buffer), Number)
        : entry.dtype === 'F64'
          ? Array.from(new Float64Array(buffer))
          : new Float32Array(buffer);
    tensors[name] = { dtype: entry.dtype, dims: entry.shape, data };
  }
  return tensors;
}

/** Rewrites one float32 tensor of a file in place. */
export function patchTensor(file: string, name: string, change: (values: Float32Array) => void): void {
  const bytes = readFileSync(file);
  const { header, data } = headerOf(bytes);
  const [begin, end] = header[name].data_offsets.map((offset) => offset + data);
  const values = new Float32Array(new Uint8Array(bytes.subarray(begin, end)).buffer);
  change(values);
  bytes.set(new Uint8Array(values.buffer), begin);
  writeFileSync(file, bytes);
}

/** A flat tensor as nested arrays. */
export function nest(tensor: StoredTensor): never {
  const build = (dims: number[], data: ArrayLike<number>, offset: number): unknown => {
    if (dims.length === 0) return data[offset];
    const stride = dims.slice(1).reduce((product, extent) => product * extent, 1);
    return Array.from({ length: dims[0] }, (_, i) => build(dims.slice(1), data, offset + i * stride));
  };
  return build(tensor.dims, tensor.data, 0) as never;
}
