/**
 * Facts about this machine for all parts of the kubelet: its addresses, what it has and offers, and the Node object
 * that says so to the API. `register.ts` and `heartbeat.ts` bring that object to the API.
 */
import type { CriClient } from '#contracts/cri/client.ts';
import type { Node } from '#contracts/kubernetes/types.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { KubeletConfiguration } from '../configuration/defaults.ts';
import type { NodeInfo, Pressure, RuntimeHealth } from '../ports.ts';
import { nodeAddresses } from './addresses.ts';
import { type NodeResources, nodeAllocatable, nodeCapacity } from './capacity.ts';
import type { NodeCondition } from './conditions.ts';
import type { Machine } from './machine.ts';
import { type NodeImage, nodeObject } from './node-object.ts';

/** What node facts need. */
export interface NodeInfoDeps {
  name: string;
  hostname: string;
  /** `--node-ip`; empty to find out. */
  nodeIps: readonly string[];
  labels: Readonly<Record<string, string>>;
  kubeletRoot: string;
  machine: Machine;
  configuration: KubeletConfiguration;
  images: Pick<CriClient['images'], 'listImages'>;
  clock: Clock;
  health: () => RuntimeHealth;
  pressure: () => Pressure;
  /** Devices by resource name: all, and those that are healthy. */
  devices: () => { capacity: ReadonlyMap<string, number>; allocatable: ReadonlyMap<string, number> };
  volumesInUse: () => string[];
  /** Why the node is not ready, beyond the runtime: shutting down. */
  extraErrors: () => string[];
}

/** Node facts with the numbers that other parts of the kubelet need. */
export interface NodeFactsView extends NodeInfo {
  capacity(): NodeResources;
  allocatable(): NodeResources;
}

/** Makes the node's facts. */
export function createNodeInfo(deps: NodeInfoDeps): NodeFactsView {
  let before: readonly NodeCondition[] = [];
  const capacity = () =>
    nodeCapacity(deps.machine, deps.configuration, deps.kubeletRoot, deps.devices().capacity);
  const allocatable = () => ({
    ...nodeAllocatable(capacity(), deps.configuration),
    devices: deps.devices().allocatable,
  });
  // Addresses change seldom and are asked for often.
  let addresses: { at: number; list: string[] } | undefined;
  const ips = () => {
    const now = deps.clock.monotonic();
    if (addresses === undefined || now - addresses.at > 10_000)
      addresses = { at: now, list: nodeAddresses(deps.nodeIps) };
    return addresses.list;
  };
  return {
    name: deps.name,
    ips,
    capacity,
    allocatable,
    async node(): Promise<Node> {
      const object = nodeObject({
        ...deps,
        addresses: ips(),
        capacity: capacity(),
        allocatable: allocatable(),
        pressure: deps.pressure(),
        health: deps.health(),
        images: await listImages(deps.images),
        volumesInUse: deps.volumesInUse(),
        extraErrors: deps.extraErrors(),
        before,
        now: `${new Date(deps.clock.now()).toISOString().slice(0, 19)}Z`,
      });
      before = object.status?.conditions ?? [];
      return object;
    },
  };
}

/** The images of the runtime; none while it does not answer, which its health says already. */
async function listImages(client: Pick<CriClient['images'], 'listImages'>): Promise<NodeImage[]> {
  try {
    const { images } = await client.listImages({}, { timeoutMs: 10_000 });
    return images.map((image) => ({
      names: [...image.repoDigests, ...image.repoTags],
      sizeBytes: Number(image.size),
    }));
  } catch {
    return [];
  }
}
