import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { makeCgroup, setCgroupLimits } from '#foundation/linux/cgroup-limits.ts';
import { cgroupDirectories, cgroupLayout, removeCgroup } from '#foundation/linux/cgroups.ts';
import { makePodCgroup, removePodCgroup } from './cgroup.ts';
import type { PodConfig } from './records.ts';

const MiB = 1024 * 1024;

/** A pod's group with limits, and the configuration of a VM in it. */
function podGroup(t: TestContext, memory: number): PodConfig {
  const parent = `/skiff-vm-test-${process.pid}-${Math.random().toString(36).slice(2)}`;
  makeCgroup(cgroupLayout(), parent);
  setCgroupLimits(cgroupLayout(), parent, { memory, cpuQuota: 25_000, cpuPeriod: 100_000 });
  t.after(() => removeCgroup(cgroupLayout(), parent));
  return { cgroup: `${parent}/skiff-vm-a`, vcpus: 1, memoryBytes: 200 * MiB } as PodConfig;
}

test("a VM's group fits into one of a pod whose processor time is less than the VM's own", async (t) => {
  const config = podGroup(t, 300 * MiB);
  makePodCgroup(config);
  const directories = () =>
    cgroupDirectories(cgroupLayout(), config.cgroup ?? '').filter((each) => existsSync(each));
  assert.ok(directories().length > 0);
  await removePodCgroup(config);
  assert.deepEqual(directories(), []);
});

test('a pod whose group has no room for the VM is refused with what to do', (t) => {
  const config = podGroup(t, 64 * MiB);
  assert.throws(
    () => makePodCgroup(config),
    /may use 64 MiB of memory, and the VM has 200 MiB .*spec.overhead/,
  );
});
