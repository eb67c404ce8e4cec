/**
 * Statistics of a pod: of its own cgroup where it has one (the kubelet makes it), else the sum of its
 * containers', with its interfaces and its containers.
 */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { NetworkInterfaceUsageSchema, PodSandboxStatsSchema } from '#contracts/cri/runtime_pb.ts';
import { nowNanos } from '#foundation/base/time.ts';
import { hasProcess } from '../containers/lifecycle.ts';
import type { Container } from '../containers/table.ts';
import type { SandboxView } from '../ports.ts';
import { cgroupStats, containerStats } from './container.ts';
import type { StatsCore } from './deps.ts';
import { usageOf } from './machine.ts';
import { type InterfaceCounters, podInterface, readInterfaces } from './network.ts';
import { type CgroupUsage, readUsage } from './usage.ts';

/** A pod's statistics. */
export async function podStats(
  core: StatsCore,
  sandbox: SandboxView,
): Promise<MessageInitShape<typeof PodSandboxStatsSchema>> {
  const { id, config } = sandbox;
  const timestamp = nowNanos();
  const containers = containersOf(core, id);
  const { path, usage } = await podUsage(core, sandbox, containers);
  return {
    attributes: { id, metadata: config.metadata, labels: config.labels, annotations: config.annotations },
    linux: {
      ...(usage === undefined ? {} : podCgroupStats(core, path, usage, timestamp)),
      ...networkStats(sandbox, timestamp),
      process: { timestamp, processCount: { value: BigInt(usage?.processes ?? 0) } },
      containers: await Promise.all(containers.map((container) => containerStats(core, container))),
    },
  };
}

/** A pod's containers that clients see. */
export function containersOf(core: StatsCore, sandboxId: string): Container[] {
  return core.table.list().filter(({ record }) => record.sandboxId === sandboxId);
}

function podCgroupStats(core: StatsCore, path: string, usage: CgroupUsage, timestamp: bigint) {
  const { cpu, memory, io } = cgroupStats(core, path, usage, timestamp);
  return { cpu, memory, ...(io === undefined ? {} : { io }) };
}

async function podUsage(
  core: StatsCore,
  sandbox: SandboxView,
  containers: readonly Container[],
): Promise<{ path: string; usage: CgroupUsage | undefined }> {
  if (sandbox.cgroupParent.startsWith('/')) {
    const usage = readUsage(core.cgroups, sandbox.cgroupParent);
    if (usage !== undefined) return { path: sandbox.cgroupParent, usage };
  }
  const living = containers.filter(({ record }) => hasProcess(record.life));
  const found = await Promise.all(living.map((container) => usageOf(core, container)));
  const usages = found.flatMap((used) => (used === undefined ? [] : [used.usage]));
  return { path: `sum of ${sandbox.id}`, usage: sumUsages(usages) };
}

/** The counters of several groups together; limits and pressure cannot be summed and are left out. */
function sumUsages(usages: readonly CgroupUsage[]): CgroupUsage | undefined {
  const [first, ...rest] = usages;
  if (first === undefined) return undefined;
  const start: CgroupUsage = { ...first, memory: unlimited(first.memory), threadLimit: 0n, psi: {} };
  for (const usage of rest) {
    start.cpu = addUp(start.cpu, usage.cpu);
    start.memory = addUp(start.memory, unlimited(usage.memory));
    start.processes += usage.processes;
    start.threads += usage.threads;
  }
  return start;
}

function unlimited(memory: CgroupUsage['memory']): CgroupUsage['memory'] {
  return memory === undefined ? undefined : { ...memory, limit: 0n, swapLimit: 0n };
}

function addUp<T extends object>(a: T | undefined, b: T | undefined): T | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  const left = a as Record<string, bigint>;
  const right = b as Record<string, bigint>;
  return Object.fromEntries(
    Object.keys(left).map((key) => [key, (left[key] ?? 0n) + (right[key] ?? 0n)]),
  ) as T;
}

function networkStats({ namespaces }: SandboxView, timestamp: bigint) {
  // A pod in the host's network has no interfaces of its own.
  if (namespaces.network === undefined) return {};
  const interfaces = readInterfaces(namespaces.network);
  const own = interfaces.find(({ name }) => name === podInterface);
  return {
    network: {
      timestamp,
      ...(own === undefined ? {} : { defaultInterface: interfaceUsage(own) }),
      interfaces: interfaces.filter((one) => one !== own).map(interfaceUsage),
    },
  };
}

function interfaceUsage(counters: InterfaceCounters): MessageInitShape<typeof NetworkInterfaceUsageSchema> {
  return {
    name: counters.name,
    rxBytes: { value: counters.rxBytes },
    rxErrors: { value: counters.rxErrors },
    txBytes: { value: counters.txBytes },
    txErrors: { value: counters.txErrors },
  };
}
