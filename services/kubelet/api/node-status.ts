/**
 * Reports the node's status: looked at every ten seconds, written when something but the heartbeat changed, else
 * every five minutes; until the node is ready it is looked at ten times a second (kubelet-facts 9).
 */
import { isDeepStrictEqual } from 'node:util';
import type { Node, NodeStatus } from '#contracts/kubernetes/types.ts';
import { messageOf } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { KubeletApi, NodeInfo } from '../ports.ts';
import { nodePath } from './register-node.ts';

const tries = 5;
const fastMs = 100;
/** So long after the start the fast looks end. */
const fastUntilMs = 120_000;

export interface NodeStatusDeps {
  api: Pick<KubeletApi, 'request'>;
  node: Pick<NodeInfo, 'node'>;
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
  while (!signal.aborted) {
    const own = await deps.node.node();
    const changed = !sameStatus(known.status, own.status);
    const now = deps.clock.monotonic();
    if (changed || now - reported >= nextReport) {
      const answer = await write(deps, known, own, signal);
      if (answer !== undefined) {
        known = answer;
        reported = now;
        // The first report and those after a change are spread, so that a fleet does not report in step.
        nextReport = changed ? deps.reportMs * (0.5 + random()) : deps.reportMs;
      }
    }
    const isFast = !isReady(own) && now - began < fastUntilMs;
    const pause = isFast ? fastMs : deps.updateMs * (1 + 0.04 * random());
    await deps.clock.sleep(pause, signal).catch(() => {});
  }
}

function isReady({ status }: Node): boolean {
  return status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true;
}

/** Whether two statuses differ in heartbeat times only. */
function sameStatus(a: NodeStatus | undefined, b: NodeStatus | undefined): boolean {
  return isDeepStrictEqual(withoutTimes(a), withoutTimes(b));
}

function withoutTimes(status: NodeStatus | undefined): unknown {
  const conditions = (status?.conditions ?? []).map(({ type, status: is, reason, message }) => ({
    type,
    is,
    reason,
    message,
  }));
  return withoutEmpty(JSON.parse(JSON.stringify({ ...status, conditions })));
}

/** Without empty lists and objects, which API servers leave out: a node without images has not changed for it. */
function withoutEmpty(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(withoutEmpty);
  const entries = Object.entries(value).map(([key, each]) => [key, withoutEmpty(each)] as const);
  return Object.fromEntries(entries.filter(([, each]) => !isEmpty(each)));
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

async function write(
  { api, logger }: NodeStatusDeps,
  known: Node,
  own: Node,
  signal: AbortSignal,
): Promise<Node | undefined> {
  for (let attempt = 1; attempt <= tries && !signal.aborted; attempt += 1) {
    try {
      const body = { metadata: { uid: known.metadata.uid }, status: patchOf(own.status) };
      return await api.request<Node>({
        method: 'PATCH',
        path: `${nodePath(own.metadata.name)}/status`,
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

/** Addresses would merge by type, and a node has several of one type: the list is replaced as a whole. */
function patchOf(own: NodeStatus | undefined): object {
  return { ...own, addresses: [...(own?.addresses ?? []), { $patch: 'replace' }] };
}
