/** Restarts that come too fast wait: CrashLoopBackOff. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { nameOf, namespaceOf, uidOf } from '../pods/identity.ts';
import type { AnyContainer } from '../ports.ts';
import type { RuntimeManagerDeps } from './deps.ts';
import { fnv64a } from './hash.ts';
import type { RuntimePodStatus } from './model.ts';
import { StartError } from './start-error.ts';

/** What identifies a container's back-off: a changed image or changed resources begin anew. */
export function restartKey(pod: Pod, container: AnyContainer): string {
  const parts = [nameOf(pod), namespaceOf(pod), uidOf(pod), container.name, container.image];
  return fnv64a([...parts, JSON.stringify(container.resources ?? {})].join('\0'));
}

/**
 * Records a start, unless the container ended a short while ago and must wait.
 *
 * @throws StartError CrashLoopBackOff with the time that is left.
 */
export function heedRestartBackoff(
  { backoff, clock, events }: Pick<RuntimeManagerDeps, 'backoff' | 'clock' | 'events'>,
  pod: Pod,
  container: AnyContainer,
  status: RuntimePodStatus,
): void {
  const exited = status.containers.find((each) => each.name === container.name && each.state === 'exited');
  if (exited === undefined) return;
  const key = restartKey(pod, container);
  const now = clock.now();
  const remaining = backoff.remaining(key, exited.finishedAt, now);
  if (remaining > 0) {
    const who = `failed container ${container.name} in pod`;
    const podText = `${nameOf(pod)}_${namespaceOf(pod)}(${uidOf(pod)})`;
    events.pod(pod, 'Warning', 'BackOff', `Back-off restarting ${who} ${podText}`, {
      container: container.name,
    });
    const delay = durationText(backoff.delay(key));
    const message = `back-off ${delay} restarting failed container=${container.name} pod=${podText}`;
    throw new StartError('CrashLoopBackOff', message, { retryAfterMs: remaining });
  }
  backoff.next(key, exited.finishedAt, now);
}

/** `10s`, `1m20s`, `5m0s`: as the original prints durations. */
export function durationText(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}
