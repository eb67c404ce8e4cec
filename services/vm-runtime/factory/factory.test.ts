import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeCgroup } from '#foundation/linux/cgroup-limits.ts';
import { cgroupDirectories, cgroupLayout, cgroupProcesses, removeCgroup } from '#foundation/linux/cgroups.ts';
import { inNamespaces } from '#foundation/linux/namespaces.ts';
import { openNetlink } from '#foundation/linux/netlink.ts';
import { identify, signalProcess } from '#foundation/linux/process.ts';
import { interfacesWithIngress } from '#foundation/linux/traffic-control.ts';
import { leakCheck } from '../../../test/leaks.ts';
import { connectAgent } from '../agent-client/connect.ts';
import { type ArchiveEntry, cpioArchive } from '../guest-image/cpio.ts';
import { busyboxRoot, patientMs, runInGuest, testShape, vmStage } from '../testing/vm-stage.ts';
import { cloneOnly } from './template.ts';
import type { PodVm, PodVmRequest } from './types.ts';

const request = (directory: string, more: Partial<PodVmRequest> = {}): PodVmRequest => ({
  ...{ id: 'pod', directory, ...testShape, sharing: 'virtiofs', deadlineMs: patientMs },
  ...more,
});

const redirected = (netns: string) =>
  inNamespaces({ net: netns }, () => {
    using socket = openNetlink();
    return interfacesWithIngress(socket).length;
  });

/** What a container in the guest sees of network, clock and random numbers. */
async function look(pod: PodVm, root: string): Promise<Record<string, string>> {
  const script =
    'ip -o addr; ip route; ip -6 route; echo "MTU $(cat /sys/class/net/eth0/mtu)"; echo "NOW $(date +%s)"; echo "UUID $(cat /proc/sys/kernel/random/uuid)"; echo "FILE $(cat /hello)"';
  const sys = { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['ro'] };
  const { output } = await runInGuest(pod.agent, ['sh', '-c', script], { root, mounts: [sys] });
  const value = (name: string) => new RegExp(`^${name} (.*)$`, 'm').exec(output)?.[1] ?? '';
  return { output, mtu: value('MTU'), now: value('NOW'), uuid: value('UUID'), file: value('FILE') };
}

function checkNetwork({ output, mtu }: Record<string, string>): void {
  assert.match(output ?? '', /eth0\s+inet 10\.9\.0\.2\/24/);
  assert.match(output ?? '', /eth0\s+inet6 fd09::2\/64/);
  assert.match(output ?? '', /default via 10\.9\.0\.1 dev eth0/);
  assert.equal(mtu, '1400');
}

test('a VM is booted with its share and network, found again by the next supervisor, and taken away without a trace', async (t) => {
  const { root, factory, makeNetns, atEnd } = await vmStage(t, leakCheck);
  const direct = factory('direct');
  const directory = join(root, 'p');
  const netns = makeNetns('n');
  atEnd(() => direct.release(directory, netns));
  await busyboxRoot(join(root, 'box'));
  writeFileSync(join(root, 'box', 'hello'), 'from the host');
  const pod = await direct.acquire(request(directory, { netns }));
  assert.equal(pod.origin, 'direct');
  const guestRoot = pod.share?.add({ name: 'box', source: join(root, 'box') }) ?? '';
  const seen = await look(pod, guestRoot);
  checkNetwork(seen);
  assert.equal(seen.file, 'from the host');
  assert.ok(Math.abs(Number(seen.now) - Date.now() / 1000) < 30);
  // What is published on the host, by renaming as Kubernetes does, is seen within a second and a bit.
  writeFileSync(join(root, 'box', 'next'), 'renewed');
  const { renameSync } = await import('node:fs');
  renameSync(join(root, 'box', 'next'), join(root, 'box', 'hello'));
  await sleep(1100);
  assert.equal((await look(pod, guestRoot)).file, 'renewed');
  const { bootId } = pod.agent.hello;
  pod.agent.close();
  pod.vm.release();
  pod.share?.release();
  const again = await direct.reattach(directory);
  assert.equal(again.agent.hello.bootId, bootId);
  assert.equal((await runInGuest(again.agent, ['true'], { root: guestRoot })).code, 0);
  again.agent.close();
  await direct.release(directory);
  assert.equal(redirected(netns), 0);
  assert.equal(existsSync(directory), false);
  await assert.rejects(direct.reattach(directory), { code: 'NOT_FOUND' });
});

