/** Pods on the CRI whose VMs were made ready before (`cri.vm.factory`): nothing about them is otherwise. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { type CriStage, criStage, patience, podConfig } from './cri-stage.ts';
import { until } from './oci-stage.ts';

const MiB = 1024 * 1024;
const hostBootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

/** What a pod's container sees, and where its VM came from. */
interface Seen {
  podSandboxId: string;
  origin: string | undefined;
  bootId: string | undefined;
}

/** The VMs that are ready: `t` for templates, `w` for those that wait. */
function ready(node: CriStage, kind: 't' | 'w'): string[] {
  const directory = join(node.paths.run, 'runtimes', 'vm', '.cache', kind);
  const names = existsSync(directory) ? readdirSync(directory) : [];
  return names.filter((name) => name !== 'lock' && !/\.(new|source)$/.test(name));
}

/** Runs a pod of limits with a volume of the host, and has a look into its container. */
async function runPod(node: CriStage, name: string): Promise<Seen> {
  const config = podConfig(node, name, {
    resources: { memoryLimitInBytes: BigInt(128 * MiB), cpuQuota: 100_000n, cpuPeriod: 100_000n },
  });
  const { podSandboxId } = await node.cri().runtime.runPodSandbox({ config }, patience);
  const volume = join(node.paths.run, `volume-${name}`);
  mkdirSync(volume);
  writeFileSync(join(volume, 'to'), `${name} of the host`);
  const id = await node.run(podSandboxId, config, name, 'while :; do sleep 1; done', {
    mounts: [{ hostPath: volume, containerPath: '/volume' }],
    linux: { resources: { memoryLimitInBytes: BigInt(64 * MiB) } },
  });
  const { out } = await node.exec(
    id,
    'cat /proc/sys/kernel/random/boot_id /sys/fs/cgroup/memory.max /volume/to; echo; ip -4 -o addr show eth0; date +%s; echo back >/volume/from',
  );
  const [bootId, limit, text, address = '', now] = out.split('\n');
  const { status } = await node.cri().runtime.podSandboxStatus({ podSandboxId });
  assert.deepEqual([limit, text], [String(64 * MiB), `${name} of the host`]);
  assert.ok(address.includes(`${status?.network?.ip}/`), address);
  assert.ok(Math.abs(Number(now) - Date.now() / 1000) < 60, `the clock says ${now}`);
  assert.equal(readFileSync(join(volume, 'from'), 'utf8'), 'back\n');
  return { podSandboxId, origin: originOf(node, podSandboxId), bootId };
}

function originOf(node: CriStage, podSandboxId: string): string | undefined {
  const { socket, vcpus, memoryBytes } = JSON.parse(node.vm('pod', 'show', podSandboxId));
  assert.deepEqual([vcpus, memoryBytes], [1, (128 + 96) * MiB]);
  return /"origin":"(\w+)"/.exec(readFileSync(join(dirname(socket), 'log'), 'utf8'))?.[1];
}

/** Of pods that live at once no two have one kernel's life. */
function assertApart(pods: readonly Seen[]): void {
  const ids = [hostBootId, ...pods.map(({ bootId }) => bootId ?? '')];
  for (const id of ids) assert.match(id, /^[0-9a-f-]{36}$/);
  assert.equal(new Set(ids).size, ids.length, ids.join());
}

async function remove(node: CriStage, pods: readonly Seen[]): Promise<void> {
  for (const { podSandboxId } of pods) await node.cri().runtime.removePodSandbox({ podSandboxId }, patience);
}

test('pods are clones of a template once there is one, also two at once; it outlives no server', async (t) => {
  const node = await criStage(t, { kind: 'template', waiting: 0 });
  const first = await runPod(node, 'first');
  assert.equal(first.origin, 'direct');
  await until(() => ready(node, 't').length === 1, 'the template');
  const clones = await Promise.all([runPod(node, 'a'), runPod(node, 'b')]);
  assert.deepEqual(
    clones.map(({ origin }) => origin),
    ['template', 'template'],
  );
  assertApart([first, ...clones]);
  await node.restart();
  assert.deepEqual(ready(node, 't'), []);
  const kept = clones.map(({ podSandboxId }) => JSON.parse(node.vm('pod', 'show', podSandboxId)).state);
  assert.deepEqual(kept, ['READY', 'READY']);
  await remove(node, [first, ...clones]);
});

test('pods take VMs that wait; where there are too few they boot; what another server left is used', async (t) => {
  const node = await criStage(t, { kind: 'cache', waiting: 1 });
  const first = await runPod(node, 'first');
  assert.equal(first.origin, 'direct');
  await until(() => ready(node, 'w').length === 1, 'the VM that waits');
  const pair = await Promise.all([runPod(node, 'a'), runPod(node, 'b')]);
  assert.deepEqual(pair.map(({ origin }) => origin).sort(), ['cache', 'direct']);
  assertApart([first, ...pair]);
  await remove(node, [first, ...pair]);
  await node.restart({ kind: 'cache', waiting: 1 });
  assert.deepEqual(ready(node, 'w'), []);
  // As of a server that was killed: it had no time to take away what waits.
  node.vm('factory', 'refill', '--kind', 'cache', '--shape', '1x224');
  const next = await runPod(node, 'next');
  assert.equal(next.origin, 'cache');
  await remove(node, [next]);
});

test('a clone that waits is the next pod, and is replaced by another', async (t) => {
  const node = await criStage(t, { kind: 'template', waiting: 1 });
  const first = await runPod(node, 'first');
  await until(() => ready(node, 'w').length === 1, 'the waiting clone');
  const [waiting = ''] = ready(node, 'w');
  const next = await runPod(node, 'next');
  assert.deepEqual([first.origin, next.origin], ['direct', 'template']);
  assert.ok(!ready(node, 'w').includes(waiting), 'it was taken');
  await until(() => ready(node, 'w').length === 1, 'another one');
  const third = await runPod(node, 'third');
  assertApart([first, next, third]);
  await remove(node, [first, next, third]);
});
