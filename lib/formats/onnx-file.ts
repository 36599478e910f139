/** Writes a graph as an ONNX file, weights straight from memory, or beside it where the file would be too large. */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { replaceFile } from '../source';
import type { Graph, Initializer } from './onnx-graph';
import { DATA_TYPES, GRAPH_FIELD, INITIALIZER_FIELD, message, RAW_DATA_FIELD } from './onnx-schema';

/** The first version of the standard operators that has Gelu, and the version of the format that came with it. */
const OPSET = 20;
const IR_VERSION = 9;

/** The largest message that readers of protobuf take is 2^31 - 1 bytes. */
const LIMIT = 0x7fffffff;
/** Small constants stay in the file, where shape inference can read them. */
const SMALL = 1024;
// What readers that map the file ask for.
const ALIGNMENT = 4096;

function bytesOf({ data }: Initializer): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function total(parts: Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.byteLength, 0);
}

/**
 * Writes `graph` to the file `name`. Weights of more than `limit` bytes in all go to `<name>_data` beside it.
 * @returns the files written, with their sizes in bytes.
 */
export async function writeOnnx(
  name: string,
  graph: Graph,
  producerVersion: string,
  limit = LIMIT,
): Promise<{ file: string; bytes: number }[]> {
  const [modelType, graphType, tensorType] = await Promise.all(
    (['ModelProto', 'GraphProto', 'TensorProto'] as const).map(message),
  );
  const { Writer } = (await import('protobufjs/light')).default;
  /** The tag and length that precede bytes of a field. */
  const prefix = (field: number, length: number) =>
    Writer.create()
      .uint32(8 * field + 2)
      .uint32(length)
      .finish();
  const header = {
    irVersion: IR_VERSION,
    producerName: 'albert-native',
    producerVersion,
    opsetImport: [{ domain: '', version: OPSET }],
  };
  const model = modelType.encode(header).finish();
  const nodes = graphType.encode(graph.proto()).finish();
  const external = total([nodes, ...graph.initializers.map(bytesOf)]) + (1 << 20) > limit;

  const beside: Uint8Array[] = [];
  const tensors = graph.initializers.flatMap((initializer) => {
    const { name: tensor, dims, type } = initializer;
    const described = { name: tensor, dims, dataType: DATA_TYPES[type] };
    const bytes = bytesOf(initializer);
    if (external && bytes.byteLength >= SMALL) {
      const used = total(beside);
      beside.push(new Uint8Array((ALIGNMENT - (used % ALIGNMENT)) % ALIGNMENT), bytes);
      const place = { location: `${path.basename(name)}_data`, offset: total(beside) - bytes.byteLength };
      const externalData = Object.entries({ ...place, length: bytes.byteLength }).map(([key, value]) => ({
        key,
        value: String(value),
      }));
      const encoded = tensorType.encode({ ...described, dataLocation: 1, externalData }).finish();
      return [prefix(INITIALIZER_FIELD, encoded.byteLength), encoded];
    }
    const start = [tensorType.encode(described).finish(), prefix(RAW_DATA_FIELD, bytes.byteLength)];
    return [prefix(INITIALIZER_FIELD, total(start) + bytes.byteLength), ...start, bytes];
  });
  const parts = [model, prefix(GRAPH_FIELD, total([nodes, ...tensors])), nodes, ...tensors];
  await replaceFile(name, parts);
  const written = [{ file: name, bytes: total(parts) }];
  if (external) {
    await replaceFile(`${name}_data`, beside);
    written.push({ file: `${name}_data`, bytes: total(beside) });
  } else {
    await rm(`${name}_data`, { force: true });
  }
  return written;
}
