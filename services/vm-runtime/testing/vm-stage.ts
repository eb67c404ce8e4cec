/** A place for tests with real VMs: a root of its own, the hypervisor, the guest image, and what is left afterwards. */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { addAddress, addRoute } from '#foundation/linux/addresses.ts';
import { runCommand } from '#foundation/linux/command.ts';
import { addVeth, getLink, setLink } from '#foundation/linux/links.ts';
import {
  currentNamespace,
  inNewNamespaces,
  pinNamespace,
  prepareNamespaces,
  unpinNamespace,
} from '#foundation/linux/namespaces.ts';
import { openNetlink } from '#foundation/linux/netlink.ts';
import { createSpawner, type Spawner } from '#foundation/linux/spawn.ts';
import { connectAgent } from '../agent-client/connect.ts';
import type { AgentClient } from '../agent-client/types.ts';
import { createVmFactory, type FactoryDeps } from '../factory/index.ts';
import type { FactoryKind, VmFactory } from '../factory/types.ts';
import { guestImage } from '../guest-image/build.ts';
import type { GuestImage } from '../guest-image/types.ts';
import { createQemu } from '../hypervisor/qemu/driver.ts';
import type { Hypervisor } from '../hypervisor/types.ts';
import { type TestContainer, testConfig, testImages, textOf } from './guest-config.ts';

/** The size of the tests' VMs. */
export const testShape = { vcpus: 1, memoryBytes: 256 * 1024 * 1024 };
/** Milliseconds for a boot on a machine that is busy with other tests. */
export const patientMs = 90_000;

/** The place. */
export interface VmStage {
  root: string;
  spawner: Spawner;
  hypervisor: Hypervisor;
  image: GuestImage;
  factory(kind: FactoryKind, changes?: Partial<FactoryDeps>): VmFactory;
  /** Makes and pins a namespace with eth0 (10.9.0.2/24, fd09::2/64, by 10.9.0.1) and its other end, `far`. */
  makeNetns(name: string): string;
  /** Does something after the test, before it is looked what is left; the last first. */
  atEnd(step: () => Promise<void>): void;
}

/** Looks what of a root is left on the machine: `leakCheck` of test/leaks.ts, which only tests may import. */
export type LeakCheck = (root: string) => { assertClean(graceMs?: number): Promise<void> };

/** Makes the place; it is removed after the test, which fails if anything of it is left on the machine. */
export async function vmStage(t: TestContext, leakCheck: LeakCheck): Promise<VmStage> {
  const root = mkdtempSync('/tmp/skiff-v');
  const leaks = leakCheck(root);
  const spawner = createSpawner();
  const pins: string[] = [];
  await prepareNamespaces();
  const hypervisor = createQemu({ spawner, cacheDirectory: join(root, 'q') });
  const image = await guestImage({ directory: testImages });
  const steps: (() => Promise<void>)[] = [];
  t.after(async () => {
    for (const step of steps.reverse()) await step();
    for (const pin of pins) unpinNamespace(pin);
    await leaks.assertClean(10_000);
    spawner[Symbol.dispose]();
    rmSync(root, { recursive: true });
  });
  return {
    root,
    spawner,
    hypervisor,
    image,
    atEnd: (step) => void steps.push(step),
    factory: (kind, changes = {}) => {
      const directory = join(root, kind[0] ?? '');
      const deps = {
        hypervisor,
        spawner,
        image: async () => image,
        connectAgent,
        directory,
        shapes: [testShape],
      };
      return createVmFactory(kind, { ...deps, settleMs: 500, ...changes });
    },
    makeNetns: (name) => {
      const pin = join(root, name);
      inNewNamespaces(['net'], () => {
        pinNamespace(currentNamespace('net'), pin);
        pins.push(pin);
        fillNamespace();
      });
      return pin;
    },
  };
}

function fillNamespace(): void {
  using socket = openNetlink();
  setLink(socket, getLink(socket, 'lo').index, { up: true });
  addVeth(socket, { host: { name: 'far' }, peer: { name: 'eth0', mac: '02:11:22:33:44:55' }, mtu: 1400 });
  const { index } = getLink(socket, 'eth0');
  setLink(socket, index, { up: true });
  setLink(socket, getLink(socket, 'far').index, { up: true });
  addAddress(socket, { index, address: '10.9.0.2', prefix: 24 });
  addAddress(socket, { index, address: 'fd09::2', prefix: 64 });
  addRoute(socket, { index, destination: '0.0.0.0/0', gateway: '10.9.0.1' });
}

/** Makes a container's root of busybox. */
export async function busyboxRoot(root: string): Promise<void> {
  for (const name of ['bin', 'proc', 'sys', 'dev', 'etc', 'tmp'])
    mkdirSync(join(root, name), { recursive: true });
  copyFileSync('/bin/busybox', join(root, 'bin/busybox'));
  const { stdout } = await runCommand({ file: '/bin/busybox', args: ['--list'] });
  for (const name of stdout.toString().trim().split('\n'))
    if (name !== 'busybox') symlinkSync('busybox', join(root, 'bin', name));
}

/** Runs a program in a container of its own in the guest. */
export async function runInGuest(
  agent: AgentClient,
  args: string[],
  wish: TestContainer & { newPrivileges?: boolean } = {},
): Promise<{ code: number; output: string; endedAt: number }> {
  const id = `run-${Math.random().toString(36).slice(2)}`;
  const config = JSON.parse(testConfig(args, wish)) as { process: { noNewPrivileges: boolean } };
  config.process.noNewPrivileges = wish.newPrivileges !== true;
  const main = await agent.createContainer(
    { id, config: JSON.stringify(config), terminal: false, noInput: true },
    { deadlineMs: patientMs },
  );
  const [out, errors] = [textOf(main.stdout), textOf(main.stderr)];
  await agent.startContainer(id, { deadlineMs: patientMs });
  const { code } = await main.exited;
  const endedAt = performance.now();
  const output = (await out) + (await errors);
  await agent.deleteContainer(id, { deadlineMs: patientMs });
  return { code, output, endedAt };
}
