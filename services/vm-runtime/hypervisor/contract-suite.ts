/** What every hypervisor must do: a suite that a driver's own test file runs with a real VM of its making. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { identify, isRunning, signalProcess } from '#foundation/linux/process.ts';
import { connectAgent } from '../agent-client/connect.ts';
import type { AgentClient } from '../agent-client/types.ts';
import type { GuestImage } from '../guest-image/types.ts';
import { buildImage } from '../storage/image.ts';
import { type LeakCheck, patientMs, testShape, type VmStage, vmStage } from '../testing/vm-stage.ts';
import type { Hypervisor, Vm, VmSpec } from './types.ts';

const mebibyte = 1024 * 1024;

type Make = (stage: VmStage) => Hypervisor;
type Begin = (t: TestContext) => ReturnType<typeof beginWith>;

/** Runs the suite. `make` gives the driver to try, for a place of its own. */
export function hypervisorSuite(make: Make, leakCheck: LeakCheck): void {
  const begin = (t: TestContext) => beginWith(t, make, leakCheck);
  lifeSuite(begin);
  endSuite(begin);
  refusalSuite(begin);
}

async function beginWith(t: TestContext, make: Make, leakCheck: LeakCheck) {
  const stage = await vmStage(t, leakCheck);
  const hypervisor = make(stage);
  const directory = join(stage.root, 'vm');
  stage.atEnd(() => hypervisor.cleanUp(directory));
  const spec = { id: 'tried', directory, image: stage.image, ...testShape, nics: [], shares: [] };
  return { ...stage, hypervisor, directory, spec };
}

function lifeSuite(begin: Begin): void {
  test('a VM boots, takes disks and gives back memory, and is found again by another process', async (t) => {
    const { hypervisor, spec, root, spawner, directory } = await begin(t);
    const vm = await hypervisor.start(spec);
    const agent = await connectAgent({ socketPath: vm.agentSocketPath, deadlineMs: patientMs, fresh: true });
    const { bootId } = agent.hello;
    // The guest loads what it needs for memory and disks with its first configuration.
    await agent.configure({}, { deadlineMs: patientMs });
    assert.ok((await vm.ping()) < 5000);
    await tryDisks(vm, agent, root, spawner);
    await tryMemory(vm);
    await vm.pause();
    await assert.rejects(agent.ping({ deadlineMs: 200 }), { code: 'DEADLINE_EXCEEDED' });
    await vm.resume();
    await agent.ping({ deadlineMs: patientMs });
    // As when the process that started it has died.
    agent.close();
    vm.release();
    const again = await hypervisor.attach(directory);
    assert.equal(again.pid, vm.pid);
    const second = await connectAgent({ socketPath: again.agentSocketPath, deadlineMs: patientMs });
    assert.equal(second.hello.bootId, bootId);
    await second.shutdown({ deadlineMs: patientMs });
    await again.powerOff(patientMs);
    assert.deepEqual(await again.ended, { kind: 'shutdown' });
    assert.deepEqual(await vm.ended, { kind: 'shutdown' });
    await assert.rejects(hypervisor.attach(directory), { code: 'NOT_FOUND' });
    await hypervisor.cleanUp(directory);
    await hypervisor.cleanUp(directory);
    assert.equal(existsSync(directory), false);
  });
}

function endSuite(begin: Begin): void {
  test('what ends a VM is told: a kill, a stranger, a panic; a stuck guest is ended all the same', async (t) => {
    const { hypervisor, spec, directory, root } = await begin(t);
    const killed = await hypervisor.start(spec);
    await killed.kill();
    await killed.kill();
    assert.deepEqual(await killed.ended, { kind: 'killed' });
    await hypervisor.cleanUp(directory);
    const shot = await hypervisor.start(spec);
    const identity = identify(shot.pid);
    assert.ok(identity !== undefined && signalProcess(identity, 9));
    const end = await shot.ended;
    assert.deepEqual({ ...end, said: '' }, { kind: 'failed', code: 137, said: '' });
    await hypervisor.cleanUp(directory);
    // An initrd without a program to run: the kernel panics, and says so on the console.
    const initrdPath = join(root, 'empty');
    writeFileSync(initrdPath, Buffer.alloc(512));
    const panicking = await hypervisor.start({ ...spec, image: { ...spec.image, initrdPath } });
    const panic = await panicking.ended;
    assert.equal(panic.kind, 'panic');
    assert.match(panic.kind === 'panic' ? panic.console : '', /Kernel panic - not syncing/);
    assert.ok(statSync(panicking.consolePath).size <= 128 * 1024);
    await hypervisor.cleanUp(directory);
    const stuck = await hypervisor.start(spec);
    await stuck.pause();
    await stuck.powerOff(1);
    assert.equal(isRunning({ pid: stuck.pid, startTime: 0 }), false);
    await stuck.ended;
  });
}

