/** Limits: cgroups, OOM scores, devices, UpdateContainerResources. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Context } from '../context.ts';
import { fails } from '../expect.ts';
import { area } from '../rule.ts';

const unified = existsSync('/sys/fs/cgroup/cgroup.controllers');

/** Whether the container has a kernel of its own, whose cgroups are not the host's. */
async function hasOwnKernel(t: Context, containerId: string): Promise<boolean> {
  const file = '/proc/sys/kernel/random/boot_id';
  return (await t.output(containerId, `cat ${file}`)) !== readFileSync(file, 'utf8').trim();
}

/** A limit, and whether it is one of version 2. */
interface Limit {
  value: string;
  isV2: boolean;
}

/** Reads a limit from the host's side, where the container's process is in its cgroups; else as the container has it. */
async function limit(
  t: Context,
  containerId: string,
  controller: string,
  v1: string,
  v2: string,
): Promise<Limit> {
  if (await hasOwnKernel(t, containerId))
    return { value: await t.output(containerId, `cat /sys/fs/cgroup/${v2}`), isV2: true };
  const { info } = await t.cri.runtime.containerStatus({ containerId, verbose: true });
  const { pid } = JSON.parse(info.info ?? '{}') as { pid?: number };
  const lines = readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('\n');
  const path = lines
    .map((line) => line.split(':'))
    .find(([, names]) => (unified ? names === '' : names?.split(',').includes(controller)))?.[2];
  const root = unified ? '/sys/fs/cgroup' : `/sys/fs/cgroup/${controller}`;
  return { value: readFileSync(`${root}${path}/${unified ? v2 : v1}`, 'utf8').trim(), isV2: unified };
}

/** How many processes are in the groups below a parent. */
function processesBelow(cgroupParent: string): number {
  const root = join('/sys/fs/cgroup', unified ? '' : 'memory', cgroupParent);
  const groups = readdirSync(root, { withFileTypes: true }).filter((each) => each.isDirectory());
  const lines = groups.map(({ name }) => readFileSync(join(root, name, 'cgroup.procs'), 'utf8'));
  return lines.join('').split('\n').filter(Boolean).length;
}

const mib = 1024n * 1024n;

