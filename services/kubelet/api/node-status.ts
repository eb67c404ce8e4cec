/**
 * Reports the node's status: looked at every ten seconds, written when something but the heartbeat changed, else
 * every five minutes; until the node is ready it is looked at ten times a second (kubelet-facts 9). An alarm has it
 * looked at at once.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Node, NodeStatus } from '#contracts/kubernetes/types.ts';
import type { Alarm } from '#foundation/base/alarm.ts';
import { messageOf } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import { keepExtended } from '../node/extended.ts';
import type { KubeletApi, NodeInfo } from '../ports.ts';
import { getNode, nodePath } from './register-node.ts';

const tries = 5;
const fastMs = 100;
/** So long after the start the fast looks end. */
const fastUntilMs = 120_000;

export interface NodeStatusDeps {
  api: Pick<KubeletApi, 'request'> & Partial<Pick<KubeletApi, 'node'>>;
  node: Pick<NodeInfo, 'node'>;
  /** Rings when there is something that cannot wait for the next look: a shutdown, a volume to be attached. */
  alarm?: Alarm;
  clock: Clock;
  logger: Logger;
  /** `nodeStatusUpdateFrequency`. */
  updateMs: number;
  /** `nodeStatusReportFrequency`. */
  reportMs: number;
  random?: () => number;
}

/** Reports until the signal aborts. @param registered the Node as it was registered. */
export async function reportNodeStatus(
  deps: NodeStatusDeps,
  registered: Node,
  signal: AbortSignal,
): Promise<void> {
  const random = deps.random ?? Math.random;
  const began = deps.clock.monotonic();
  let known = registered;
  let reported = Number.NEGATIVE_INFINITY;
  let nextReport = deps.reportMs;
  let isStarting = true;
  const served = new Set<string>();
  while (!signal.aborted) {
    const hurry = deps.alarm?.next() ?? signal;
    const node = await deps.node.node();
    // Others write there too: the copy that the watch keeps may be newer than the last answer.
    known = newerNode(known, deps.api.node?.());
    const statusFor = (present: Node) => keepExtended(present.status, node.status ?? {}, served);
    const changed = !sameStatus(known.status, statusFor(known));
    const now = deps.clock.monotonic();
    if (changed || now - reported >= nextReport) {
      const answer = await write(deps, known, statusFor, signal);
      if (answer !== undefined) {
        known = answer;
        reported = now;
        // The first report and those after a change are spread, so that a fleet does not report in step.
        nextReport = changed ? deps.reportMs * (0.5 + random()) : deps.reportMs;
      }
    }
    // Once only: a node that loses its readiness later is looked at like any other.
    if (isReady(node) || now - began >= fastUntilMs) isStarting = false;
    const pause = isStarting ? fastMs : deps.updateMs * (1 + 0.04 * random());
    await deps.clock.sleep(pause, AbortSignal.any([signal, hurry])).catch(() => {});
  }
}

/**
 * Of two states of a Node the one with the higher version, also where somebody deleted it and made it anew; the watch
 * may be behind the answer to a write.
 */
export function newerNode(known: Node, watched: Node | undefined): Node {
  const versionOf = ({ metadata }: Node) => Number(metadata.resourceVersion ?? 0);
  return watched !== undefined && versionOf(watched) > versionOf(known) ? watched : known;
}

function isReady({ status }: Node): boolean {
  return status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true;
}

/** Whether the API has what the kubelet means, but for heartbeat times. What others wrote there is theirs. */
function sameStatus(known: NodeStatus | undefined, own: NodeStatus | undefined): boolean {
  const told = new Map((known?.conditions ?? []).map((each) => [each.type, each]));
  const sameConditions = (own?.conditions ?? []).every(({ type, status, reason, message }) => {
    const before = told.get(type);
    return before?.status === status && before.reason === reason && before.message === message;
  });
  return sameConditions && differences(known, own) === undefined;
}

/** The fields of the kubelet's status that the API has otherwise, without conditions; undefined for none. */
function differences(known: NodeStatus | undefined, own: NodeStatus | undefined): NodeStatus | undefined {
  const { conditions: _, ...rest } = own ?? {};
  return difference(known ?? {}, JSON.parse(JSON.stringify(rest))) as NodeStatus | undefined;
}

/** What of `after` is missing in `before` or otherwise there; undefined for nothing. Lists count as a whole. */
function difference(before: unknown, after: unknown): unknown {
  if (typeof after !== 'object' || after === null || Array.isArray(after)) {
    // API servers leave out what is empty.
    const same = isDeepStrictEqual(before ?? [], after) || isDeepStrictEqual(before, after);
    return same ? undefined : after;
  }
  const old = (before ?? {}) as Record<string, unknown>;
  const entries = Object.entries(after).flatMap(([name, value]) => {
    const part = difference(old[name], value);
    return part === undefined ? [] : [[name, part] as const];
  });
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

/** Writes over the copy that is here; where that fails, over what the API has, as the original does. */
async function write(
  { api, logger }: NodeStatusDeps,
  known: Node,
  statusFor: (present: Node) => NodeStatus,
  signal: AbortSignal,
): Promise<Node | undefined> {
  const { name } = known.metadata;
  for (let attempt = 1; attempt <= tries && !signal.aborted; attempt += 1) {
    try {
      const present = attempt === 1 ? known : await getNode(api, name, signal);
      const { metadata, status } = present;
      const body = { metadata: { uid: metadata.uid }, status: patchOf(status, statusFor(present)) };
      return await api.request<Node>({
        method: 'PATCH',
        path: `${nodePath(name)}/status`,
        body,
        signal,
        timeoutMs: 10_000,
      });
    } catch (error) {
      if (attempt === tries) logger.warn({ error: messageOf(error) }, 'Cannot report the status of the node');
    }
  }
  return undefined;
}

/**
 * What has changed, and the conditions with their heartbeats. Addresses would merge by type, and a node has several of
 * one type: the list is replaced as a whole.
 */
function patchOf(known: NodeStatus | undefined, own: NodeStatus | undefined): object {
  const changed = { ...differences(known, own), conditions: own?.conditions };
  if (changed.addresses === undefined) return changed;
  return { ...changed, addresses: [...changed.addresses, { $patch: 'replace' }] };
}
