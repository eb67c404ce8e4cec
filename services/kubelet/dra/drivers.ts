/**
 * The drivers of dynamic resources that registered on this node. When one is gone for a while, what it offered is taken
 * back from the cluster (its ResourceSlices), so that nothing is scheduled onto devices that nobody can prepare.
 */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type {
  ClaimSchema,
  NodePrepareResourcesResponse,
  NodeUnprepareResourcesResponse,
} from '#contracts/dra/dra_pb.ts';
import { DRAPlugin } from '#contracts/dra/dra_pb.ts';
import { DRAPlugin as DRAPluginV1beta1 } from '#contracts/dra/dra-v1beta1_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import { type Channel, openChannel } from '#foundation/grpc/client.ts';
import type { PluginFound, PluginHandler } from '../devices/plugin-registry.ts';
import type { KubeletApi } from '../ports.ts';

/** Milliseconds that a driver may take, and after which the slices of one that is gone go too: the original's. */
const callMs = 45_000;
const wipeMs = 30_000;

type Claims = MessageInitShape<typeof ClaimSchema>[];

/** A driver. */
export interface DraDriver {
  name: string;
  prepare(claims: Claims, signal: AbortSignal): Promise<NodePrepareResourcesResponse>;
  unprepare(claims: Claims, signal: AbortSignal): Promise<NodeUnprepareResourcesResponse>;
}

/** The drivers. */
export interface DraDrivers extends PluginHandler {
  /** @throws SkiffError UNAVAILABLE if it is not registered. */
  get(name: string): DraDriver;
  close(): void;
}

interface Entry extends DraDriver {
  channel: Channel;
}

/** What they need. */
export interface DraDriversDeps {
  /** Undefined without an API server. */
  api: Pick<KubeletApi, 'request'> | undefined;
  nodeName: string;
  clock: Clock;
  log: Logger;
}

/** Makes an empty set. */
export function createDraDrivers(deps: DraDriversDeps): DraDrivers {
  const drivers = new Map<string, Entry>();
  const closing = new AbortController();
  const wipeLater = async (name: string) => {
    await deps.clock.sleep(wipeMs, closing.signal).catch(() => {});
    if (!closing.signal.aborted && !drivers.has(name)) await wipeSlices(deps, name);
  };
  return {
    async added(plugin) {
      const entry = connect(plugin);
      drivers.get(plugin.name)?.channel.close();
      drivers.set(plugin.name, entry);
    },
    removed(name) {
      drivers.get(name)?.channel.close();
      drivers.delete(name);
      void wipeLater(name);
    },
    get(name) {
      const found = drivers.get(name);
      if (found !== undefined) return found;
      throw new SkiffError('UNAVAILABLE', `DRA driver ${name} is not registered`);
    },
    close() {
      closing.abort();
      for (const { channel } of drivers.values()) channel.close();
      drivers.clear();
    },
  };
}

/** @throws SkiffError INVALID_ARGUMENT for a driver that serves none of the versions known here. */
function connect({ name, endpoint, versions }: PluginFound): Entry {
  const service = versions.includes('v1.DRAPlugin')
    ? DRAPlugin
    : versions.includes('v1beta1.DRAPlugin')
      ? DRAPluginV1beta1
      : undefined;
  if (service === undefined)
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `none of the DRA gRPC API services are supported by this kubelet: [${versions.join(', ')}]; it knows v1.DRAPlugin and v1beta1.DRAPlugin`,
    );
  const channel = openChannel(`unix://${endpoint}`);
  const client = channel.client(service);
  return {
    name,
    channel,
    prepare: (claims, signal) => client.nodePrepareResources({ claims }, { signal, timeoutMs: callMs }),
    unprepare: (claims, signal) => client.nodeUnprepareResources({ claims }, { signal, timeoutMs: callMs }),
  };
}

async function wipeSlices({ api, nodeName, log }: DraDriversDeps, driver: string): Promise<void> {
  const selector = encodeURIComponent(`spec.nodeName=${nodeName},spec.driver=${driver}`);
  const path = `/apis/resource.k8s.io/v1/resourceslices?fieldSelector=${selector}`;
  try {
    await api?.request({ method: 'DELETE', path, timeoutMs: 30_000 });
  } catch (error) {
    log.warn({ driver, err: error }, 'cannot take back what a driver that is gone offered');
  }
}