export const resources = area('resources', (rule) => {
  rule('the memory limit is the one asked for', async (t) => {
    const { id } = await t.running({ linux: { resources: { memoryLimitInBytes: 64n * mib } } });
    const { value } = await limit(t, id, 'memory', 'memory.limit_in_bytes', 'memory.max');
    assert.equal(value, String(64n * mib));
  });

  rule('CPU quota and period are those asked for', async (t) => {
    const { id } = await t.running({ linux: { resources: { cpuQuota: 50_000n, cpuPeriod: 100_000n } } });
    const quota = await limit(t, id, 'cpu', 'cpu.cfs_quota_us', 'cpu.max');
    assert.equal(quota.value, quota.isV2 ? '50000 100000' : '50000');
  });

  rule('CPU shares are those asked for', async (t) => {
    const { id } = await t.running({ linux: { resources: { cpuShares: 512n } } });
    const shares = await limit(t, id, 'cpu', 'cpu.shares', 'cpu.weight');
    if (shares.isV2) assert.ok(Number(shares.value) > 1 && Number(shares.value) < 100);
    else assert.equal(shares.value, '512');
  });

  rule('cpuset is the one asked for', async (t) => {
    const { id } = await t.running({ linux: { resources: { cpusetCpus: '0' } } });
    assert.equal(await t.output(id, 'grep Cpus_allowed_list /proc/1/status | cut -f2'), '0');
  });

  rule('the OOM score is the one asked for', async (t) => {
    const { id } = await t.running({ linux: { resources: { oomScoreAdj: 500n } } });
    assert.equal(await t.output(id, 'cat /proc/1/oom_score_adj'), '500');
  });

  rule('UpdateContainerResources changes a running container, and the status tells', async (t) => {
    const { id: containerId } = await t.running({ linux: { resources: { memoryLimitInBytes: 64n * mib } } });
    const linux = { memoryLimitInBytes: 96n * mib, cpuShares: 333n };
    await t.cri.runtime.updateContainerResources({ containerId, linux });
    const { value } = await limit(t, containerId, 'memory', 'memory.limit_in_bytes', 'memory.max');
    assert.equal(value, String(96n * mib));
  });

  rule('ContainerStatus reports the resources in force', async (t) => {
    const { id: containerId } = await t.running({ linux: { resources: { cpuShares: 400n } } });
    assert.equal((await t.status(containerId)).resources?.linux?.cpuShares, 400n);
    await t.cri.runtime.updateContainerResources({ containerId, linux: { cpuShares: 300n } });
    assert.equal((await t.status(containerId)).resources?.linux?.cpuShares, 300n);
  });

  rule('an update that changes nothing but one limit keeps the others', async (t) => {
    const { id: containerId } = await t.running({ linux: { resources: { memoryLimitInBytes: 64n * mib } } });
    await t.cri.runtime.updateContainerResources({ containerId, linux: { cpuShares: 200n } });
    const { value } = await limit(t, containerId, 'memory', 'memory.limit_in_bytes', 'memory.max');
    assert.equal(value, String(64n * mib));
  });

  rule('a cgroup parent is honoured', async (t) => {
    const cgroupParent = t.cgroupParent();
    const { id: containerId } = await t.running({}, { linux: { cgroupParent } });
    // What runs a kernel of its own is what must be bounded.
    if (await hasOwnKernel(t, containerId)) return assert.ok(processesBelow(cgroupParent) > 0);
    const { info } = await t.cri.runtime.containerStatus({ containerId, verbose: true });
    const { pid } = JSON.parse(info.info ?? '{}') as { pid?: number };
    assert.match(readFileSync(`/proc/${pid}/cgroup`, 'utf8'), new RegExp(`${cgroupParent}/`));
  });

  rule('a host device appears under the name asked for, with the permissions asked for', async (t) => {
    const devices = [{ hostPath: '/dev/null', containerPath: '/dev/own-null', permissions: 'rw' }];
    const { id } = await t.running({ devices });
    assert.match(await t.output(id, 'stat -c "%F %t:%T" /dev/own-null'), /character.* 1:3/);
    await t.output(id, 'echo x > /dev/own-null');
  });

  rule('without asking there are only the standard devices', async (t) => {
    const { id } = await t.running();
    const found = (await t.output(id, 'ls /dev')).split('\n');
    for (const name of ['null', 'zero', 'full', 'random', 'urandom', 'tty', 'fd', 'stdin']) {
      assert.ok(found.includes(name), `/dev/${name} is missing`);
    }
    for (const name of ['kvm', 'mem', 'vda', 'sda', 'loop0'])
      assert.ok(!found.includes(name), `/dev/${name} is there`);
  });

  rule('UpdatePodSandboxResources of a sandbox succeeds, of an unknown one it fails', async (t) => {
    const { id: podSandboxId } = await t.pod();
    await t.cri.runtime.updatePodSandboxResources({ podSandboxId, resources: { cpuShares: 100n } });
    await fails(t.cri.runtime.updatePodSandboxResources({ podSandboxId: '0'.repeat(64) }), 'NOT_FOUND');
  });

  rule('a swap limit equal to the memory limit leaves no swap', async (t) => {
    if (unified || !existsSync('/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes'))
      t.skip('no swap accounting here');
    const { id } = await t.running({ linux: { resources: { memoryLimitInBytes: 64n * mib } } });
    const both = await limit(t, id, 'memory', 'memory.memsw.limit_in_bytes', 'memory.swap.max');
    assert.equal(both.value, both.isV2 ? '0' : String(64n * mib));
  });
});
