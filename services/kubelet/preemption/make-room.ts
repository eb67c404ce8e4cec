/** Ends pods so that a critical one may run (the original's preemption on the node). */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { messageOf } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import { title } from '../pods/identity.ts';
import type { EventRecorder, PodControl } from '../ports.ts';
import { chooseVictims, type Shortage } from './victims.ts';

export interface PreemptionDeps {
  control: PodControl;
  events: EventRecorder;
  log: Logger;
  /** Counts a pod that was ended for want of a resource. */
  count: (resource: string) => void;
}

const message = 'Preempted in order to admit critical pod';

/**
 * Ends as few pods as can be and waits until their containers are gone. One that does not end in time is left to its
 * worker: the critical pod gets in all the same.
 *
 * @throws SkiffError RESOURCE_EXHAUSTED if not enough pods may be ended.
 */
export async function makeRoom(
  { control, events, log, count }: PreemptionDeps,
  pod: Pod,
  others: readonly Pod[],
  shortages: readonly Shortage[],
): Promise<void> {
  for (const victim of chooseVictims(pod, others, shortages)) {
    events.pod(victim, 'Warning', 'Preempting', message);
    log.warn({ pod: title(victim), for: title(pod) }, 'ending a pod to make room for a critical one');
    try {
      await control.killPod(victim, {
        reason: 'Preempting',
        message,
        condition: {
          type: 'DisruptionTarget',
          status: 'True',
          reason: 'TerminationByKubelet',
          message: 'Pod was preempted by Kubelet to accommodate a critical pod.',
        },
        evicted: true,
      });
      count(shortages[0]?.resource ?? '');
    } catch (error) {
      log.error({ pod: title(victim), error: messageOf(error) }, 'cannot end a pod that should make room');
    }
  }
}
