import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { isRunning } from '#foundation/linux/process.ts';
import { leakCheck } from '../../../../test/leaks.ts';
import { connectAgent } from '../../agent-client/connect.ts';
import { patientMs, testShape, vmStage } from '../../testing/vm-stage.ts';
import { confinementOf, hypervisorSuite } from '../contract-suite.ts';
import { mostResets } from './boot-guard.ts';
import { createQemu } from './driver.ts';
import { readRecord } from './record.ts';
import type { QemuVm } from './vm.ts';

hypervisorSuite(
  (stage) => createQemu({ spawner: stage.spawner, cacheDirectory: join(stage.root, 'q') }),
  leakCheck,
);

test("QEMU runs as nobody, filtered, without a network, and holds nothing of the host's but what it was given", async (t) => {
  const { hypervisor, image, root, atEnd } = await vmStage(t, leakCheck);
  const directory = join(root, 'vm');
  atEnd(() => hypervisor.cleanUp(directory));
  const vm = await hypervisor.start({ id: 'x', directory, image, ...testShape, nics: [], shares: [] });
  const { uid, noNewPrivileges, seccomp } = confinementOf(vm.pid);
  assert.ok(uid >= 2_000_000_000);
  assert.deepEqual({ noNewPrivileges, seccomp }, { noNewPrivileges: true, seccomp: true });
  assert.match(readFileSync(`/proc/${vm.pid}/status`, 'utf8'), /^CapBnd:\s+0+$/m);
  assert.notEqual(readlinkSync(`/proc/${vm.pid}/ns/net`), readlinkSync('/proc/self/ns/net'));
  const open = readdirSync(`/proc/${vm.pid}/fd`).map((fd) => readlinkSync(`/proc/${vm.pid}/fd/${fd}`));
  const files = open.filter((target) => target.startsWith('/') && !target.startsWith('/memfd:'));
  assert.deepEqual(
    files.filter(
      (file) =>
        ![
          image.vmlinuxPath,
          image.emulatedVmlinuxPath,
          image.initrdPath,
          '/dev/null',
          '/dev/urandom',
        ].includes(file),
    ),
    [],
  );
  // Its starter died before it wrote down which process it was: it is found all the same.
  const record = join(directory, 'vm.json');
  const { process, ...rest } = readRecord(directory);
  assert.ok(process !== undefined);
  writeFileSync(record, JSON.stringify(rest));
  vm.release();
  await hypervisor.cleanUp(directory);
  assert.equal(isRunning(process), false);
  assert.equal(existsSync(directory), false);
});

test('a guest whose kernel loses its only timer boots again, a bounded number of times', async (t) => {
  const { hypervisor, image, root, atEnd } = await vmStage(t, leakCheck);
  const directory = join(root, 'vm');
  atEnd(() => hypervisor.cleanUp(directory));
  // Every boot says it, since the kernel repeats the parameters that it does not know.
  const kernelParameters = ['loglevel=6', 'skiff_test="APIC frequency too slow"'];
  const spec = { id: 'x', directory, image, ...testShape, kernelParameters, nics: [], shares: [] };
  const vm = await hypervisor.start(spec);
  let resets = 0;
  (vm as QemuVm).qmp.onEvent(({ event }) => {
    if (event === 'RESET') resets += 1;
  });
  const agent = await connectAgent({
    socketPath: vm.agentSocketPath,
    deadlineMs: 4 * patientMs,
    fresh: true,
  });
  agent.close();
  // What a boot says twice may come to one reset or to two.
  assert.ok(resets >= 1 && resets <= mostResets, `${resets} resets`);
  // As ever, a guest that ends itself is not booted again.
  await vm.powerOff();
  assert.equal((await vm.ended).kind, 'shutdown');
});

test('clones of a template have its memory and their own life; nobody can change the template; nothing of it stays', async (t) => {
  const { hypervisor, image, root, atEnd } = await vmStage(t, leakCheck);
  const at = (name: string) => join(root, name);
  const names = ['source', 'a', 'b'];
  atEnd(async () => {
    for (const name of names) await hypervisor.cleanUp(at(name));
    await hypervisor.removeTemplate(at('t'));
  });
  const none = { nics: [], shares: [] };
  const plain = await hypervisor.start({ id: 'plain', directory: at('a'), image, ...testShape, ...none });
  await assert.rejects(hypervisor.saveTemplate(plain, { key: 'k', directory: at('t') }), {
    code: 'FAILED_PRECONDITION',
  });
  await assert.rejects(plain.addNic({ mac: '02:00:00:00:00:01', tapFd: 0 }), { code: 'UNIMPLEMENTED' });
  await plain.kill();
  await hypervisor.cleanUp(at('a'));
  const spec = { id: 'source', directory: at('source'), image, ...testShape, ...none, hotplug: true };
  const source = await hypervisor.start(spec);
  const agent = await connectAgent({
    socketPath: source.agentSocketPath,
    deadlineMs: patientMs,
    fresh: true,
  });
  const { bootId } = agent.hello;
  agent.close();
  const template = await hypervisor.saveTemplate(source, { key: 'k', directory: at('t') });
  assert.equal((await source.ended).kind, 'shutdown');
  assert.deepEqual(hypervisor.openTemplate(at('t'))?.key, 'k');
  const keeper = (
    JSON.parse(readFileSync(join(at('t'), 'template.json'), 'utf8')) as { keeper: { pid: number } }
  ).keeper;
  const memory = openSync(`/proc/${keeper.pid}/fd/3`, 'r+');
  assert.throws(() => writeFileSync(memory, 'x'), { code: 'EPERM' });
  closeSync(memory);
  const a = await hypervisor.restore(template, { id: 'a', directory: at('a'), ...none });
  const b = await hypervisor.restore(template, { id: 'b', directory: at('b'), ...none });
  for (const clone of [a, b]) {
    const each = await connectAgent({
      socketPath: clone.agentSocketPath,
      deadlineMs: patientMs,
      fresh: true,
    });
    assert.equal(each.hello.bootId, bootId);
    each.close();
  }
  await assert.rejects(a.setMemory(128 * 1024 * 1024), { code: 'UNIMPLEMENTED' });
  // The clones outlive the template, whose memory goes with its keeper.
  await hypervisor.removeTemplate(at('t'));
  assert.equal(hypervisor.openTemplate(at('t')), undefined);
  await assert.rejects(hypervisor.restore(template, { id: 'c', directory: at('c'), ...none }), {
    code: 'NOT_FOUND',
  });
  assert.equal(existsSync(at('c')), false);
  await a.ping();
  rmSync(at('t'), { recursive: true, force: true });
});
