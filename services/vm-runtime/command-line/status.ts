/** How a container stands, of its record and its shim alone: no supervisor has to be there to tell. */
import { isRunning } from '#foundation/linux/process.ts';
import type { ContainerRecord, ContainerStatus } from '../supervisor/records.ts';

/** The status as `state` tells it. A shim that is gone took the container with it. */
export function statusOf(record: ContainerRecord): ContainerStatus {
  return record.status !== 'stopped' && !isRunning(record.shim) ? 'stopped' : record.status;
}
