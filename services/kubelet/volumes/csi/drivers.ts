/** The CSI drivers that registered on this node, and the CSINode object that tells the cluster of them. */
import { NodeServiceCapability_RPC_Type as Capability, Node } from '#contracts/csi/csi_pb.ts';
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import { type Channel, type Client, openChannel } from '#foundation/grpc/client.ts';
import type { PluginFound, PluginHandler } from '../../devices/plugin-registry.ts';
import type { KubeletApi } from '../../ports.ts';

/** A driver. */
export interface CsiDriver {
  name: string;
  node: Client<typeof Node>;
  /** Whether volumes are staged once for the node before pods get them. */
  stages: boolean;
  /** Whether it measures volumes, says whether they are well, and lets them grow while they are mounted. */
  measures: boolean;
  examines: boolean;
  expands: boolean;
  /** Whether it tells one writer of a node from several. */
  tellsWriters: boolean;
  /** Whether it sees to the group of a volume's files itself. */
  setsGroup: boolean;
}

/** The drivers. */
export interface CsiDrivers extends PluginHandler {
  /** @throws SkiffError UNAVAILABLE if it is not registered. */
  get(name: string): CsiDriver;
  close(): void;
}

interface Entry extends CsiDriver {
  channel: Channel;
}

/** @param deps.api undefined without an API server: then nobody is told. */
export function createCsiDrivers(deps: {
  api: Pick<KubeletApi, 'request'> | undefined;
  nodeName: string;
}): CsiDrivers {
  const drivers = new Map<string, Entry>();
  return {
    async added(plugin) {
      const entry = await connect(plugin);
      try {
        if (deps.api !== undefined) await publish(deps.api, deps.nodeName, entry);
      } catch (error) {
        entry.channel.close();
        throw error;
      }
      drivers.get(plugin.name)?.channel.close();
      drivers.set(plugin.name, entry);
    },
    removed(name) {
      drivers.get(name)?.channel.close();
      drivers.delete(name);
    },
    get(name) {
      const found = drivers.get(name);
      if (found !== undefined) return found;
      throw new SkiffError(
        'UNAVAILABLE',
        `driver name ${name} not found in the list of registered CSI drivers`,
      );
    },
    close() {
      for (const { channel } of drivers.values()) channel.close();
      drivers.clear();
    },
  };
}

async function connect({ name, endpoint }: PluginFound): Promise<Entry> {
  const channel = openChannel(`unix://${endpoint}`);
  try {
    const node = channel.client(Node);
    const { capabilities } = await node.nodeGetCapabilities({}, { timeoutMs: 30_000 });
    const can = (wanted: Capability) =>
      capabilities.some(({ type }) => type.case === 'rpc' && type.value.type === wanted);
    return {
      name,
      node,
      channel,
      stages: can(Capability.STAGE_UNSTAGE_VOLUME),
      measures: can(Capability.GET_VOLUME_STATS),
      examines: can(Capability.VOLUME_CONDITION),
      expands: can(Capability.EXPAND_VOLUME),
      tellsWriters: can(Capability.SINGLE_NODE_MULTI_WRITER),
      setsGroup: can(Capability.VOLUME_MOUNT_GROUP),
    };
  } catch (error) {
    channel.close();
    throw error;
  }
}

interface CsiNode {
  metadata?: { name?: string };
  spec?: {
    drivers?: { name: string; nodeID: string; topologyKeys?: string[]; allocatable?: { count: number } }[];
  };
}

/** Puts the driver into the node's CSINode object, made if it is not there. */
async function publish(
  api: Pick<KubeletApi, 'request'>,
  nodeName: string,
  { name, node }: Entry,
): Promise<void> {
  const info = await node.nodeGetInfo({}, { timeoutMs: 30_000 });
  const driver = {
    name,
    nodeID: info.nodeId,
    topologyKeys: Object.keys(info.accessibleTopology?.segments ?? {}),
    allocatable: info.maxVolumesPerNode > 0n ? { count: Number(info.maxVolumesPerNode) } : undefined,
  };
  const path = '/apis/storage.k8s.io/v1/csinodes';
  const known = await api
    .request<CsiNode>({ method: 'GET', path: `${path}/${nodeName}` })
    .catch((error: unknown) => {
      if (isSkiffError(error, 'NOT_FOUND')) return undefined;
      throw error;
    });
  const others = known?.spec?.drivers?.filter((each) => each.name !== name) ?? [];
  const body = {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'CSINode',
    ...known,
    metadata: { ...known?.metadata, name: nodeName },
    spec: { drivers: [...others, driver] },
  };
  if (known === undefined) await api.request({ method: 'POST', path, body });
  else await api.request({ method: 'PUT', path: `${path}/${nodeName}`, body });
}
