/** One run of `skiff up`: the pods it looks after, and what it waits for. */
import type { ApiClient } from '#contracts/kubernetes/client/client.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { UpScreen } from './screen.ts';
import { problemOf } from './screen.ts';
import { judgePod } from './verdict.ts';
import { podKey, watchPods } from './watch-pods.ts';

/** Follows the pods of one `up`. */
export interface Session {
  /** The newest state of each pod, by namespace/name. */
  readonly pods: ReadonlyMap<string, Pod>;
  /**
   * Resolves when every pod is ready, and stays so for a moment, or has succeeded.
   *
   * @throws SkiffError FAILED_PRECONDITION for pods that failed or are stuck, DEADLINE_EXCEEDED after `ms`
   *   milliseconds, CANCELLED by the session's signal.
   */
  untilReady(ms: number): Promise<void>;
  /** Resolves when every pod has ended, with the exit code of the first that failed, else 0. */
  untilEnded(): Promise<number>;
}

/** Milliseconds that a pod may look stuck before it counts: a restart often cures what the first try met. */
const stuckMs = 3000;
/** Milliseconds that pods must stay ready: a container that ends at once was running for a moment, too. */
const settleMs = 150;

/** Starts following `keys` (namespace/name) until `signal` aborts. */
export function followPods(
  api: ApiClient,
  keys: ReadonlySet<string>,
  screen: UpScreen,
  signal: AbortSignal,
): Session {
  let pods: ReadonlyMap<string, Pod> = new Map();
  const waiters = new Set<() => void>();
  const onChange = (next: ReadonlyMap<string, Pod>) => {
    pods = next;
    screen.pods(next);
    for (const wake of [...waiters]) wake();
  };
  void watchPods(api, (pod) => keys.has(podKey(pod)), onChange, signal);
  /** Asks `done` at each change and every 200 ms until it answers. */
  const until = async <T>(done: () => T | undefined): Promise<T> => {
    for (;;) {
      signal.throwIfAborted();
      const answer = done();
      if (answer !== undefined) return answer;
      await new Promise<void>((resolve) => {
        const wake = () => {
          clearTimeout(timer);
          signal.removeEventListener('abort', wake);
          waiters.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, 200);
        waiters.add(wake);
        signal.addEventListener('abort', wake, { once: true });
      });
    }
  };
  return {
    get pods() {
      return pods;
    },
    untilReady: (ms) => until(readiness(keys, () => pods, ms)).then(() => undefined),
    untilEnded: () => until(() => exitCodeOf(keys, pods)),
  };
}

function readiness(keys: ReadonlySet<string>, pods: () => ReadonlyMap<string, Pod>, ms: number) {
  const start = performance.now();
  let stuckSince: number | undefined;
  let goodSince: number | undefined;
  return (): true | undefined => {
    const now = performance.now();
    const verdicts = [...pods().values()].map(judgePod);
    const good = [...pods().values()].filter(isGood).length;
    goodSince = good === keys.size && pods().size === keys.size ? (goodSince ?? now) : undefined;
    if (goodSince !== undefined) {
      const done = verdicts.every((each) => each.kind === 'succeeded') || now - goodSince >= settleMs;
      return done ? true : undefined;
    }
    const failed = verdicts.some((each) => each.kind === 'failed');
    const stuck = verdicts.some((each) => each.kind === 'stuck');
    stuckSince = stuck ? (stuckSince ?? now) : undefined;
    const problem = problemOf(pods().values());
    if (problem !== undefined && (failed || now - (stuckSince ?? now) > stuckMs)) throw problem;
    if (now - start <= ms) return undefined;
    const late = [...keys].filter((key) => !isGood(pods().get(key)));
    throw new SkiffError(
      'DEADLINE_EXCEEDED',
      `not ready after ${Math.round(ms / 1000)} s: ${late.join(', ')}`,
    );
  };
}

function isGood(pod: Pod | undefined): boolean {
  return pod !== undefined && ['ready', 'succeeded'].includes(judgePod(pod).kind);
}

function exitCodeOf(keys: ReadonlySet<string>, pods: ReadonlyMap<string, Pod>): number | undefined {
  let code = 0;
  for (const key of keys) {
    const pod = pods.get(key);
    if (pod === undefined) {
      if (pods.size === 0) return code; // All were deleted by somebody else.
      continue;
    }
    const verdict = judgePod(pod);
    if (verdict.kind === 'failed') code ||= verdict.exitCode;
    else if (verdict.kind !== 'succeeded') return undefined;
  }
  return code;
}
