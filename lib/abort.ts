/** Waiting for an AbortSignal: one listener on a signal, however many calls share it. */

const waiting = new WeakMap<AbortSignal, Set<() => void>>();

/** Calls back when `signal` aborts. @returns what ends the waiting. */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  let callbacks = waiting.get(signal);
  if (!callbacks) {
    callbacks = new Set();
    waiting.set(signal, callbacks);
    signal.addEventListener('abort', ringAll);
  }
  callbacks.add(callback);
  return () => {
    callbacks.delete(callback);
    if (callbacks.size > 0 || waiting.get(signal) !== callbacks) return;
    waiting.delete(signal);
    signal.removeEventListener('abort', ringAll);
  };
}

function ringAll(this: AbortSignal): void {
  const callbacks = waiting.get(this);
  waiting.delete(this);
  this.removeEventListener('abort', ringAll);
  callbacks?.forEach((callback) => callback());
}