test('lineage 25: clones have shares and networks of their own and differ in random numbers, machine id and boot', async (t) => {
  const { root, factory, makeNetns, atEnd } = await vmStage(t, leakCheck);
  const template = factory('template');
  const names = ['a', 'b', 'c'];
  atEnd(async () => {
    for (const name of names) await template.release(join(root, `p${name}`), join(root, `n${name}`));
    await template.drain();
  });
  await busyboxRoot(join(root, 'box'));
  await template.refill();
  await template.refill(); // There is one: nothing to do.
  assert.equal(readdirSync(join(root, 't')).filter((name) => name !== 'lock').length, 1);
  const seen: Record<string, string>[] = [];
  for (const name of ['a', 'b']) {
    const pod = await template.acquire(request(join(root, `p${name}`), { netns: makeNetns(`n${name}`) }));
    assert.equal(pod.origin, 'template');
    const guestRoot = pod.share?.add({ name: 'box', source: join(root, 'box') }) ?? '';
    const each = await look(pod, guestRoot);
    checkNetwork(each);
    assert.ok(Math.abs(Number(each.now) - Date.now() / 1000) < 30);
    seen.push(each);
    pod.agent.close();
  }
  assert.notEqual(seen[0]?.uuid, seen[1]?.uuid);
  const small = await template.acquire(request(join(root, 'pc'), { sharing: 'block' }));
  assert.equal(small.origin, 'template');
  assert.equal(small.share, undefined);
  small.agent.close();
  // The keeper was killed: the template is gone, and a pod's VM is booted.
  const [key = ''] = readdirSync(join(root, 't')).filter((name) => name !== 'lock');
  const record = JSON.parse(readFileSync(join(root, 't', key, 'template.json'), 'utf8'));
  assert.ok(signalProcess((record as { keeper: { pid: number; startTime: number } }).keeper, 9));
  await template.release(join(root, 'pc'));
  const booted = await template.acquire(request(join(root, 'pc'), { sharing: 'block' }));
  assert.equal(booted.origin, 'direct');
  booted.agent.close();
  await template.drain();
  assert.deepEqual(readdirSync(join(root, 't')), ['lock']);
});

test('VMs that wait are taken once, replaced, and removed with what a crash left', async (t) => {
  const { root, factory, makeNetns, atEnd, hypervisor } = await vmStage(t, leakCheck);
  const cache = factory('cache', { waiting: 1 });
  const waiting = () => readdirSync(join(root, 'c')).filter((name) => name !== 'lock');
  atEnd(async () => {
    for (const name of ['a', 'b']) await cache.release(join(root, name), join(root, `n${name}`));
    await cache.drain();
  });
  await busyboxRoot(join(root, 'box'));
  await cache.refill();
  assert.equal(waiting().length, 1);
  const pod = await cache.acquire(request(join(root, 'a'), { netns: makeNetns('na') }));
  assert.equal(pod.origin, 'cache');
  assert.deepEqual(waiting(), []);
  checkNetwork(await look(pod, pod.share?.add({ name: 'box', source: join(root, 'box') }) ?? ''));
  pod.agent.close();
  await cache.release(join(root, 'a'));
  // One that died while it waited is not given to anybody, and what is half made goes with the next refill.
  await cache.refill();
  const [name = ''] = waiting();
  const vm = await hypervisor.attach(join(root, 'c', name, 'vm'));
  const identity = identify(vm.pid);
  assert.ok(identity !== undefined && signalProcess(identity, 9));
  await vm.ended;
  mkdirSync(join(root, 'c', `${name}.new`));
  const booted = await cache.acquire(request(join(root, 'b')));
  assert.equal(booted.origin, 'direct');
  booted.agent.close();
  await cache.release(join(root, 'b'));
  await cache.drain();
  assert.deepEqual(waiting(), []);
});

