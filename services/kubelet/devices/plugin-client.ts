/** One device plugin: the devices it lists as they come and go, and its answers when some are given to a container. */
import { type ContainerAllocateResponse, DevicePlugin } from '#contracts/device-plugin/device-plugin_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import { type Channel, openChannel } from '#foundation/grpc/client.ts';

/** A device. */
export interface Device {
  id: string;
  healthy: boolean;
  /** NUMA nodes it is near; empty where the plugin does not say. */
  numaNodes: readonly number[];
}

/** What a plugin said when it registered. */
export interface Registered {
  resource: string;
  /** Absolute path of its socket. */
  socket: string;
  preStart: boolean;
  preferred: boolean;
}

/** A connected plugin. */
export interface PluginClient {
  readonly registered: Registered;
  /** Which of `available` the plugin would take for `count`; undefined if it has no opinion. */
  prefer(
    available: readonly string[],
    mustHave: readonly string[],
    count: number,
  ): Promise<string[] | undefined>;
  /** Gives devices to a container. @throws what the plugin says. */
  allocate(ids: readonly string[]): Promise<ContainerAllocateResponse>;
  /** Just before a container starts, for plugins that want to know. */
  preStart(ids: readonly string[]): Promise<void>;
  close(): void;
}

const callMs = 30_000;

/**
 * Connects to a plugin and follows its list.
 *
 * @param onDevices the whole list at each change; empty and `gone` when the plugin has ended.
 */
export function connectPlugin(
  registered: Registered,
  onDevices: (devices: readonly Device[] | 'gone') => void,
  log: Logger,
): PluginClient {
  const channel: Channel = openChannel(`unix://${registered.socket}`);
  const plugin = channel.client(DevicePlugin);
  const closing = new AbortController();
  const follow = async () => {
    try {
      for await (const { devices } of plugin.listAndWatch({}, { signal: closing.signal }))
        onDevices(
          devices.map(({ ID, health, topology }) => ({
            id: ID,
            healthy: health === 'Healthy',
            numaNodes: topology?.nodes.map((node) => Number(node.ID)) ?? [],
          })),
        );
    } catch (error) {
      if (!closing.signal.aborted)
        log.warn({ resource: registered.resource, err: error }, 'a device plugin ended');
    }
    if (!closing.signal.aborted) onDevices('gone');
    channel.close();
  };
  void follow();
  return {
    registered,
    async prefer(availableDeviceIDs, mustIncludeDeviceIDs, allocationSize) {
      if (!registered.preferred) return undefined;
      const request = {
        availableDeviceIDs: [...availableDeviceIDs],
        mustIncludeDeviceIDs: [...mustIncludeDeviceIDs],
        allocationSize,
      };
      const answer = await plugin.getPreferredAllocation(
        { containerRequests: [request] },
        { timeoutMs: callMs },
      );
      return answer.containerResponses[0]?.deviceIDs;
    },
    async allocate(ids) {
      const request = { containerRequests: [{ devicesIds: [...ids] }] };
      const { containerResponses } = await plugin.allocate(request, { timeoutMs: callMs });
      const [first] = containerResponses;
      if (first !== undefined) return first;
      throw new SkiffError('INTERNAL', `the plugin of ${registered.resource} answered Allocate with nothing`);
    },
    async preStart(ids) {
      if (registered.preStart)
        await plugin.preStartContainer({ devicesIds: [...ids] }, { timeoutMs: callMs });
    },
    close: () => closing.abort(),
  };
}
