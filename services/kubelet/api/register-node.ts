/** Makes the Node object, or brings the labels of the present one up to date (kubelet-facts 9). */
import type { Node } from '#contracts/kubernetes/types.ts';
import { isSkiffError, messageOf } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { KubeletApi, NodeInfo } from '../ports.ts';

const firstRetryMs = 100;
const longestRetryMs = 7000;

export interface RegisterDeps {
  api: Pick<KubeletApi, 'request'>;
  node: Pick<NodeInfo, 'node'>;
  clock: Clock;
  logger: Logger;
}

/** The path of a Node. */
export function nodePath(name: string): string {
  return `/api/v1/nodes/${name}`;
}

/** Tries until it has succeeded, or the signal aborts. @returns the Node as the API has it. */
export function registerNode(deps: RegisterDeps, signal: AbortSignal): Promise<Node | undefined> {
  const register = async () => registerOnce(deps, await deps.node.node(), signal);
  return retry(deps, register, 'Cannot register the node', signal);
}

/** Waits for the Node that somebody else makes: `registerNode: false`. @returns undefined when the signal aborts. */
export async function findNode(deps: RegisterDeps, signal: AbortSignal): Promise<Node | undefined> {
  const { metadata } = await deps.node.node();
  const find = () => getNode(deps.api, metadata.name, signal);
  return retry(deps, find, 'Cannot find the node, which somebody else is to make (registerNode)', signal);
}

/** The Node as the API has it now. @throws SkiffError NOT_FOUND. */
export function getNode(api: RegisterDeps['api'], name: string, signal?: AbortSignal): Promise<Node> {
  return api.request<Node>({ method: 'GET', path: nodePath(name), timeoutMs: 10_000, signal });
}

async function retry(
  { clock, logger }: RegisterDeps,
  attempt: () => Promise<Node>,
  failure: string,
  signal: AbortSignal,
): Promise<Node | undefined> {
  for (let pause = firstRetryMs; !signal.aborted; pause = Math.min(longestRetryMs, pause * 2)) {
    try {
      return await attempt();
    } catch (error) {
      if (!signal.aborted) logger.warn({ error: messageOf(error) }, failure);
    }
    await clock.sleep(pause, signal).catch(() => {});
  }
  return undefined;
}

async function registerOnce({ api }: RegisterDeps, own: Node, signal: AbortSignal): Promise<Node> {
  try {
    return await api.request<Node>({ method: 'POST', path: '/api/v1/nodes', body: own, signal });
  } catch (error) {
    if (!isSkiffError(error, 'ALREADY_EXISTS')) throw error;
  }
  const path = nodePath(own.metadata.name);
  const present = await getNode(api, own.metadata.name, signal);
  const patch = differences(present, own);
  if (patch === undefined) return present;
  return api.request<Node>({ method: 'PATCH', path, body: { metadata: patch }, signal });
}

/** Labels and annotations the kubelet owns that the present object has not, or has otherwise. */
function differences(present: Node, own: Node): object | undefined {
  const missing = (have: Record<string, string> = {}, want: Record<string, string> = {}) =>
    Object.fromEntries(Object.entries(want).filter(([key, value]) => have[key] !== value));
  const labels = missing(present.metadata.labels, own.metadata.labels);
  const annotations = missing(present.metadata.annotations, own.metadata.annotations);
  if (Object.keys(labels).length + Object.keys(annotations).length === 0) return undefined;
  return { labels, annotations };
}
