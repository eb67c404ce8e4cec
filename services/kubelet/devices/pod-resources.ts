/** The pod-resources API: which devices, CPUs and memory each container was given, for monitoring agents. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { PodResourcesLister } from '#contracts/device-plugin/pod-resources_pb.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { answers } from '#foundation/base/answers.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import { createRpcServer, type RpcServer } from '#foundation/grpc/server.ts';
import type { Dra } from '../dra/dra.ts';
import type { MemoryManager } from '../resources/memory-manager.ts';
import type { Block } from '../resources/memory-nodes.ts';
import type { Devices } from './devices.ts';

/** What the API tells. */
export interface PodResourcesDeps {
  /** `<kubelet root>/pod-resources`. */
  directory: string;
  pods: () => readonly Pod[];
  log: Logger;
  devices: Pick<Devices, 'list'>;
  cpus: { exclusive(podUid: string, container: string): readonly number[]; allocatable(): readonly number[] };
  memory: Pick<MemoryManager, 'blocks' | 'allocatable'>;
  dynamicResources: Pick<Dra, 'usedBy'>;
}

/** Makes the server. */
export function createPodResourcesServer(deps: PodResourcesDeps): {
  start(): Promise<void>;
  stop(): Promise<void>;
} {
  let server: RpcServer | undefined;
  return {
    async start() {
      mkdirSync(deps.directory, { recursive: true, mode: 0o750 });
      const socket = join(deps.directory, 'kubelet.sock');
      if (await answers(socket)) {
        deps.log.warn({ socket }, 'another kubelet serves the pod-resources API here');
        return;
      }
      rmSync(socket, { force: true });
      server = createRpcServer();
      server.add(PodResourcesLister, {
        list: async () => ({ podResources: deps.pods().map((pod) => describe(deps, pod)) }),
        get: async ({ podName, podNamespace }) => {
          const pod = deps
            .pods()
            .find(
              ({ metadata }) =>
                metadata.name === podName && (metadata.namespace ?? 'default') === podNamespace,
            );
          if (pod !== undefined) return { podResources: describe(deps, pod) };
          throw new SkiffError('NOT_FOUND', `pod ${podName} in namespace ${podNamespace} not found`);
        },
        getAllocatableResources: async () => ({
          devices: [...deps.devices.list().resources].flatMap(([resourceName, devices]) =>
            devices
              .filter(({ healthy }) => healthy)
              .map(({ id, numaNodes }) => ({ resourceName, deviceIds: [id], topology: topology(numaNodes) })),
          ),
          cpuIds: deps.cpus.allocatable().map(BigInt),
          memory: deps.memory.allocatable().map(memoryOf),
        }),
      });
      await server.listen(`unix://${socket}`);
    },
    stop: async () => server?.close(500),
  };
}

function describe({ devices, cpus, memory, dynamicResources }: PodResourcesDeps, pod: Pod) {
  const { name, namespace = 'default', uid = '' } = pod.metadata;
  const { allocations } = devices.list();
  const containers = [
    ...(pod.spec.initContainers ?? []).filter((each) => each.restartPolicy === 'Always'),
    ...pod.spec.containers,
  ];
  return {
    name,
    namespace,
    containers: containers.map((container) => ({
      name: container.name,
      devices: allocations
        .filter((each) => each.podUid === uid && each.container === container.name)
        .map(({ resource, ids }) => ({ resourceName: resource, deviceIds: [...ids] })),
      cpuIds: cpus.exclusive(uid, container.name).map(BigInt),
      memory: memory.blocks(uid, container.name).map(memoryOf),
      dynamicResources: dynamicResources.usedBy(pod, container).map(claimOf),
    })),
  };
}

function memoryOf({ type, size, numaAffinity }: Block) {
  return { memoryType: type, size: BigInt(size), topology: topology(numaAffinity) };
}

function claimOf({ claim, devices: list }: ReturnType<Dra['usedBy']>[number]) {
  return {
    claimName: claim.name,
    claimNamespace: claim.namespace,
    claimResources: list.map(({ driver, poolName, deviceName, cdiDeviceIds }) => ({
      driverName: driver,
      poolName,
      deviceName,
      cdiDevices: cdiDeviceIds.map((name) => ({ name })),
    })),
  };
}

function topology(nodes: readonly number[]) {
  return nodes.length === 0 ? undefined : { nodes: nodes.map((node) => ({ ID: BigInt(node) })) };
}
