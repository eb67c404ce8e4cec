/** A container's state document: https://github.com/opencontainers/runtime-spec/blob/main/runtime.md#state */
import { ociVersion, type RuntimeState } from '#contracts/oci/runtime.ts';
import type { ContainerRecord } from './records.ts';

/** What hooks are told. */
export function stateOf(
  record: ContainerRecord,
  status: RuntimeState['status'] = record.status,
): RuntimeState {
  const { id, bundle, shim, annotations } = record;
  return { ociVersion, id, status, pid: status === 'stopped' ? 0 : shim.pid, bundle, annotations };
}
