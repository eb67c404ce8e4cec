/**
 * The figures of VM pods: start from nothing and from a template, the first container and the next, memory of each
 * idle VM, and what an idle VM costs. `node bench/vm.ts [rounds] [idle VMs]`, as root. A VM is ready when its agent has
 * answered, was told what is its own, and has mounted the share; memory is proportional, by default of 5 VMs, as the
 * trial of the facts had. Times are those of this machine at this moment: compare figures of one run only.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { processTree } from '#foundation/linux/process.ts';
import { createSpawner } from '#foundation/linux/spawn.ts';
import { connectAgent } from '#services/vm-runtime/agent-client/connect.ts';
import type { ConnectAgentOptions } from '#services/vm-runtime/agent-client/types.ts';
import { createVmFactory } from '#services/vm-runtime/factory/index.ts';
import { cloneOnly } from '#services/vm-runtime/factory/template.ts';
import type { FactoryKind, PodVm, PodVmRequest, VmFactory } from '#services/vm-runtime/factory/types.ts';
import { guestImage } from '#services/vm-runtime/guest-image/build.ts';
import { createQemu } from '#services/vm-runtime/hypervisor/qemu/driver.ts';
import { buildImage } from '#services/vm-runtime/storage/image.ts';
import { busyboxRoot, runInGuest } from '#services/vm-runtime/testing/vm-stage.ts';
import { testImages } from '../test/guest-vm.ts';
import { median, round, table } from './statistics.ts';

const [, , rounds = '5', idleVms = '5'] = process.argv;
const shape = { vcpus: 1, memoryBytes: 256 * 1024 * 1024 };

/** What the issue asks for, in the units of the table. */
const targets: Record<string, number> = {
  'direct: agent answers': 1100,
  'direct: first container has ended': 1300,
  'direct: next container': 200,
  'direct: memory of an idle VM': 180,
  'direct: processor of an idle VM': 1,
  'template, waiting: agent answers': 100,
  'template, waiting: first container has ended': 300,
  'template, waiting: memory of an idle VM': 40,
  'cache: agent answers': 100,
  'cache: first container has ended': 300,
  'cache: next container': 200,
  'template, share: agent answers': 100,
  'template, share: first container has ended': 300,
  'template, share: memory of an idle VM': 40,
  'template, disk: agent answers': 100,
  'template, disk: first container has ended': 300,
  'template, disk: memory of an idle VM': 40,
};

const root = mkdtempSync('/tmp/skiff-bv');
const spawner = createSpawner();
const hypervisor = createQemu({ spawner, cacheDirectory: join(root, 'q') });
const image = await guestImage({ directory: testImages });
const box = join(root, 'box');
const disk = join(root, 'box.img');
await busyboxRoot(box);
await buildImage({ spawner }, { source: box, target: disk });
const found = await hypervisor.available();
/** When the agent of the latest VM answered. */
let answeredAt = 0;
const connectTimed = async (options: ConnectAgentOptions) => {
  const agent = await connectAgent(options);
  answeredAt = performance.now();
  return agent;
};
const rows: string[][] = [];
const addRow = (name: string, unit: string, value: number) => {
  const target = targets[name];
  const verdict = target === undefined ? '' : value <= target ? `<= ${target}: met` : `<= ${target}: MISSED`;
  rows.push([name, unit, round(value), verdict]);
};

try {
  await measure('direct', 'direct', 'virtiofs');
  await measure('template, share', 'template', 'virtiofs');
  await measure('template, disk', 'template', 'block');
  await measure('template, waiting', 'waiting', 'virtiofs');
  await measure('cache', 'cache', 'virtiofs');
} finally {
  spawner[Symbol.dispose]();
  rmSync(root, { recursive: true, force: true });
}
console.log(
  `${found.ok ? found.acceleration : found.reason}; medians of ${rounds}; memory is proportional, of ${idleVms} VMs`,
);
console.log(
  `the processor time of the hypervisor is what a machine with nothing else to do would need at the least\n`,
);
console.log(table([['', 'unit', 'figure', 'target'], ...rows]));

/** The factory of a kind; `waiting` keeps clones of a template. */
function factoryOf(kind: FactoryKind | 'waiting'): VmFactory {
  const connect = { connectAgent: connectTimed };
  const deps = { hypervisor, spawner, image: async () => image, ...connect, shapes: [shape], waiting: 1 };
  if (kind !== 'waiting') return createVmFactory(kind, { ...deps, directory: join(root, kind) });
  const templateDeps = { ...deps, directory: join(root, 'template') };
  const template = createVmFactory('template', templateDeps);
  const prepare = (request: PodVmRequest) => cloneOnly(templateDeps, request);
  const otherwise = (request: PodVmRequest) => template.acquire(request);
  const ready = createVmFactory('cache', {
    ...deps,
    ...{ directory: join(root, 'waiting'), prepare, otherwise },
  });
  return {
    ...ready,
    async refill() {
      await template.refill();
      await ready.refill();
    },
    async drain() {
      await ready.drain();
      await template.drain();
    },
  };
}

