/** What a rival has to offer to be compared: one file in bench/peers/ exports a `peer` of this form. */
import { createRequire } from 'node:module';
import path from 'node:path';
import { repository } from './subject';

export type DType = 'fp32' | 'bf16' | 'int8';
/** 'embedding' is text in, mean-pooled state out; the others take ids. */
export type OutputName = 'last_hidden_state' | 'pooler_output' | 'embedding';

/** What one side of a case has to do; the same for both but for `dtype`. */
export interface Job {
  /** Model folder in Hugging Face layout. */
  folder: string;
  /** The same model exported: config.json, tokenizer files, onnx/model.onnx, onnx/model_quantized.onnx. */
  onnx: string | null;
  dtype: DType;
  output: OutputName;
  threads: number;
  /** Instruction set to force; only albert-native can. */
  isa: 'avx2' | null;
}

/** One call's worth of input: B sequences, ragged. */
export interface Batch {
  input_ids: number[][];
  token_type_ids: number[][];
  /** The texts that the ids came from, where there were any. */
  texts: string[] | null;
}

/** [B, T, H], padded to the longest sequence, or [B, H]. */
export interface Output {
  dims: readonly number[];
  data: Float32Array;
}

export interface Session {
  /** Lays the batch out as the rival takes it; calling what this returns is what the clock sees. */
  prepare(batch: Batch): () => Promise<Output>;
}

export interface Peer {
  /** Imports the rival and returns its version. @throws NotAvailable when it is not installed. */
  start(): string;
  /** @throws NotAvailable when this rival cannot do such a job. */
  load(job: Job): Promise<Session>;
}

/** The row of the table says 'not available' and why; nothing has failed. */
export class NotAvailable extends Error {}

const rivals = createRequire(path.join(repository, 'bench', 'package.json'));

/** A module from bench/node_modules and its version. @throws NotAvailable with the command that installs it. */
export function requireRival<T>(name: string): { module: T; version: string } {
  try {
    const module = rivals(name) as T;
    return { module, version: versionOf(rivals.resolve(name)) };
  } catch (error) {
    const reason = (error as Error).message.split('\n')[0];
    throw new NotAvailable(
      `expected ${name} in bench/node_modules but: ${reason}; run npm run bench:install`,
    );
  }
}

// The package.json above an entry point; packages need not export it under its own name.
function versionOf(entry: string): string {
  for (let folder = path.dirname(entry); ; folder = path.dirname(folder)) {
    try {
      const { version } = rivals(path.join(folder, 'package.json')) as { version?: string };
      if (version) return version;
    } catch {
      if (folder === path.dirname(folder)) return 'unknown';
    }
  }
}
