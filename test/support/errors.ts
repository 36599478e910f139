/** Expectations about errors. */
import { AlbertError, type ErrorCode } from '../../lib';

/** Runs a call that must fail with a code; returns the error for a look at its message. */
export async function failure(code: ErrorCode, call: () => unknown): Promise<AlbertError> {
  let error: unknown;
  try {
    await call();
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(AlbertError);
  expect((error as AlbertError).code).toBe(code);
  return error as AlbertError;
}
