/** Looks into exported ONNX files, and runs them where onnxruntime is installed under bench/. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { message } from '../../lib/formats/onnx-schema';
import { root } from './data';

interface OnnxNode {
  name: string;
  opType: string;
  input: string[];
  output: string[];
}
interface Named {
  name: string;
}
interface OnnxTensor extends Named {
  dims: unknown[];
  dataType: number;
  rawData: Uint8Array;
  externalData: { key: string; value: string }[];
}
interface OnnxGraph {
  node: OnnxNode[];
  initializer: OnnxTensor[];
  input: Named[];
  output: Named[];
}

export async function decodeOnnx(file: string): Promise<OnnxGraph> {
  const type = await message('ModelProto');
  return (type.decode(readFileSync(file)) as unknown as { graph: OnnxGraph }).graph;
}

export interface Values {
  dims: number[];
  data: number[];
}

export const hasOnnxRuntime = existsSync(path.join(root, 'bench', 'node_modules', 'onnxruntime-node'));

/** Outputs of each [file, inputs]. */
export function runOnnx(jobs: [file: string, inputs: Record<string, Values>][]): Record<string, Values>[] {
  const script = path.join(__dirname, 'run-onnx.cjs');
  const { status, stdout, stderr } = spawnSync(process.execPath, [script], {
    input: JSON.stringify(jobs),
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Record<string, Values>[];
}
