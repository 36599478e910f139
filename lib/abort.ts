/** Waiting for an AbortSignal: one listener on a signal, however many calls share it. */

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
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  const own = waiting.get(signal) ?? listen(signal);
  own.callbacks.add(callback);
  return () => {
    own.callbacks.delete(callback);
    if (own.callbacks.size === 0 && waiting.get(signal) === own) stopListening(signal, own.ring);
  };
}