test('clones that wait are taken once, get the network of their pod and are moved to its cgroup whole', async (t) => {
  const { root, factory, makeNetns, atEnd, hypervisor, spawner, image } = await vmStage(t, leakCheck);
  const template = factory('template');
  const deps = { hypervisor, spawner, connectAgent, image: async () => image, shapes: [testShape] };
  const ready = factory('cache', {
    waiting: 1,
    prepare: (wanted) => cloneOnly({ ...deps, directory: join(root, 't') }, wanted),
  });
  await busyboxRoot(join(root, 'box'));
  const cgroup = `/skiff-test-${basename(root)}`;
  const layout = cgroupLayout();
  makeCgroup(layout, cgroup);
  for (const directory of cgroupDirectories(layout, cgroup)) mkdirSync(directory, { recursive: true });
  atEnd(async () => {
    await ready.release(join(root, 'a'), join(root, 'na'));
    await ready.drain();
    await template.drain();
    await removeCgroup(layout, cgroup);
  });
  await assert.rejects(ready.refill(), { code: 'NOT_FOUND' });
  await template.refill();
  await ready.refill();
  const waiting = () => readdirSync(join(root, 'c')).filter((name) => name !== 'lock').length;
  assert.equal(waiting(), 1);
  const pod = await ready.acquire(request(join(root, 'a'), { netns: makeNetns('na'), cgroup }));
  assert.deepEqual([pod.origin, waiting()], ['template', 0]);
  checkNetwork(await look(pod, pod.share?.add({ name: 'box', source: join(root, 'box') }) ?? ''));
  const own = [pod.vm.pid, pod.share?.pid, ...pod.vm.helperPids()];
  assert.equal(own.length, 3);
  const members = cgroupProcesses(layout, cgroup);
  for (const pid of own) assert.ok(members.includes(pid ?? 0), `${pid} is in ${cgroup}`);
  await assert.rejects(pod.vm.setMemory(128 * 1024 * 1024), { code: 'UNIMPLEMENTED' });
  pod.agent.close();
});

test('lineage 02: a failure at each step leaves nothing: no redirect, no share, no process, no directory', async (t) => {
  const { root, factory, makeNetns, image } = await vmStage(t, leakCheck);
  const netns = makeNetns('n');
  const directory = join(root, 'p');
  const silent = () => Promise.reject(new Error('no agent today'));
  const noImage = () => Promise.reject(new Error('no image today'));
  const missing = '/nonexistent/vmlinux';
  const broken = { ...image, vmlinuxPath: missing, emulatedVmlinuxPath: missing };
  const attempts = [
    factory('direct', { image: noImage }),
    factory('direct', { fileServer: '/nonexistent/virtiofsd' }),
    factory('direct', { image: async () => broken }),
    factory('direct', { connectAgent: silent }),
  ];
  for (const each of attempts) {
    await assert.rejects(each.acquire(request(directory, { netns })));
    assert.equal(existsSync(directory), false);
    assert.equal(redirected(netns), 0);
  }
  await assert.rejects(factory('direct').acquire(request(directory, { netns: '/nonexistent' })), {
    code: 'NOT_FOUND',
  });
});

test('lineage 11: a guest that hangs at boot fails in time with its last words, and nothing of it is left', async (t) => {
  const { root, factory, image, makeNetns } = await vmStage(t, leakCheck);
  const source = join(root, 'hang.c');
  writeFileSync(source, '#include <unistd.h>\nint main(void) { for (;;) pause(); }\n');
  const program = join(root, 'hang');
  execFileSync('gcc', ['-static', '-O1', '-o', program, source]);
  const initrdPath = join(root, 'initrd');
  // The kernel's console is made for it: initramfs-buffer-format.
  const files: ArchiveEntry[] = [
    { kind: 'directory', path: 'dev' },
    { kind: 'character-device', path: 'dev/console', major: 5, minor: 1 },
    { kind: 'file', path: 'init', mode: 0o755, content: readFileSync(program) },
  ];
  writeFileSync(initrdPath, cpioArchive(files));
  const netns = makeNetns('n');
  const directory = join(root, 'p');
  const hung = factory('direct', { image: async () => ({ ...image, initrdPath }) });
  const began = performance.now();
  await assert.rejects(hung.acquire(request(directory, { netns, deadlineMs: 5000 })), {
    code: 'DEADLINE_EXCEEDED',
    message: /Cannot make the VM pod: The guest of the VM pod does not answer.*took longer than 5000 ms/s,
  });
  assert.ok(performance.now() - began >= 5000);
  assert.equal(existsSync(directory), false);
  assert.equal(redirected(netns), 0);
});
