/** Linear layers and tables as ONNX nodes, in float32 or dynamically quantised to 8 bits. */
import type { Tensor } from '../tensor';
import type { Graph } from './onnx-graph';
import { DATA_TYPES } from './onnx-schema';

/**
 * What weights are stored in. 'int7' are bytes of which seven bits are used: processors without VNNI add the products with
 * activations in pairs of 16 bits, which eight bits overflow.
 */
export type Precision = 'fp32' | 'int8' | 'int7';

/** A linear layer of a checkpoint, weight [out, in] and bias [out]; both are multiplied by `factor`. */
export interface Layer {
  weight: Tensor;
  bias: Tensor;
  factor?: number;
}

interface Quantized {
  values: Int8Array;
  /** One for each column. */
  scales: Float32Array;
}

const LARGEST = { int8: 127, int7: 63 };
type Bits = keyof typeof LARGEST;

function memo<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}

/** The weights of layers that share their input as one matrix [in, out], which is how MatMul takes it. */
function transposed(layers: Layer[]): Float32Array {
  const width = layers[0].weight.dims[1];
  const out = layers.reduce((sum, { weight }) => sum + weight.dims[0], 0);
  const matrix = new Float32Array(width * out);
  let column = 0;
  for (const { weight, factor = 1 } of layers) {
    for (let row = 0; row < weight.dims[0]; row++, column++) {
      const values = weight.row(row);
      for (let i = 0; i < width; i++) matrix[i * out + column] = values[i] * factor;
    }
  }
  return matrix;
}

function biases(layers: Layer[]): Float32Array {
  return Float32Array.from(
    layers.flatMap(({ bias, factor = 1 }) => Array.from(bias.data, (b) => b * factor)),
  );
}

/** Each row as whole numbers of these bits, symmetric so that zero stays zero, times a scale that has `factor` in it. */
function quantizeRows({ dims: [rows], data }: Tensor, bits: Bits, factor = 1): Quantized {
  const width = data.length / rows;
  const values = new Int8Array(data.length);
  const scales = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    let largest = 0;
    for (let i = row * width; i < (row + 1) * width; i++) largest = Math.max(largest, Math.abs(data[i]));
    // A row of zeros has no scale of its own.
    const step = largest === 0 ? 1 : largest / LARGEST[bits];
    for (let i = row * width; i < (row + 1) * width; i++) values[i] = Math.round(data[i] / step);
    scales[row] = step * factor;
  }
  return { values, scales };
}

function quantizeColumns(layers: Layer[], bits: Bits): Quantized {
  const width = layers[0].weight.dims[1];
  const parts = layers.map(({ weight, factor }) => quantizeRows(weight, bits, factor));
  const scales = Float32Array.from(parts.flatMap((part) => Array.from(part.scales)));
  const values = new Int8Array(width * scales.length);
  let column = 0;
  for (const part of parts) {
    for (let row = 0; row < part.scales.length; row++, column++) {
      for (let i = 0; i < width; i++) values[i * scales.length + column] = part.values[row * width + i];
    }
  }
  return { values, scales };
}

// The nodes that onnxruntime's dynamic quantisation makes, in the order in which onnxruntime recognises and fuses them.
function integerProduct(graph: Graph, x: string, matrix: string, scales: string): string {
  const [quantized, scale, zero] = graph.nodes('DynamicQuantizeLinear', [x], 3);
  const product = graph.node('MatMulInteger', [quantized, matrix, zero]);
  const real = graph.node('Cast', [product], { attributes: { to: DATA_TYPES.float } });
  return graph.node('Mul', [real, graph.node('Mul', [scale, scales])]);
}

/** Adds y = x W^T + b, with several layers of one input side by side in y; returns y [.., out]. */
export function linear(
  graph: Graph,
  precision: Precision,
  name: string,
  x: string,
  layers: Layer[],
  output?: string,
): string {
  const width = layers[0].weight.dims[1];
  const out = layers.reduce((sum, { weight }) => sum + weight.dims[0], 0);
  const bias = graph.initializer(`${name}.bias`, 'float', [out], () => biases(layers));
  if (precision === 'fp32') {
    const matrix = graph.initializer(`${name}.weight`, 'float', [width, out], () => transposed(layers));
    return graph.node('Add', [graph.node('MatMul', [x, matrix]), bias], { output });
  }
  const quantized = memo(() => quantizeColumns(layers, precision));
  const matrix = graph.initializer(`${name}.weight`, 'int8', [width, out], () => quantized().values);
  const scales = graph.initializer(`${name}.scale`, 'float', [out], () => quantized().scales);
  return graph.node('Add', [integerProduct(graph, x, matrix, scales), bias], { output });
}

// A table [rows, width] as it stands in the checkpoint, quantised by rows: lookup() and score() share it.
function storedTable(graph: Graph, precision: Precision, name: string, table: Tensor): [string, string] {
  if (precision === 'fp32') return [graph.initializer(name, 'float', table.dims, () => table.data), ''];
  const quantized = memo(() => quantizeRows(table, precision));
  return [
    graph.initializer(name, 'int8', table.dims, () => quantized().values),
    graph.initializer(`${name}.scale`, 'float', [table.dims[0]], () => quantized().scales),
  ];
}

/** Adds the lookup of ids [B, T] in a table [rows, width]; returns [B, T, width]. */
export function lookup(graph: Graph, precision: Precision, name: string, table: Tensor, ids: string): string {
  const [rows, scales] = storedTable(graph, precision, name, table);
  const found = graph.node('Gather', [rows, ids]);
  if (precision === 'fp32') return found;
  const scale = graph.node('Unsqueeze', [graph.node('Gather', [scales, ids]), graph.integers(-1)]);
  return graph.node('Mul', [graph.node('Cast', [found], { attributes: { to: DATA_TYPES.float } }), scale]);
}

/**
 * Adds the scores of x [B, T, width] against every row of a table [rows, width]; returns [B, T, rows]. `shape` names the
 * tensor [B, T]. The table may be one that lookup() uses: it is transposed where it runs and not stored a second time.
 */
export function score(
  graph: Graph,
  precision: Precision,
  name: string,
  x: string,
  shape: string,
  { weight: table, bias }: Layer,
  output: string,
): string {
  const [rows, scales] = storedTable(graph, precision, name, table);
  const added = graph.initializer('predictions.bias', 'float', bias.dims, () => bias.data);
  if (precision !== 'fp32') {
    const columns = graph.node('Transpose', [rows], { attributes: { perm: [1, 0] } });
    return graph.node('Add', [integerProduct(graph, x, columns, scales), added], { output });
  }
  // Gemm takes a transposed matrix as it is, but only rows.
  const flat = graph.node('Reshape', [x, graph.integers(-1, table.dims[1])]);
  const scores = graph.node('Gemm', [flat, rows, added], { attributes: { transB: 1 } });
  const dims = graph.node('Concat', [shape, graph.integers(table.dims[0])], { attributes: { axis: 0 } });
  return graph.node('Reshape', [scores, dims], { output });
}
