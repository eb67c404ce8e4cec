/** Keeps the node known to the API server: registration, status, lease. */

import { keepLease, type LeaseDeps } from './lease.ts';
import { type NodeStatusDeps, reportNodeStatus } from './node-status.ts';
import { registerNode } from './register-node.ts';

export interface NodeKeeperDeps extends NodeStatusDeps, Omit<LeaseDeps, 'api'> {
  /** Whether to make the Node object if it is missing: `registerNode`. */
  register: boolean;
}

/** Runs until the signal aborts. */
export async function keepNode(deps: NodeKeeperDeps, signal: AbortSignal): Promise<void> {
  if (!deps.register) return;
  const node = await registerNode(deps, signal);
  if (node === undefined) return;
  await Promise.all([reportNodeStatus(deps, node, signal), keepLease(deps, node, signal)]);
}
