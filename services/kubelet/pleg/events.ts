/** What changed in the runtime: two lists of a pod compared (the pod lifecycle event generator's diff). */
import type { ListedPod, RuntimeState } from '../runtime-manager/model.ts';

/** A change of a pod. What was created or removed needs no sync: nothing runs differently. */
export interface PodEvent {
  uid: string;
  kind: 'created' | 'started' | 'died' | 'removed' | 'changed';
  /** The container's or sandbox's id. */
  id: string;
}

type Life = 'absent' | 'running' | 'exited' | 'unknown';

function lifeOf(state: RuntimeState): Life {
  if (state === 'running' || state === 'exited') return state;
  return 'unknown';
}

function livesOf(pod: ListedPod | undefined): Map<string, Life> {
  const lives = new Map<string, Life>();
  for (const container of pod?.containers ?? []) lives.set(container.id, lifeOf(container.state));
  for (const sandbox of pod?.sandboxes ?? []) lives.set(sandbox.id, sandbox.ready ? 'running' : 'exited');
  return lives;
}

/** The events between two lists of one pod. */
export function diffPod(
  uid: string,
  before: ListedPod | undefined,
  after: ListedPod | undefined,
): PodEvent[] {
  const old = livesOf(before);
  const now = livesOf(after);
  const events: PodEvent[] = [];
  for (const id of new Set([...old.keys(), ...now.keys()])) {
    const from = old.get(id) ?? 'absent';
    const to = now.get(id) ?? 'absent';
    if (from === to) continue;
    if (to === 'running') events.push({ uid, kind: 'started', id });
    else if (to === 'exited') events.push({ uid, kind: 'died', id });
    else if (to === 'unknown' && from !== 'absent') events.push({ uid, kind: 'changed', id });
    else if (to === 'unknown') events.push({ uid, kind: 'created', id });
    else {
      // Vanished while it ran: it died, and it is gone.
      if (from !== 'exited') events.push({ uid, kind: 'died', id });
      events.push({ uid, kind: 'removed', id });
    }
  }
  return events;
}
