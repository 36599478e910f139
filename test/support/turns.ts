/** Turns of the event loop, which count what clocks would on a machine that nothing else uses. */
import { setImmediate } from 'node:timers/promises';

/** How many turns the event loop makes until work ends: one or two where the work holds it. */
export async function turnsDuring(work: Promise<unknown>): Promise<number> {
  let [turns, done] = [0, false];
  const end = work.finally(() => (done = true));
  for (; !done; turns++) await setImmediate();
  await end;
  return turns;
}
