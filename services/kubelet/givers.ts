/** Makes what gives containers more than their manifests say: devices, CPUs, memory, and the topology manager above them. */
import { join } from 'node:path';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Paths } from '#foundation/base/paths.ts';
import type { KubeletConfiguration } from './configuration/defaults.ts';
import { createDevices, type Devices } from './devices/devices.ts';
import { createDra, type Dra } from './dra/dra.ts';
import { createDraDrivers, type DraDrivers } from './dra/drivers.ts';
import type { KubeletDeps } from './kubelet.ts';
import type { Machine } from './node/machine.ts';
import { reservedCpus } from './resources/allocating.ts';
import { type CpuManager, createCpuManager } from './resources/cpu-manager.ts';
import { readCpus } from './resources/cpu-topology.ts';
import { createMemoryManager, type MemoryManager } from './resources/memory-manager.ts';
import { reservedMemory } from './resources/memory-reserved.ts';
import { createTopologyManager, type TopologyManager } from './resources/topology/manager.ts';
import { type NumaNode, readNumaNodes } from './resources/topology/numa.ts';

/** Those who give. */
export interface Givers {
  devices: Devices;
  cpus: CpuManager;
  memory: MemoryManager;
  topology: TopologyManager;
  draDrivers: DraDrivers;
  dynamicResources: Dra;
}

/** NUMA nodes up to which all their sets are looked at, unless `max-allowable-numa-nodes` says more. */
const mostNodes = 8;

/** Makes them. @throws SkiffError FAILED_PRECONDITION for policies that this machine or its reservations cannot keep. */
export function makeGivers(deps: KubeletDeps, machine: Machine): Givers {
  const { paths, clock, configuration, logger: log } = deps;
  const cpuTopology = readCpus();
  const nodes = numaNodes(machine);
  checkNodes(configuration, nodes);
  const cpuOptions = configuration.cpuManagerPolicyOptions ?? {};
  const devices = createDevices({
    directory: join(pluginRoot(paths), 'device-plugins'),
    checkpoint: join(paths.kubelet, 'devices_state'),
    numaNodes: nodes.map(({ id }) => id),
    clock,
    log,
  });
  const cpus = createCpuManager({
    policy: configuration.cpuManagerPolicy,
    cpus: cpuTopology,
    reserved: reservedCpus(configuration, cpuTopology),
    fullCoresOnly: cpuOptions['full-pcpus-only'] === 'true',
    strictReservation: cpuOptions['strict-cpu-reservation'] === 'true',
    placing: {
      acrossNuma: cpuOptions['distribute-cpus-across-numa'] === 'true',
      alignSockets: cpuOptions['align-by-socket'] === 'true',
      spreadCores: cpuOptions['distribute-cpus-across-cores'] === 'true',
      alignUncore: cpuOptions['prefer-align-cpus-by-uncorecache'] === 'true',
    },
    stateFile: join(paths.kubelet, 'cpu_manager_state'),
  });
  const memory = createMemoryManager({
    policy: configuration.memoryManagerPolicy === 'Static' ? 'Static' : 'None',
    nodes,
    reserved: reservedMemory(configuration, nodes, machine.memory),
    stateFile: join(paths.kubelet, 'memory_manager_state'),
  });
  const topology = createTopologyManager({
    policy: configuration.topologyManagerPolicy,
    scope: configuration.topologyManagerScope,
    nodes,
    preferClosest: configuration.topologyManagerPolicyOptions?.['prefer-closest-numa-nodes'] === 'true',
    givers: [devices, cpus, memory],
  });
  return { devices, cpus, memory, topology, ...makeDra(deps) };
}

function makeDra({ paths, clock, api, nodeName, logger: log }: KubeletDeps) {
  const draDrivers = createDraDrivers({ api, nodeName, clock, log });
  const stateFile = join(paths.kubelet, 'dra_manager_state');
  return { draDrivers, dynamicResources: createDra({ api, drivers: draDrivers, stateFile, log }) };
}

/** Plugins find the kubelet at a path they know by heart; only another root of Skiff has its own. */
export function pluginRoot({ root, kubelet }: Pick<Paths, 'root' | 'kubelet'>): string {
  return root === '/' ? '/var/lib/kubelet' : kubelet;
}

/** A kernel without NUMA has one node with everything. */
function numaNodes(machine: Machine): NumaNode[] {
  const nodes = readNumaNodes();
  if (nodes.length > 0) return nodes;
  const cpus = readCpus().map(({ id }) => id);
  return [{ id: 0, cpus, memory: machine.memory, hugePages: machine.hugePages, distances: [10] }];
}

function checkNodes(configuration: KubeletConfiguration, nodes: readonly NumaNode[]): void {
  const { topologyManagerPolicy, topologyManagerPolicyOptions } = configuration;
  const most = Number(topologyManagerPolicyOptions?.['max-allowable-numa-nodes'] ?? mostNodes);
  if (topologyManagerPolicy === 'none' || nodes.length <= most) return;
  throw new SkiffError(
    'FAILED_PRECONDITION',
    `topologyManagerPolicy "${topologyManagerPolicy}" is not offered on a machine with ${nodes.length} NUMA nodes: at most ${most}, or set topologyManagerPolicyOptions.max-allowable-numa-nodes`,
  );
}
