/**
 * The order in which a pod's containers end: regular ones at once, sidecars after them and in the reverse
 * order of the spec, each within its own grace period (KEP-753).
 */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { longestTimerMs } from '#foundation/base/time.ts';
import { initContainers, isSidecar, sidecars } from '../pods/containers.ts';
import { specOf } from '../pods/identity.ts';

/** Turns of the containers of one pod. */
export interface StopTurns {
  /** Resolves when it is that container's turn, when `ms` milliseconds are over, or at an abort. */
  wait(name: string, ms: number, signal: AbortSignal): Promise<void>;
  /** The container has ended (or could not be ended): others may go on. */
  ended(name: string): void;
}

/** @param running names of the containers that have yet to end. */
export function createStopTurns(pod: Pod, running: readonly string[]): StopTurns {
  const ends = new Map(running.map((name) => [name, Promise.withResolvers<void>()]));
  const order = sidecars(pod).map((container) => container.name);
  const first = [...specOf(pod).containers, ...initContainers(pod).filter((each) => !isSidecar(each))];
  const before = (name: string): string[] => {
    const index = order.indexOf(name);
    return index < 0 ? [] : [...first.map((each) => each.name), ...order.slice(index + 1)];
  };
  return {
    ended: (name) => ends.get(name)?.resolve(),
    async wait(name, ms, signal) {
      const awaited = before(name).flatMap((each) => ends.get(each)?.promise ?? []);
      if (awaited.length === 0 || ms <= 0 || signal.aborted) return;
      const over = Promise.withResolvers<void>();
      const timer = setTimeout(over.resolve, Math.min(ms, longestTimerMs));
      signal.addEventListener('abort', () => over.resolve(), { once: true });
      await Promise.race([Promise.all(awaited), over.promise]);
      clearTimeout(timer);
    },
  };
}
