/** A progress bar for long jobs: on a terminal only, so that logs of other programs stay readable. */
import { Presets, SingleBar } from 'cli-progress';
import { STOPPING } from './shared';

/** A duration as people read it: 1h 02m, 3m 05s, 12s. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (value: number) => String(value).padStart(2, '0');
  return h > 0 ? `${h}h ${two(m)}m` : m > 0 ? `${m}m ${two(s)}s` : `${s}s`;
}

export interface Progress {
  /** `total` where it is known only now. */
  update(done: number, text: string, total?: number): void;
  stop(): void;
}

/** Of `total` steps; draws on standard error. */
export function progressBar(total: number): Progress {
  if (!process.stderr.isTTY) return { update: () => {}, stop: () => {} };
  const bar = new SingleBar(
    { format: '{bar} {percentage}% | {value}/{total} | {text}', stream: process.stderr, hideCursor: true },
    Presets.shades_classic,
  );
  bar.start(total, 0, { text: '' });
  // A bar hides the cursor: a signal that ends the process must bring it back. The first of a verb that ends in good order by
  // itself is the verb's.
  const verbs = new Set(STOPPING.filter((signal) => process.listenerCount(signal) > 0));
  const stop = () => {
    STOPPING.forEach((signal) => process.off(signal, end));
    bar.stop();
  };
  const end = (signal: (typeof STOPPING)[number]) => {
    if (verbs.delete(signal)) return;
    stop();
    process.kill(process.pid, signal);
  };
  STOPPING.forEach((signal) => process.on(signal, end));
  return {
    update: (done, text, newTotal) => {
      if (newTotal !== undefined) bar.setTotal(newTotal);
      bar.update(done, { text });
    },
    stop,
  };
}
