/** Which containers must end, and why. */
import type { AnyContainer, ProbeManager } from '../ports.ts';
import { containerHash } from './hash.ts';
import type { ContainerRecord } from './model.ts';

/** Why a container is killed; decides its grace period. */
export type KillReason =
  | 'startup-probe'
  | 'liveness-probe'
  | 'unknown-state'
  | 'changed'
  | 'restart-all'
  | 'other';

/** A container to stop. */
export interface Kill {
  record: ContainerRecord;
  /** Undefined for containers that the spec no longer has. */
  container: AnyContainer | undefined;
  message: string;
  reason: KillReason;
}

/** Probe results, as the decisions need them. */
export type ProbeResults = Pick<ProbeManager, 'result'>;

/** A container whose state the runtime does not know is ended before it is started again. */
export function unknownKill(container: AnyContainer, record: ContainerRecord): Kill {
  const message = 'Container is in "unknown" state, try killing it before restart';
  return { record, container, message, reason: 'unknown-state' };
}

/** Why a running container must end; undefined when it may go on. */
export function reasonToKill(
  container: AnyContainer,
  record: ContainerRecord,
  probes: ProbeResults,
): Kill | undefined {
  const what = `Container ${container.name}`;
  if (record.hash !== '' && record.hash !== containerHash(container)) {
    return { record, container, reason: 'changed', message: `${what} definition changed` };
  }
  if (probes.result('liveness', record.id) === 'failure') {
    return { record, container, reason: 'liveness-probe', message: `${what} failed liveness probe` };
  }
  if (probes.result('startup', record.id) === 'failure') {
    return { record, container, reason: 'startup-probe', message: `${what} failed startup probe` };
  }
  return undefined;
}
