/** Containers as the CRI tells of them: in lists and, in full, in status. */
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  type ContainerConfig,
  type ContainerFilter,
  ContainerSchema,
  type ContainerStatusResponseSchema,
  type ContainerStatusSchema,
  ListContainersResponseSchema,
  type Mount,
} from '#contracts/cri/runtime_pb.ts';
import { encodedElement } from '#foundation/grpc/encoded.ts';
import type { Core } from './deps.ts';
import { criState } from './lifecycle.ts';
import { specOf } from './places.ts';
import type { ContainerRecord } from './record.ts';
import { criSignal } from './signals.ts';
import type { Container } from './table.ts';

/**
 * Containers that match every part of the filter, oldest first: elements of a list's answer in wire format. The
 * kubelet lists once a second, and encoding 500 containers takes 10 ms, so each is encoded once for each change.
 */
export function listContainers(core: Pick<Core, 'table'>, filter?: ContainerFilter): Uint8Array[] {
  return core.table
    .list()
    .filter((container) => matches(container, filter))
    .map((container) => {
      // A change of a container replaces its record.
      if (container.listed?.of !== container.record)
        container.listed = { of: container.record, element: listElement(container) };
      return container.listed.element;
    });
}

function listElement({ id, record, config }: Container): Uint8Array {
  const item = create(ContainerSchema, {
    id,
    podSandboxId: record.sandboxId,
    metadata: config.metadata,
    image: config.image,
    imageRef: record.image.id,
    imageId: record.image.id,
    state: criState(record.life),
    createdAt: record.createdAt,
    labels: config.labels,
    annotations: config.annotations,
  });
  // The answers of ListContainers and of StreamContainers have the field under one number.
  return encodedElement(
    ListContainersResponseSchema.field.containers.number,
    toBinary(ContainerSchema, item),
  );
}

function matches({ id, record, config }: Container, filter: ContainerFilter | undefined): boolean {
  if (filter === undefined) return true;
  return (
    id.startsWith(filter.id) &&
    record.sandboxId.startsWith(filter.podSandboxId) &&
    (filter.state === undefined || filter.state.state === criState(record.life)) &&
    Object.entries(filter.labelSelector).every(([key, value]) => config.labels[key] === value)
  );
}

/** The status of a container. */
export function statusOf({ id, record, config }: Container): MessageInitShape<typeof ContainerStatusSchema> {
  const { life, user, image } = record;
  const exited = life.phase === 'exited' ? life : undefined;
  return {
    id,
    metadata: config.metadata,
    state: criState(life),
    createdAt: record.createdAt,
    startedAt: life.phase === 'running' || life.phase === 'exited' ? life.startedAt : 0n,
    finishedAt: exited?.finishedAt ?? 0n,
    exitCode: exited?.exitCode ?? 0,
    reason: exited?.reason ?? '',
    message: exited?.message ?? '',
    image: {
      image: image.name,
      annotations: config.image?.annotations,
      userSpecifiedImage: config.image?.userSpecifiedImage,
    },
    imageRef: image.ref,
    imageId: image.id,
    labels: config.labels,
    annotations: config.annotations,
    mounts: mountsOf(record, config),
    logPath: record.logPath,
    resources: { linux: config.linux?.resources },
    user: {
      linux: { uid: BigInt(user.uid), gid: BigInt(user.gid), supplementalGroups: user.groups.map(BigInt) },
    },
    stopSignal: criSignal(record.stopSignal),
  };
}

/** As in the request; an image volume also tells which image it is (KEP-5365). */
function mountsOf({ volumeImages }: ContainerRecord, { mounts }: ContainerConfig): Mount[] {
  if (volumeImages === undefined) return mounts;
  return mounts.map((mount, index) => {
    const imageRef = volumeImages[index];
    if (imageRef === undefined || mount.image === undefined) return mount;
    return { ...mount, image: { ...mount.image, imageRef } };
  });
}

/** What ContainerStatus answers; `verbose` adds process id and config.json under `info`, as JSON. */
export function statusResponse(
  core: Core,
  id: string,
  verbose: boolean,
): MessageInitShape<typeof ContainerStatusResponseSchema> {
  const container = core.table.get(id);
  const status = statusOf(container);
  return verbose ? { status, info: { info: JSON.stringify(verboseInfo(core, container)) } } : { status };
}

function verboseInfo(core: Core, container: Container): Record<string, unknown> {
  const { life, sandboxId, runtime, cgroupPath } = container.record;
  const pid = life.phase === 'created' || life.phase === 'running' ? life.process.pid : 0;
  const privileged = container.config.linux?.securityContext?.privileged === true;
  return {
    sandboxID: sandboxId,
    pid,
    runtimeType: runtime,
    privileged,
    cgroupPath,
    runtimeSpec: readSpec(core, container),
  };
}

function readSpec(core: Core, container: Container): unknown {
  try {
    return specOf(core, container);
  } catch {
    return null;
  }
}
