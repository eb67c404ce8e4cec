/** Keeps the node known to the API server: registration, status, lease. */

import { keepLease, type LeaseDeps } from './lease.ts';
import { type NodeStatusDeps, newerNode, reportNodeStatus } from './node-status.ts';
import { findNode, registerNode } from './register-node.ts';

export interface NodeKeeperDeps extends NodeStatusDeps, Omit<LeaseDeps, 'api'> {
  /** Whether to make the Node object if it is missing: `registerNode`. Else somebody else makes it. */
  register: boolean;
}

/** Runs until the signal aborts. */
export async function keepNode(deps: NodeKeeperDeps, signal: AbortSignal): Promise<void> {
  const node = await (deps.register ? registerNode(deps, signal) : findNode(deps, signal));
  if (node === undefined) return;
  const present = () => newerNode(node, deps.api.node?.());
  await Promise.all([reportNodeStatus(deps, node, signal), keepLease(deps, present, signal)]);
}
