/** Sandboxes as the CRI shows them: PodSandboxStatus, ListPodSandbox. */
import { create, type MessageInitShape, toJson } from '@bufbuild/protobuf';
import {
  PodSandboxConfigSchema,
  type PodSandboxFilter,
  type PodSandboxSchema,
  PodSandboxState,
  type PodSandboxStatus,
  PodSandboxStatusSchema,
} from '#contracts/cri/runtime_pb.ts';
import { podIps } from '../network/addresses.ts';
import type { Sandbox } from './lifecycle.ts';

/** READY or NOTREADY: the CRI has no others. */
function stateOf({ state }: Sandbox): PodSandboxState {
  return state.phase === 'ready' ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY;
}

/** The status message; metadata, labels, annotations and namespace options are the request's own. */
export function statusOf(sandbox: Sandbox): PodSandboxStatus {
  const { config, resources } = sandbox;
  const [ip = '', ...others] =
    resources.network?.result === undefined ? [] : podIps(resources.network.result);
  return create(PodSandboxStatusSchema, {
    id: sandbox.id,
    metadata: config.metadata,
    state: stateOf(sandbox),
    createdAt: sandbox.createdAt,
    network: { ip, additionalIps: others.map((other) => ({ ip: other })) },
    linux: { namespaces: { options: config.linux?.securityContext?.namespaceOptions ?? {} } },
    labels: config.labels,
    annotations: config.annotations,
    runtimeHandler: sandbox.handler,
  });
}

/** One row of a list. */
export function listItemOf(sandbox: Sandbox): MessageInitShape<typeof PodSandboxSchema> {
  const { id, config, createdAt, handler } = sandbox;
  const { metadata, labels, annotations } = config;
  return { id, metadata, state: stateOf(sandbox), createdAt, labels, annotations, runtimeHandler: handler };
}

/** Whether a sandbox passes a filter: every condition that is set. The id may be a prefix. */
export function matches(sandbox: Sandbox, filter: PodSandboxFilter | undefined): boolean {
  if (filter === undefined) return true;
  if (filter.id !== '' && !sandbox.id.startsWith(filter.id)) return false;
  if (filter.state !== undefined && filter.state.state !== stateOf(sandbox)) return false;
  return Object.entries(filter.labelSelector).every(([key, value]) => sandbox.config.labels[key] === value);
}

/** What the verbose status adds: JSON for people and debuggers. */
export function infoOf(sandbox: Sandbox): Record<string, string> {
  const { resources, state } = sandbox;
  const info = {
    pid: resources.pause?.pid ?? 0,
    phase: state.phase,
    why: state.phase === 'stopping' ? state.why : undefined,
    runtimeHandler: sandbox.handler,
    namespaces: resources.namespaces,
    netNamespaceClosed: resources.namespaces.network === undefined,
    cniResult: resources.network?.result,
    network: resources.network?.plan.list.name,
    config: toJson(PodSandboxConfigSchema, sandbox.config),
  };
  return { info: JSON.stringify(info) };
}
