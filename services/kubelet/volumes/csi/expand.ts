/**
 * Lets a mounted volume grow: when the persistent volume has become larger than its claim says, the driver enlarges the
 * file system, and the claim is told (KEP-284, KEP-1790).
 */
import { join } from 'node:path';
import type { PersistentVolumeClaim } from '#contracts/kubernetes/types.ts';
import { isSkiffError, messageOf } from '#foundation/base/errors.ts';
import type { EventRecorder, KubeletApi } from '../../ports.ts';
import { exactOf } from '../../resources/amounts.ts';
import type { VolumeRequest } from '../plugin.ts';
import { capability } from './capability.ts';
import type { CsiDriver } from './drivers.ts';
import type { CsiSource } from './source.ts';
import { stagingPath } from './volume-data.ts';

const callMs = 120_000;

/** What it needs. */
export interface ExpandDeps {
  kubeletRoot: string;
  api: Pick<KubeletApi, 'request'> | undefined;
  events: Pick<EventRecorder, 'pod'>;
}

/** Grows the volume if it has to; nothing happens for volumes that are large enough. @throws what the driver says. */
export async function expandVolume(
  deps: ExpandDeps,
  driver: CsiDriver,
  source: CsiSource,
  request: VolumeRequest,
): Promise<void> {
  const { claim, persistent, pod, signal } = request;
  const wanted = persistent?.spec?.capacity?.storage;
  const held = claim?.status?.capacity?.storage;
  if (deps.api === undefined || claim === undefined || wanted === undefined || held === undefined) return;
  if (exactOf(wanted) <= exactOf(held) || !driver.expands || source.readOnly || request.readOnly) return;
  const name = persistent?.metadata.name ?? '';
  await tellClaim(deps.api, claim, { allocatedResourceStatuses: { storage: 'NodeResizeInProgress' } });
  try {
    await driver.node.nodeExpandVolume(
      {
        volumeId: source.handle,
        volumePath: join(request.directory, 'mount'),
        stagingTargetPath: driver.stages
          ? stagingPath(deps.kubeletRoot, { driverName: source.driver, volumeHandle: source.handle })
          : '',
        capacityRange: { requiredBytes: BigInt(Math.ceil(exactOf(wanted))) },
        volumeCapability: capability(driver, source, pod.spec.securityContext?.fsGroup),
        secrets: source.expandSecrets,
      },
      { signal, timeoutMs: callMs },
    );
  } catch (error) {
    const message = `NodeExpandVolume.NodeExpandVolume failed for volume "${name}" : ${messageOf(error)}`;
    deps.events.pod(pod, 'Warning', 'VolumeResizeFailed', message);
    // What can never succeed is for the cluster's controller to take back.
    if (isSkiffError(error, 'INVALID_ARGUMENT', 'OUT_OF_RANGE', 'NOT_FOUND'))
      await tellClaim(deps.api, claim, { allocatedResourceStatuses: { storage: 'NodeResizeInfeasible' } });
    throw error;
  }
  const over = ['FileSystemResizePending', 'Resizing'];
  await tellClaim(deps.api, claim, {
    capacity: { ...claim.status?.capacity, storage: wanted },
    allocatedResourceStatuses: { storage: null },
    conditions: (claim.status?.conditions ?? []).filter(({ type }) => !over.includes(type)),
  });
  const message = `MountVolume.NodeExpandVolume succeeded for volume "${name}"`;
  deps.events.pod(pod, 'Normal', 'FileSystemResizeSuccessful', message);
}

async function tellClaim(
  api: Pick<KubeletApi, 'request'>,
  { metadata }: PersistentVolumeClaim,
  status: object,
): Promise<void> {
  await api.request({
    method: 'PATCH',
    path: `/api/v1/namespaces/${metadata.namespace ?? 'default'}/persistentvolumeclaims/${metadata.name}/status`,
    contentType: 'application/merge-patch+json',
    body: { metadata: { uid: metadata.uid }, status },
    timeoutMs: 30_000,
  });
}
