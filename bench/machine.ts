/** What the bench runs on: processor, versions, and the peak that this machine shows today. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import os from 'node:os';
import type { NativePeak } from '../dist/native';
import { albert, native, repository } from './subject';

export interface Machine {
  date: string;
  /** Commit of the repository, with '+' when files differ from it. */
  commit: string;
  cpu: string;
  /** Of the machine, and how many of them both sides use. */
  cores: number;
  threads: number;
  isa: string;
  memoryGB: number;
  platform: string;
  node: string;
  /** Bits of its weights that onnxruntime's int8 may use here without overflowing sums: 8 with VNNI, else 7. */
  rivalInt8Bits: 7 | 8;
  /**
   * Operations and bytes per second: one core, all threads together, and those without AVX-512; 0 where there is no
   * such instruction.
   */
  peak: { one: NativePeak; all: NativePeak; avx2: NativePeak };
}

function commit(): string {
  const git = (...command: string[]) =>
    spawnSync('git', command, { cwd: repository, encoding: 'utf8' }).stdout?.trim() ?? '';
  const hash = git('rev-parse', '--short', 'HEAD');
  if (!hash) return 'unknown';
  return git('status', '--porcelain', '--untracked-files=no') ? `${hash}+` : hash;
}

/** Measures the peak, which takes a few seconds of all cores; nothing else should run. */
export async function describeMachine(threads: number): Promise<Machine> {
  const { isa, cores } = albert().cpuInfo();
  return {
    date: new Date().toISOString(),
    commit: commit(),
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores,
    threads,
    isa,
    memoryGB: Math.round(os.totalmem() / 2 ** 30),
    platform: `${process.platform}-${process.arch}`,
    node: process.version,
    rivalInt8Bits: hasByteDotProducts() ? 8 : 7,
    peak: {
      one: await native().measureCpuPeak(1),
      all: await native().measureCpuPeak(threads),
      avx2: await native().measureCpuPeak(threads, 'avx2'),
    },
  };
}

// x86 with VNNI; unknown counts as no.
function hasByteDotProducts(): boolean {
  try {
    return /\bavx512_vnni\b|\bavx_vnni\b/.test(readFileSync('/proc/cpuinfo', 'utf8'));
  } catch {
    return false;
  }
}
