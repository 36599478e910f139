/** Waiting for an AbortSignal: one listener on a signal, however many calls share it. */
import { AlbertError } from './errors';

interface Waiting {
  callbacks: Set<() => void>;
  ring: () => void;
}
const waiting = new WeakMap<AbortSignal, Waiting>();

function listen(signal: AbortSignal): Waiting {
  const callbacks = new Set<() => void>();
  const ring = () => {
    stopListening(signal, ring);
    callbacks.forEach((callback) => callback());
  };
  const made = { callbacks, ring };
  waiting.set(signal, made);
  signal.addEventListener('abort', ring);
  return made;
}

function stopListening(signal: AbortSignal, ring: () => void): void {
  waiting.delete(signal);
  signal.removeEventListener('abort', ring);
}

/** Calls back, once, when `signal` aborts. @returns what ends the waiting. */
function onAbort(signal: AbortSignal, callback: () => void): () => void {
  const own = waiting.get(signal) ?? listen(signal);
  own.callbacks.add(callback);
  return () => {
    own.callbacks.delete(callback);
    if (own.callbacks.size === 0 && waiting.get(signal) === own) stopListening(signal, own.ring);
  };
}

function aborted({ reason }: AbortSignal): AlbertError {
  return new AlbertError('ABORTED', 'the call was aborted by its signal', { cause: reason });
}

/** @throws AlbertError ABORTED when `signal` has aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw aborted(signal);
}

/**
 * What `work` resolves with, unless `signal` aborts before.
 * @param cancel tells what runs, which nobody waits for any more.
 * @throws AlbertError ABORTED.
 */
export async function untilAborted<T>(
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
  cancel = () => {},
): Promise<T> {
  throwIfAborted(signal);
  if (!signal) return work();
  let forget = () => {};
  const interruption = new Promise<never>((_, reject) => {
    forget = onAbort(signal, () => {
      cancel();
      reject(aborted(signal));
    });
  });
  try {
    return await Promise.race([work(), interruption]);
  } finally {
    forget();
  }
}
