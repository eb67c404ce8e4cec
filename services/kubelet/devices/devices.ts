/**
 * Device plugins: vendors' programs register on the kubelet's socket, list their devices, and are asked for what a
 * container needs of them when a pod is admitted.
 *
 * ```
 * plugin -> Register(resource, endpoint) on <kubelet root>/device-plugins/kubelet.sock
 * kubelet -> ListAndWatch (devices, health), GetPreferredAllocation, Allocate on the plugin's own socket
 * ```
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Registration } from '#contracts/device-plugin/device-plugin_pb.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { answers } from '#foundation/base/answers.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import { createRpcServer, type RpcServer } from '#foundation/grpc/server.ts';
import type { Allocated } from '../container-config/devices.ts';
import type { AnyContainer } from '../ports.ts';
import { amountOf } from '../resources/amounts.ts';
import type { Giver } from '../resources/topology/manager.ts';
import { hasNode, type NumaMask } from '../resources/topology/mask.ts';
import { type Allocation, type Allocations, openAllocations } from './allocations.ts';
import { type DeviceList, deviceHints, heldBy, reusableOf } from './hints.ts';
import { connectPlugin, type Device, type PluginClient } from './plugin-client.ts';

/** Milliseconds that the devices of a plugin that ended still count as the node's (as broken ones). */
const goneMs = 5 * 60_000;
const apiVersion = 'v1beta1';

/** What device plugins need. */
export interface DevicesDeps {
  /** `/var/lib/kubelet/device-plugins`, which plugins know by heart, or below another root. */
  directory: string;
  /** Where allocations are kept: below this kubelet's own root. */
  checkpoint: string;
  /** The NUMA nodes of the machine. */
  numaNodes: readonly number[];
  clock: Clock;
  log: Logger;
}

/** The devices of the node. */
export interface Devices extends Giver {
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Devices by resource: all, and the healthy ones. */
  counts(): { capacity: Map<string, number>; allocatable: Map<string, number> };
  /** What a container was given; tells plugins that want to know that it starts. */
  given(
    pod: Pod,
    container: AnyContainer,
  ): Promise<Pick<Allocated, 'devices' | 'mounts' | 'envs' | 'annotations' | 'cdiDevices'>>;
  /** All devices and who has them, for the pod-resources API. */
  list(): { resources: ReadonlyMap<string, readonly Device[]>; allocations: readonly Allocation[] };
}

interface Resource extends DeviceList {
  plugin: PluginClient;
  /** Whether the plugin has told what it has. */
  listed: boolean;
  /** When the plugin ended; undefined while it is there. */
  goneAt: number | undefined;
}

/** Makes the devices of the node. */
export function createDevices(deps: DevicesDeps): Devices {
  const resources = new Map<string, Resource>();
  mkdirSync(deps.directory, { recursive: true, mode: 0o750 });
  const allocations = openAllocations(deps.checkpoint);
  let server: RpcServer | undefined;
  const register = (name: string, endpoint: string, options: { preStart: boolean; preferred: boolean }) => {
    resources.get(name)?.plugin.close();
    const registered = { resource: name, socket: join(deps.directory, endpoint), ...options };
    const plugin = connectPlugin(
      registered,
      (devices) => {
        const resource = resources.get(name);
        if (resource?.plugin !== plugin) return;
        if (devices !== 'gone') {
          resource.devices = devices;
          resource.listed = true;
        } else {
          resource.devices = resource.devices.map((device) => ({ ...device, healthy: false }));
          resource.goneAt = deps.clock.monotonic();
        }
      },
      deps.log,
    );
    // A plugin that comes again has what it had, until it says otherwise.
    const before = resources.get(name);
    resources.set(name, {
      plugin,
      devices: before?.devices ?? [],
      listed: before?.listed === true,
      goneAt: undefined,
    });
  };
  return {
    async start() {
      const socket = join(deps.directory, 'kubelet.sock');
      if (await answers(socket)) {
        deps.log.warn({ socket }, 'another kubelet serves device plugins here: this one offers no devices');
        return;
      }
      // Plugins see the socket come back and register again; their own sockets are theirs.
      rmSync(socket, { force: true });
      server = registrationServer(deps, register);
      await server.listen(`unix://${socket}`);
    },
    async stop() {
      for (const { plugin } of resources.values()) plugin.close();
      await server?.close(500);
    },
    counts: () => countDevices(deps.clock, resources),
    ...deviceHints(resources, allocations, deps.numaNodes),
    allocate: (pod, container, affinity) =>
      allocateContainer(resources, allocations, { pod, container, affinity }),
    given: (pod, container) => given(resources, allocations, pod, container),
    retain: allocations.retain,
    list: () => ({
      resources: new Map([...resources].map(([name, { devices }]) => [name, devices])),
      allocations: allocations.all(),
    }),
  };
}

