/** The node's lease: a small object that is renewed often, so that the control plane knows the node is alive. */
import type { Lease, Node } from '#contracts/kubernetes/types.ts';
import { isSkiffError, messageOf } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { KubeletApi } from '../ports.ts';

const collection = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases';

export interface LeaseDeps {
  api: Pick<KubeletApi, 'request'>;
  clock: Clock;
  logger: Logger;
  /** `nodeLeaseDurationSeconds`; it is renewed four times as often. */
  durationSeconds: number;
  random?: () => number;
}

/** Renews the lease of a node until the signal aborts. @param node the Node as it is now: one that was made anew has another UID. */
export async function keepLease(deps: LeaseDeps, node: () => Node, signal: AbortSignal): Promise<void> {
  const { clock, durationSeconds, logger, random = Math.random } = deps;
  let lease: Lease | undefined;
  while (!signal.aborted) {
    try {
      lease = await renew(deps, node(), lease, signal);
    } catch (error) {
      lease = undefined;
      if (!signal.aborted) logger.warn({ error: messageOf(error) }, 'Cannot renew the lease of the node');
    }
    await clock.sleep(durationSeconds * 250 * (1 + 0.04 * random()), signal).catch(() => {});
  }
}

async function renew(
  { api, clock, durationSeconds }: LeaseDeps,
  node: Node,
  known: Lease | undefined,
  signal: AbortSignal,
): Promise<Lease> {
  const { name, uid = '' } = node.metadata;
  const path = `${collection}/${name}`;
  const renewTime = new Date(clock.now()).toISOString().replace('Z', '000Z');
  const call = { signal, timeoutMs: 10_000, model: 'Lease' };
  const present = known ?? (await find(api, path, signal));
  // Left out, they stay as they are: they are half of the bytes.
  const { managedFields: _, ...metadata } = present?.metadata ?? { name };
  const lease: Lease = {
    ...present,
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {
      ...metadata,
      name,
      namespace: 'kube-node-lease',
      ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name, uid }],
    },
    spec: { ...present?.spec, holderIdentity: name, leaseDurationSeconds: durationSeconds, renewTime },
  };
  if (present === undefined)
    return api.request<Lease>({ method: 'POST', path: collection, body: lease, ...call });
  return api.request<Lease>({ method: 'PUT', path, body: lease, ...call });
}

async function find(api: LeaseDeps['api'], path: string, signal: AbortSignal): Promise<Lease | undefined> {
  try {
    return await api.request<Lease>({ method: 'GET', path, signal, timeoutMs: 10_000, model: 'Lease' });
  } catch (error) {
    if (isSkiffError(error, 'NOT_FOUND')) return undefined;
    throw error;
  }
}
