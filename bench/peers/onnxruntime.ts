/** ONNX Runtime through its Node package, on the graph that `albert export` writes. */
import path from 'node:path';
import { NotAvailable, type Output, type Peer, requireRival } from '../peer';

/** What is used of onnxruntime-node. */
interface OnnxRuntime {
  Tensor: new (type: 'int64', data: BigInt64Array, dims: number[]) => unknown;
  InferenceSession: {
    create(
      file: string,
      options: object,
    ): Promise<{ run(feeds: object, fetches: string[]): Promise<Record<string, Output>> }>;
  };
}

const FILES = { fp32: 'model.onnx', int8: 'model_quantized.onnx' };

export const peer: Peer = {
  start: () => requireRival<OnnxRuntime>('onnxruntime-node').version,

  async load({ onnx, dtype, output, threads }) {
    const { Tensor, InferenceSession } = requireRival<OnnxRuntime>('onnxruntime-node').module;
    if (!onnx || dtype === 'bf16' || output === 'embedding')
      throw new NotAvailable(`onnxruntime has no ${dtype} ${output} of this model`);
    const session = await InferenceSession.create(path.join(onnx, 'onnx', FILES[dtype]), {
      graphOptimizationLevel: 'all',
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      // Its threads spin between the operations of a run as they like, but not while the other side is timed.
      extra: { session: { force_spinning_stop: '1' } },
    });
    return {
      prepare({ input_ids, token_type_ids }) {
        const dims = [input_ids.length, Math.max(...input_ids.map((row) => row.length))];
        const tensor = (value: (row: number, column: number) => number | undefined) =>
          new Tensor(
            'int64',
            BigInt64Array.from({ length: dims[0] * dims[1] }, (_, i) =>
              BigInt(value(Math.floor(i / dims[1]), i % dims[1]) ?? 0),
            ),
            dims,
          );
        const feeds = {
          input_ids: tensor((row, column) => input_ids[row][column]),
          attention_mask: tensor((row, column) => (column < input_ids[row].length ? 1 : 0)),
          token_type_ids: tensor((row, column) => token_type_ids[row][column]),
        };
        return async () => (await session.run(feeds, [output]))[output];
      },
    };
  },
};
