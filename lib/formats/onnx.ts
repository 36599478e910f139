/** Exports a model to ONNX, in the folder layout that transformers.js and Hugging Face's optimum load. */
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Albert } from '../albert';
import { AlbertError } from '../errors';
import { binding } from '../native';
import type { Head } from '../heads';
import { boolean, type Names, oneOf, optionsObject, pathString } from '../options';
import { copyTokenizer } from '../saving';
import { findTokenizer, resolveFolder, writeInto } from '../source';
import type { Tensor } from '../tensor';
import { albertGraph } from './onnx-albert';
import { writeOnnx } from './onnx-file';
import { specialTokens, tokenizerJson } from './tokenizer-json';

export const EXPORT_DTYPES = ['fp32', 'int8', 'all'] as const;

export interface ExportOnnxOptions {
  /** Default: what `architectures` in config.json names. */
  head?: Head;
  /**
   * 'fp32' writes onnx/model.onnx; 'int8' writes onnx/model_quantized.onnx, with weights of 8 bits and activations
   * quantised as the model runs; 'all' writes both. Default 'fp32'.
   */
  dtype?: (typeof EXPORT_DTYPES)[number];
  /**
   * int8: use seven bits of the weights. Eight are a little more exact, but only on processors with VNNI: onnxruntime's
   * sums overflow on others, without notice. Default true.
   */
  reduce_range?: boolean;
}

const EXPORT_OPTIONS: Names<ExportOnnxOptions> = { head: true, dtype: true, reduce_range: true };

/** What an export wrote. */
export interface ExportedOnnx {
  head: Head;
  files: { file: string; bytes: number }[];
  /** Why the folder may not do what was meant, such as a head that nobody trained. */
  warnings: string[];
}

const FILES = { fp32: 'model.onnx', int8: 'model_quantized.onnx' };

/** All weights by their names without 'albert.', the decoder only where it is a matrix of its own. */
async function parametersOf(model: Albert, ownDecoder: boolean): Promise<Map<string, Tensor>> {
  const names = model.parameters().map(({ name }) => name);
  if (ownDecoder) names.push('predictions.decoder.weight');
  const parameters = new Map<string, Tensor>();
  for (const name of names) parameters.set(name.replace(/^albert\./, ''), await model.parameter(name));
  return parameters;
}

/** Copies the tokenizer's files and makes those that transformers.js needs; returns what is missing. */
async function writeTokenizer(model: Albert, folder: string, output: string): Promise<string[]> {
  const files = await findTokenizer(folder);
  if (!files) {
    const warning = `${folder} has no vocabulary, so the export takes ids only`;
    process.emitWarning(warning, 'AlbertWarning');
    return [warning];
  }
  if (path.resolve(folder) !== path.resolve(output)) await copyTokenizer(folder, output);
  const { tokenizer } = model;
  // A tokenizer.json that came with the model is the one its authors meant.
  if (!existsSync(path.join(folder, 'tokenizer.json'))) {
    await writeFile(path.join(output, 'tokenizer.json'), await tokenizerJson(files, tokenizer));
  }
  const settings = {
    tokenizer_class: path.extname(files.vocabulary) === '.txt' ? 'BertTokenizer' : 'AlbertTokenizer',
    model_max_length: model.maxLength,
    ...specialTokens(tokenizer),
    ...(JSON.parse(files.tokenizerConfig || '{}') as object),
  };
  await writeFile(path.join(output, 'tokenizer_config.json'), `${JSON.stringify(settings, null, 2)}\n`);
  return [];
}

/**
 * Writes a model as ONNX: config.json, the tokenizer's files, and onnx/model.onnx or onnx/model_quantized.onnx, each
 * weight once. The graph is built on this thread: half a second for ALBERT-base. Weights beyond the 2 GB that an ONNX file holds go to a file beside it.
 * @param source a model folder, a name, or a model in memory.
 * @throws AlbertError INVALID_ARGUMENT, what Albert.load throws, or CHECKPOINT when the folder cannot be written.
 */
export async function exportOnnx(
  source: string | Albert,
  output: string,
  options?: ExportOnnxOptions,
): Promise<ExportedOnnx> {
  const given = optionsObject<ExportOnnxOptions>('options', options, EXPORT_OPTIONS);
  const dtype = oneOf('dtype', given.dtype, EXPORT_DTYPES, 'fp32');
  const small = boolean('reduce_range', given.reduce_range, true) ? 'int7' : 'int8';
  pathString('output', output);
  const folder = source instanceof Albert ? source.folder : await resolveFolder(source);
  const model = source instanceof Albert ? source : await Albert.load(folder!, { head: given.head });
  try {
    if (given.head !== undefined && given.head !== model.head) {
      throw new AlbertError(
        'INVALID_ARGUMENT',
        `expected the head of the given model, '${model.head}', but received '${given.head}'; pass its folder instead`,
      );
    }
    if (model.head === 'question-answering-beam') {
      throw new AlbertError(
        'INVALID_ARGUMENT',
        "expected a head that ONNX export knows but received 'question-answering-beam', whose beam no other runtime reads",
      );
    }
    const config = model.savedConfig();
    const parameters = await parametersOf(model, config.tie_word_embeddings === false);
    const files: ExportedOnnx['files'] = [];
    const external: Record<string, number> = {};
    const warnings = [...model.warnings];
    await writeInto(output, async () => {
      await mkdir(path.join(output, 'onnx'), { recursive: true });
      for (const precision of dtype === 'all' ? (['fp32', 'int8'] as const) : [dtype]) {
        const described = { head: model.head, config: model.config, parameters };
        const graph = albertGraph(described, precision === 'fp32' ? 'fp32' : small);
        const written = await writeOnnx(
          path.join(output, 'onnx', FILES[precision]),
          graph,
          binding().version,
        );
        if (written.length > 1) external[FILES[precision]] = 1;
        files.push(...written);
      }
      if (Object.keys(external).length > 0)
        config['transformers.js_config'] = { use_external_data_format: external };
      await writeFile(path.join(output, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
      if (folder) warnings.push(...(await writeTokenizer(model, folder, output)));
    });
    return { head: model.head, files, warnings };
  } finally {
    if (model !== source) await model.dispose();
  }
}
