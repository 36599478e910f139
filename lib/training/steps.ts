/** A step of a run: taken, counted, timed and written to the run's log. */
import type { LabelledInputs } from './labels';
import { appendRecord } from './log';
import type { Trainer } from './trainer';

/** What a run has behind it; its checkpoints keep it. */
export interface Done {
  step: number;
  /** Real ones. */
  tokens: number;
  /** Of its steps alone. */
  seconds: number;
}

/** What is told of every step. */
export interface StepProgress {
  /** Steps done, and in all. */
  step: number;
  totalSteps: number;
  loss: number;
  losses: Record<string, number>;
  learning_rate: number;
  tokens_per_second: number;
  /** Until the last step, at the mean speed so far, evaluations not counted. */
  seconds_left: number;
}

/** The step after `done`, and what then is done. @throws AlbertError as Trainer.step() does. */
export async function takeStep(
  trainer: Trainer,
  batches: LabelledInputs | readonly LabelledInputs[],
  { done, totalSteps, log }: { done: Done; totalSteps: number; log: string },
): Promise<{ done: Done; progress: StepProgress }> {
  const begin = performance.now();
  const { loss, losses, grad_norm, learning_rate, tokens } = await trainer.step(batches);
  const took = (performance.now() - begin) / 1e3;
  const step = done.step + 1;
  const now = { step, tokens: done.tokens + tokens, seconds: done.seconds + took };
  const tokens_per_second = Math.round(tokens / took);
  await appendRecord(log, {
    step,
    time: Number(now.seconds.toFixed(2)),
    tokens: now.tokens,
    loss,
    losses,
    grad_norm,
    learning_rate,
    tokens_per_second,
  });
  const seconds_left = (now.seconds / step) * (totalSteps - step);
  const progress = { step, totalSteps, loss, losses, learning_rate, tokens_per_second, seconds_left };
  return { done: now, progress };
}
