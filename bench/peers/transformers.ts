/** transformers.js: text to mean-pooled embedding by its feature-extraction pipeline, on the exported model. */
import path from 'node:path';
import { NotAvailable, type Output, type Peer, requireRival } from '../peer';

type Extractor = (texts: string[], options: { pooling: 'mean' }) => Promise<Output>;

/** What is used of @huggingface/transformers. */
interface Transformers {
  env: { allowRemoteModels: boolean; localModelPath: string };
  pipeline: (task: 'feature-extraction', model: string, options: object) => Promise<Extractor>;
}

export const peer: Peer = {
  start: () => requireRival<Transformers>('@huggingface/transformers').version,

  async load({ onnx, dtype, output, threads }) {
    const { env, pipeline } = requireRival<Transformers>('@huggingface/transformers').module;
    if (!onnx || dtype === 'bf16' || output !== 'embedding')
      throw new NotAvailable(`transformers.js is not asked for ${dtype} ${output}`);
    env.allowRemoteModels = false;
    env.localModelPath = path.dirname(onnx);
    const embed = await pipeline('feature-extraction', path.basename(onnx), {
      dtype: dtype === 'int8' ? 'q8' : 'fp32',
      device: 'cpu',
      // As for onnxruntime: idle means idle.
      session_options: { intraOpNumThreads: threads, extra: { session: { force_spinning_stop: '1' } } },
    });
    return { prepare: (batch) => () => embed(batch.texts!, { pooling: 'mean' }) };
  },
};
