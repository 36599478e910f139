/** The one error class of the package, and the place where errors of the addon become it. */

/** What went wrong, for programs; the message says it for people. */
export type ErrorCode =
  | 'INVALID_ARGUMENT'
  | 'INVALID_CONFIG'
  | 'CHECKPOINT'
  | 'TOKENIZER'
  | 'TOO_LONG'
  | 'OUT_OF_VOCABULARY'
  | 'OUT_OF_MEMORY'
  | 'DEVICE'
  | 'ABORTED'
  | 'DISPOSED'
  | 'DIVERGED'
  | 'DATA';

/** Every failure of this package; `code` tells the kind and `message` what was expected, what came and what to do. */
export class AlbertError extends Error {
  override readonly name = 'AlbertError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

function isCoded(error: unknown): error is Error & { code: ErrorCode } {
  return typeof error === 'object' && error !== null && 'code' in error && 'message' in error;
}

/** The AlbertError of an addon's error, with the stack of whoever called us; anything else unchanged. */
function translate(error: unknown): unknown {
  if (error instanceof AlbertError || !isCoded(error)) return error;
  return new AlbertError(error.code, error.message);
}

/** Runs a synchronous call into the addon. */
export function callNative<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw translate(error);
  }
}

/** Runs an asynchronous call into the addon; awaiting here keeps the caller's frames in the stack. */
export async function awaitNative<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw translate(error);
  }
}
