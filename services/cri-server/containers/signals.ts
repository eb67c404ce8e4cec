/**
 * Stop signals: the CRI's enumeration (whose values are no signal numbers), the names in image configs, and
 * the kernel's numbers.
 */

import { Signal } from '#contracts/cri/runtime_pb.ts';
import { signalNumber } from '#foundation/linux/spawn.ts';

const SIGTERM = 15;

/**
 * The number of the signal that stops a container: the request's, else the image's, else SIGTERM.
 *
 * @param imageSignal `SIGQUIT`, `QUIT`, `3`, `SIGRTMIN+3` or empty. One that Linux does not have counts as
 *   empty: a container that can be made must be stoppable.
 */
export function stopSignalNumber(requested: Signal, imageSignal: string): number {
  return numbers.get(requested) ?? signalNumber(imageSignal) ?? SIGTERM;
}

/** Signal numbers by the CRI's values, RUNTIME_DEFAULT left out. `SIGRTMINPLUS3` is `SIGRTMIN+3` everywhere else. */
const numbers: ReadonlyMap<Signal, number | undefined> = new Map(
  Object.entries(Signal).map(([name, value]) => [
    value,
    signalNumber(name.replace('PLUS', '+').replace('MINUS', '-')),
  ]),
);

/** The CRI's value for a signal number, for status; RUNTIME_DEFAULT for one it has no value for. */
export function criSignal(number: number): Signal {
  for (const [value, candidate] of numbers) if (candidate === number) return value;
  return Signal.RUNTIME_DEFAULT;
}
