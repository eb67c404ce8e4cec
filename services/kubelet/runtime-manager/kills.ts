/** Which containers must end, and why. */
import type { Pod, ResourceRequirements } from '#contracts/kubernetes/types.ts';
import type { AnyContainer, ProbeManager } from '../ports.ts';
import { containerHash } from './hash.ts';
import type { ContainerRecord } from './model.ts';
import { resizeOf } from './resize-decision.ts';

/** Why a container is killed; decides its grace period. */
export type KillReason =
  | 'startup-probe'
  | 'liveness-probe'
  | 'unknown-state'
  | 'changed'
  | 'restart-all'
  | 'resize'
  | 'other';

/** A container to stop. */
export interface Kill {
  record: ContainerRecord;
  /** Undefined for containers that the spec no longer has. */
  container: AnyContainer | undefined;
  message: string;
  reason: KillReason;
}

/** What decisions about running containers look at besides the runtime. */
export interface Signals extends Pick<ProbeManager, 'result'> {
  /** The resources a container runs with; undefined when not known. */
  actuated(uid: string, container: string): ResourceRequirements | undefined;
}

/** A container whose state the runtime does not know is ended before it is started again. */
export function unknownKill(container: AnyContainer, record: ContainerRecord): Kill {
  const message = 'Container is in "unknown" state, try killing it before restart';
  return { record, container, message, reason: 'unknown-state' };
}

/** Why a running container must end; undefined when it may go on. */
export function reasonToKill(
  pod: Pod,
  container: AnyContainer,
  record: ContainerRecord,
  signals: Signals,
): Kill | undefined {
  const what = `Container ${container.name}`;
  if (record.hash !== '' && record.hash !== containerHash(container)) {
    return { record, container, reason: 'changed', message: `${what} definition changed` };
  }
  if (signals.result('liveness', record.id) === 'failure') {
    return { record, container, reason: 'liveness-probe', message: `${what} failed liveness probe` };
  }
  if (signals.result('startup', record.id) === 'failure') {
    return { record, container, reason: 'startup-probe', message: `${what} failed startup probe` };
  }
  if (resizeOf(pod, container, signals) === 'restart') {
    return { record, container, reason: 'resize', message: `${what} resize requires restart` };
  }
  return undefined;
}