function registrationServer(
  { directory, log }: DevicesDeps,
  register: (name: string, endpoint: string, options: { preStart: boolean; preferred: boolean }) => void,
): RpcServer {
  const server = createRpcServer();
  server.add(Registration, {
    register: async ({ version, endpoint, resourceName, options }) => {
      if (version !== apiVersion)
        throw new SkiffError(
          'INVALID_ARGUMENT',
          `device plugin API ${version} is not supported: use ${apiVersion}`,
        );
      if (!/^[^/]+\/[^/]+$/.test(resourceName) || resourceName.startsWith('kubernetes.io/'))
        throw new SkiffError(
          'INVALID_ARGUMENT',
          `"${resourceName}" is not a resource name such as vendor.com/gpu`,
        );
      if (!readdirSync(directory).includes(endpoint))
        throw new SkiffError('NOT_FOUND', `there is no socket "${endpoint}" in ${directory}`);
      const { preStartRequired = false, getPreferredAllocationAvailable = false } = options ?? {};
      register(resourceName, endpoint, {
        preStart: preStartRequired,
        preferred: getPreferredAllocationAvailable,
      });
      log.info({ resource: resourceName }, 'a device plugin registered');
      return {};
    },
  });
  return server;
}

function countDevices(clock: Clock, resources: Map<string, Resource>): ReturnType<Devices['counts']> {
  const capacity = new Map<string, number>();
  const allocatable = new Map<string, number>();
  for (const [name, { devices, listed, goneAt }] of resources) {
    // None is not the same as not known: pods that run would not fit any more.
    if (!listed) continue;
    if (goneAt !== undefined && clock.monotonic() - goneAt > goneMs) resources.delete(name);
    else {
      capacity.set(name, devices.length);
      allocatable.set(name, devices.filter(({ healthy }) => healthy).length);
    }
  }
  return { capacity, allocatable };
}

/** Gives a container what it asks for, near `affinity`; what it has already it keeps. */
async function allocateContainer(
  resources: Map<string, Resource>,
  allocations: Allocations,
  { pod, container, affinity }: { pod: Pod; container: AnyContainer; affinity: NumaMask | undefined },
): Promise<void> {
  for (const [name, quantity] of Object.entries(container.resources?.limits ?? {})) {
    const resource = resources.get(name);
    const count = resource === undefined ? 0 : amountOf(quantity);
    if (resource === undefined || count === 0) continue;
    if (heldBy(allocations, pod, container.name).some((each) => each.resource === name)) continue;
    const reusable = reusableOf(allocations, pod, name);
    const ids = await choose(resource, allocations, { name, count, reusable, affinity });
    const response = await resource.plugin.allocate(ids);
    const podUid = pod.metadata.uid ?? '';
    allocations.add({ podUid, container: container.name, resource: name, ids, response });
  }
}

/** Takes what the pod holds already, then free healthy ones near `affinity`, by the plugin's preference if it has one. */
async function choose(
  resource: Resource,
  allocations: Allocations,
  wanted: { name: string; count: number; reusable: ReadonlySet<string>; affinity: NumaMask | undefined },
): Promise<string[]> {
  const { name, count, reusable, affinity } = wanted;
  const taken = new Set(allocations.all().flatMap((each) => (each.resource === name ? each.ids : [])));
  const healthy = resource.devices.filter((device) => device.healthy);
  const must = healthy
    .map(({ id }) => id)
    .filter((id) => reusable.has(id))
    .slice(0, count);
  const free = healthy.filter(({ id }) => !taken.has(id) && !reusable.has(id));
  if (must.length + free.length < count)
    throw new SkiffError(
      'RESOURCE_EXHAUSTED',
      `requested number of devices unavailable for ${name}. Requested: ${count}, Available: ${must.length + free.length}`,
    );
  const isNear = ({ numaNodes }: Device) =>
    affinity !== undefined && numaNodes.some((node) => hasNode(affinity, node));
  const near = free.filter(isNear).map(({ id }) => id);
  const far = free.filter((device) => !isNear(device)).map(({ id }) => id);
  // The plugin may choose among the near ones if they are enough, else how to fill up.
  const choice = must.length + near.length >= count ? near : [...near, ...far];
  const preferred = await resource.plugin.prefer([...must, ...choice], must, count);
  const valid = preferred?.filter((id) => must.includes(id) || choice.includes(id)) ?? [];
  const kept = choice.length > near.length ? near : [];
  return [...new Set([...must, ...kept, ...valid, ...choice])].slice(0, count);
}

async function given(
  resources: Map<string, Resource>,
  allocations: Allocations,
  pod: Pod,
  container: AnyContainer,
): ReturnType<Devices['given']> {
  const held = heldBy(allocations, pod, container.name);
  for (const { resource, ids } of held) await resources.get(resource)?.plugin.preStart(ids);
  const responses = held.map(({ response }) => response);
  return {
    devices: responses.flatMap(({ devices }) =>
      devices.map(({ containerPath, hostPath, permissions }) => ({ containerPath, hostPath, permissions })),
    ),
    mounts: responses.flatMap(({ mounts }) =>
      mounts.map(({ containerPath, hostPath, readOnly }) => ({
        containerPath,
        hostPath,
        readonly: readOnly,
      })),
    ),
    envs: new Map(responses.flatMap(({ envs }) => Object.entries(envs))),
    annotations: Object.assign({}, ...responses.map(({ annotations }) => annotations)) as Record<
      string,
      string
    >,
    cdiDevices: responses.flatMap(({ cdiDevices }) => cdiDevices.map(({ name }) => name)),
  };
}
