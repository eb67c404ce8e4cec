/** One container of the runtime as Kubernetes describes it. */
import { Signal } from '#contracts/cri/runtime_pb.ts';
import type { ContainerState, ContainerStatus } from '#contracts/kubernetes/types.ts';
import type { AnyContainer } from '../ports.ts';
import type { ContainerRecord } from '../runtime-manager/model.ts';
import { resourcesOf } from './container-resources.ts';

/** The reason of a container whose end nobody saw, and the exit code it is given. */
const unknownReason = 'ContainerStatusUnknown';
const unknownExitCode = 137;

/** `2026-01-02T03:04:05Z`: Kubernetes keeps whole seconds. */
export function timeText(ms: number): string {
  return `${new Date(Math.floor(ms / 1000) * 1000).toISOString().slice(0, 19)}Z`;
}

/** How a container that vanished is described. */
export function lostState(message: string): ContainerState {
  return { terminated: { reason: unknownReason, message, exitCode: unknownExitCode } };
}

/** The state of a container; one that was created and not started counts as ended. */
function stateFrom(record: ContainerRecord, id: string, before: ContainerStatus | undefined): ContainerState {
  if (record.state === 'running') return { running: { startedAt: timeText(record.startedAt) } };
  if (record.state === 'unknown') {
    if (before?.state?.running === undefined) return { waiting: {} };
    return lostState('The container could not be located when the pod was terminated');
  }
  return {
    terminated: {
      exitCode: record.exitCode,
      ...(record.reason === '' ? {} : { reason: record.reason }),
      ...(record.message === '' ? {} : { message: record.message }),
      ...(record.startedAt > 0 ? { startedAt: timeText(record.startedAt) } : {}),
      ...(record.finishedAt > 0 ? { finishedAt: timeText(record.finishedAt) } : {}),
      containerID: id,
    },
  };
}

/** What a container's newest record says. `ready` and `started` are filled in by the probes' results. */
export function statusFrom(
  container: AnyContainer,
  record: ContainerRecord,
  runtimeName: string,
  before: ContainerStatus | undefined,
): ContainerStatus {
  const containerID = `${runtimeName}://${record.id}`;
  const volumeMounts = (container.volumeMounts ?? []).map(
    ({ name, mountPath, readOnly, recursiveReadOnly }) => {
      const recursive = record.mounts.find((mount) => mount.containerPath === mountPath)?.recursiveReadOnly;
      return {
        name,
        mountPath,
        ...(readOnly === true ? { readOnly } : {}),
        ...(recursiveReadOnly === undefined && recursive !== true
          ? {}
          : { recursiveReadOnly: recursive === true ? 'Enabled' : 'Disabled' }),
      };
    },
  );
  const user = record.user?.linux;
  return {
    name: container.name,
    ready: false,
    started: false,
    restartCount: record.restartCount,
    image: record.image,
    imageID: record.imageRef,
    containerID,
    state: stateFrom(record, containerID, before),
    ...resourcesOf(container, record),
    ...(volumeMounts.length > 0 ? { volumeMounts } : {}),
    ...(user === undefined ? {} : { user: { linux: userOf(user) } }),
    ...(record.stopSignal > 0 ? { stopSignal: signalName(record.stopSignal) } : {}),
  };
}

function userOf(user: { uid: bigint; gid: bigint; supplementalGroups: bigint[] }) {
  return {
    uid: Number(user.uid),
    gid: Number(user.gid),
    supplementalGroups: user.supplementalGroups.map(Number),
  };
}

/** `SIGTERM`, as the CRI numbers it. */
function signalName(number: number): string | undefined {
  return Object.entries(Signal).find(([, value]) => value === number)?.[0];
}