async function measure(
  name: string,
  kind: FactoryKind | 'waiting',
  sharing: 'virtiofs' | 'block',
): Promise<void> {
  const factory = factoryOf(kind);
  const times: Record<string, number[]> = { answers: [], ready: [], first: [], next: [], cpu: [] };
  try {
    for (let index = 0; index < Number(rounds); index += 1) await measureOne(factory, sharing, times);
    addRow(`${name}: agent answers`, 'ms', median(times.answers ?? []));
    addRow(`${name}: ready`, 'ms', median(times.ready ?? []));
    addRow(`${name}: (processor time until then)`, 'ms', median(times.cpu ?? []));
    addRow(`${name}: first container has ended`, 'ms', median(times.first ?? []));
    addRow(`${name}: next container`, 'ms', median(times.next ?? []));
    if (kind !== 'cache') await measureIdle(name, factory, sharing);
  } finally {
    await factory.drain();
  }
}

async function measureOne(
  factory: VmFactory,
  sharing: 'virtiofs' | 'block',
  times: Record<string, number[]>,
): Promise<void> {
  await factory.refill();
  const directory = join(root, 'pod');
  const start = performance.now();
  const pod = await factory.acquire({ id: 'bench', directory, ...shape, sharing, deadlineMs: 120_000 });
  times.answers?.push(answeredAt - start);
  times.ready?.push(performance.now() - start);
  times.cpu?.push((await pod.vm.usage()).cpuMs);
  const guestRoot = await containerRoot(pod);
  const first = await runInGuest(pod.agent, ['true'], { root: guestRoot });
  times.first?.push(first.endedAt - start);
  const begin = performance.now();
  const next = await runInGuest(pod.agent, ['true'], { root: guestRoot });
  times.next?.push(next.endedAt - begin);
  pod.agent.close();
  await factory.release(directory);
}

async function containerRoot({ share, vm, agent }: PodVm): Promise<string> {
  if (share !== undefined) return share.add({ name: 'box', source: box });
  await vm.addDisk({ serial: 'box', path: disk, readOnly: true });
  await agent.mount({
    target: '/run/box',
    type: 'erofs',
    options: ['ro'],
    blockSerial: 'box',
    waitMs: 20_000,
  });
  return '/run/box';
}

async function measureIdle(name: string, factory: VmFactory, sharing: 'virtiofs' | 'block'): Promise<void> {
  await factory.refill();
  const pods: PodVm[] = [];
  const place = (index: number) => join(root, `idle${index}`);
  try {
    for (let index = 0; index < Number(idleVms); index += 1)
      pods.push(
        await factory.acquire({
          id: 'idle',
          directory: place(index),
          ...shape,
          sharing,
          deadlineMs: 120_000,
        }),
      );
    await sleep(5000);
    const before = pods.map(cpuOf);
    await sleep(10_000);
    const spent = pods.map((pod, index) => (cpuOf(pod) - (before[index] ?? 0)) / 100_000_000); // of 10 s, in percent
    addRow(`${name}: processor of an idle VM`, '%', median(spent));
    addRow(`${name}: memory of an idle VM`, 'MiB', median(pods.map(memoryOf)));
  } finally {
    for (const [index, pod] of pods.entries()) {
      pod.agent.close();
      await factory.release(place(index));
    }
  }
}

/** Nanoseconds of processor time of all threads, the file server's too. */
function cpuOf({ vm, share }: PodVm): number {
  const pids = [vm.pid, ...(share === undefined ? [] : [share.pid])];
  return pids.reduce((sum, pid) => sum + threadsOf(pid), 0);
}

function threadsOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = status.slice(status.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10_000_000;
}

/** MiB of all processes of a VM: those of its user (the hypervisor, a relay), and the file server. */
function memoryOf({ vm, share }: PodVm): number {
  const userOf = (pid: number | string) => {
    try {
      return /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    } catch {
      return undefined; // Gone meanwhile.
    }
  };
  const user = userOf(vm.pid);
  const own = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && userOf(name) === user);
  const server = share === undefined ? [] : processTree(share.pid).map(({ pid }) => pid);
  return [...own.map(Number), ...server].reduce((sum, pid) => sum + pssOf(pid), 0);
}

/** Proportional set size in MiB. */
function pssOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1]) / 1024;
}
