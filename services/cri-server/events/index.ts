/**
 * GetContainerEvents: what happens to sandboxes and containers, as it happens. Each event carries the pod's
 * status and its containers' at that moment: the kubelet drops those that do not, also for what was deleted.
 */
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  type ContainerEventResponseSchema,
  ContainerEventType,
  PodSandboxState,
  type PodSandboxStatusSchema,
  type RuntimeService,
} from '#contracts/cri/runtime_pb.ts';
import { nowNanos } from '#foundation/base/time.ts';
import type { Handlers } from '#foundation/grpc/server.ts';
import { statusOf } from '../containers/status.ts';
import type { Container } from '../containers/table.ts';
import type { SandboxView } from '../ports.ts';
import { createFeed } from './feed.ts';

type ContainerEvent = MessageInitShape<typeof ContainerEventResponseSchema>;

/** What happened. */
export type EventKind = 'created' | 'started' | 'stopped' | 'deleted';

/** The feed and its RPC. */
export interface Events {
  handlers: Handlers<typeof RuntimeService>;
  /** For `createSandboxes`' `emit`. */
  sandboxEvent(kind: EventKind, sandbox: SandboxView): void;
  /** For `createContainers`' `onEvent`. */
  containerEvent(kind: EventKind, container: Container): void;
}

/** What the feed needs of the others; asked when something happens and somebody listens. */
export interface EventsDeps {
  sandbox(id: string): SandboxView | undefined;
  containersOf(sandboxId: string): Container[];
}

const eventTypes: Readonly<Record<EventKind, ContainerEventType>> = {
  created: ContainerEventType.CONTAINER_CREATED_EVENT,
  started: ContainerEventType.CONTAINER_STARTED_EVENT,
  stopped: ContainerEventType.CONTAINER_STOPPED_EVENT,
  deleted: ContainerEventType.CONTAINER_DELETED_EVENT,
};

/** Makes the feed. */
export function createEvents(deps: EventsDeps): Events {
  const feed = createFeed<ContainerEvent>();
  const publish = (id: string, kind: EventKind, sandbox: SandboxView | undefined, sandboxId: string) => {
    if (feed.subscribers === 0) return;
    feed.publish({
      containerId: id,
      containerEventType: eventTypes[kind],
      createdAt: nowNanos(),
      podSandboxStatus: sandbox === undefined ? undefined : podStatus(sandbox),
      containersStatuses: deps.containersOf(sandboxId).map(statusOf),
    });
  };
  return {
    handlers: { getContainerEvents: (_request, { signal }) => feed.subscribe(signal) },
    sandboxEvent: (kind, sandbox) => publish(sandbox.id, kind, sandbox, sandbox.id),
    containerEvent: (kind, { id, record }) =>
      publish(id, kind, deps.sandbox(record.sandboxId), record.sandboxId),
  };
}

function podStatus(sandbox: SandboxView): MessageInitShape<typeof PodSandboxStatusSchema> {
  const { config, ips } = sandbox;
  return {
    id: sandbox.id,
    metadata: config.metadata,
    state: sandbox.ready ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY,
    createdAt: sandbox.createdAt,
    network: { ip: ips[0] ?? '', additionalIps: ips.slice(1).map((ip) => ({ ip })) },
    linux: { namespaces: { options: config.linux?.securityContext?.namespaceOptions } },
    labels: config.labels,
    annotations: config.annotations,
    runtimeHandler: sandbox.runtimeHandler,
  };
}