function refusalSuite(begin: Begin): void {
  test('what cannot start leaves nothing and says why', async (t) => {
    const { hypervisor, spec, directory, root } = await begin(t);
    const broken = join(root, 'broken');
    writeFileSync(broken, 'this is no kernel');
    const image: GuestImage = {
      ...spec.image,
      vmlinuxPath: broken,
      emulatedVmlinuxPath: broken,
      bzImagePath: broken,
    };
    const bad: [Partial<VmSpec>, string, RegExp][] = [
      [{ image }, 'FAILED_PRECONDITION', /Cannot start the VM tried: .*ended with 1: .+/s],
      [{ memoryBytes: 100 * mebibyte + 1 }, 'INVALID_ARGUMENT', /whole MiB/],
      [{ vcpus: 0 }, 'INVALID_ARGUMENT', /a vCPU/],
      [{ nics: [{ mac: '02:00,romfile=/etc/passwd', tapFd: 0 }] }, 'INVALID_ARGUMENT', /is no MAC address/],
      [{ shares: [{ tag: 'a,b=c', fd: 0 }] }, 'INVALID_ARGUMENT', /cannot be a name/],
      [{ directory: '/nonexistent/vm' }, 'NOT_FOUND', /Cannot start the VM/],
    ];
    for (const [change, code, message] of bad) {
      await assert.rejects(hypervisor.start({ ...spec, ...change }), { code, message });
      assert.equal(existsSync(directory), false);
    }
    await assert.rejects(hypervisor.attach(directory), { code: 'NOT_FOUND' });
    mkdirSync(directory);
    await assert.rejects(hypervisor.start(spec), { code: 'ALREADY_EXISTS' });
    // A cgroup that is not there: the process must not run outside of it.
    await hypervisor.cleanUp(directory);
    await assert.rejects(hypervisor.start({ ...spec, cgroup: '/skiff-nonexistent' }), {
      code: 'FAILED_PRECONDITION',
    });
    assert.equal(existsSync(directory), false);
  });
}

async function tryDisks(
  vm: Vm,
  agent: AgentClient,
  root: string,
  spawner: VmStage['spawner'],
): Promise<void> {
  const source = join(root, 'tree');
  mkdirSync(join(source, 'sub'), { recursive: true });
  const image = join(root, 'tree.img');
  await buildImage({ spawner }, { source, target: image });
  await assert.rejects(vm.addDisk({ serial: 'a,b', path: image, readOnly: true }), {
    code: 'INVALID_ARGUMENT',
  });
  await assert.rejects(vm.addDisk({ serial: 'none', path: '/nonexistent', readOnly: true }), {
    code: 'NOT_FOUND',
  });
  for (let round = 0; round < 2; round += 1) {
    await vm.addDisk({ serial: 'tree', path: image, readOnly: true });
    await assert.rejects(vm.addDisk({ serial: 'tree', path: image, readOnly: true }), {
      code: 'ALREADY_EXISTS',
    });
    const mount = {
      target: '/run/tree',
      type: 'erofs',
      options: ['ro'],
      blockSerial: 'tree',
      waitMs: patientMs,
    };
    await agent.mount(mount);
    // Something to bind shows that the tree is there.
    await agent.mount({ source: '/run/tree/sub', target: '/run/bound', type: 'bind', options: ['bind'] });
    await agent.unmount('/run/bound', { remove: true });
    await agent.unmount('/run/tree', { remove: true });
    await vm.removeDisk('tree');
    await vm.removeDisk('tree');
  }
}

async function tryMemory(vm: Vm): Promise<void> {
  await assert.rejects(vm.setMemory(vm.memoryBytes + mebibyte), { code: 'OUT_OF_RANGE' });
  await assert.rejects(vm.setMemory(mebibyte), { code: 'OUT_OF_RANGE' });
  const wanted = 160 * mebibyte;
  await vm.setMemory(wanted);
  let usage = await vm.usage();
  for (let waited = 0; usage.memoryBytes > wanted && waited < patientMs; waited += 50) {
    await sleep(50);
    usage = await vm.usage();
  }
  assert.equal(usage.memoryBytes, wanted);
  assert.ok(usage.residentBytes > 0 && usage.cpuMs > 0);
  await vm.setMemory(vm.memoryBytes);
}

/** What the kernel says of a process that nothing can be expected of: for a driver's own tests of its confinement. */
export function confinementOf(pid: number): { uid: number; noNewPrivileges: boolean; seccomp: boolean } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name: string) => new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1];
  return {
    uid: Number(field('Uid')),
    noNewPrivileges: field('NoNewPrivs') === '1',
    seccomp: field('Seccomp') === '2',
  };
}
