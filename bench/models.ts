/** The models that are compared: random weights, seed fixed, saved as folders and exported for the rivals. */
import { copyFileSync, existsSync } from 'node:fs';
import path from 'node:path';
import type { AlbertConfig } from '../dist';
import type { ModelName } from './cases';
import type { Shape } from './flops';
import { addOutliers } from './outliers';
import { albert } from './subject';

const shape = (
  hidden_size: number,
  num_hidden_layers: number,
  num_attention_heads: number,
  intermediate_size: number,
) => ({
  hidden_size,
  num_hidden_layers,
  num_attention_heads,
  intermediate_size,
});

const SHAPES: Record<ModelName, object> = {
  base: {},
  outliers: {},
  tiny: shape(312, 4, 12, 1248),
  'large-6': shape(1024, 6, 16, 4096),
  'xxlarge-2': shape(4096, 2, 64, 16384),
  'head-128': shape(768, 12, 6, 3072),
};

/** ALBERT-base, changed where the model differs from it. */
export function configOf(name: ModelName): AlbertConfig & Shape {
  return { ...albert().preset('base-v2'), ...SHAPES[name] } as AlbertConfig & Shape;
}

export interface ModelFolders {
  folder(name: ModelName): Promise<string>;
  /** @throws whatever the export throws. */
  onnx(name: ModelName): Promise<string>;
}

/**
 * Makes models under `root` when they are first asked for.
 * @param vocabulary spiece.model that goes with them, if there is one.
 * @param eightBits whether onnxruntime's int8 may use all eight bits of the weights: elsewhere its sums overflow.
 */
export function modelFolders(root: string, vocabulary: string | null, eightBits: boolean): ModelFolders {
  const made = new Map<string, Promise<string>>();
  const once = (key: string, make: () => Promise<string>) => {
    if (!made.has(key)) made.set(key, make());
    return made.get(key)!;
  };
  const folder = (name: ModelName) =>
    once(name, async () => {
      const target = path.join(root, name);
      const model = await albert().Albert.create(configOf(name), { head: 'base', seed: 1 });
      await model.save(target);
      await model.dispose();
      if (name === 'outliers') addOutliers(path.join(target, 'model.safetensors'));
      if (vocabulary && existsSync(vocabulary)) copyFileSync(vocabulary, path.join(target, 'spiece.model'));
      return target;
    });
  const onnx = (name: ModelName) =>
    once(`${name}-onnx`, async () => {
      const target = path.join(root, `${name}-onnx`);
      await albert().exportOnnx(await folder(name), target, { dtype: 'all', reduce_range: !eightBits });
      return target;
    });
  return { folder, onnx };
}
