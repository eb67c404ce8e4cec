import assert from 'node:assert/strict';
import { readFileSync, renameSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { identify } from '#foundation/linux/process.ts';
import { context, openFixture } from '../../../test/containers-fixture.ts';
import { readHostFacts } from './spec/host.ts';

const bytes = (text: string) => Buffer.from(text);

test('arguments, environment and working directory: the request before the image', async (t) => {
  const fixture = await openFixture(t, {
    image: {
      Entrypoint: ['sh', '-c'],
      Cmd: ['echo image; pwd'],
      Env: ['A=image', 'B=image'],
      WorkingDir: '/tmp',
    },
  });
  const output = async (config: object) => {
    const id = await fixture.create(config as never);
    await fixture.start(id);
    await fixture.ended(id);
    const { logPath } = await fixture.status(id);
    return readFileSync(logPath, 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.split(' ').slice(3).join(' '));
  };
  assert.deepEqual(await output({}), ['image', '/tmp']);
  assert.deepEqual(await output({ args: ['echo args'] }), ['args']);
  const envs = [
    { key: 'A', value: bytes('one') },
    { key: 'A', value: bytes('two = 2') },
  ];
  assert.deepEqual(
    await output({ command: ['sh', '-c', 'echo $A,$B,$HOSTNAME,$PATH; pwd'], envs, workingDir: '/new/dir' }),
    [
      'two = 2,image,' +
        (await import('node:os')).hostname() +
        ',/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      '/new/dir',
    ],
  );
  const bare = await openFixture(t);
  await assert.rejects(bare.create({}), /nothing to run/);
});

test('a container with a terminal logs everything as stdout and has TERM', async (t) => {
  const fixture = await openFixture(t);
  const id = await fixture.run('tty; echo $TERM; echo err >&2', { tty: true });
  await fixture.ended(id);
  const lines = readFileSync((await fixture.status(id)).logPath, 'utf8')
    .replaceAll('\r', '')
    .trim()
    .split('\n');
  assert.deepEqual(
    lines.map((line) => line.split(' ').slice(1).join(' ')),
    ['stdout F /dev/pts/0', 'stdout F xterm', 'stdout F err'],
  );
});

test('rotation loses no line', async (t) => {
  const fixture = await openFixture(t);
  const id = await fixture.run('for i in $(seq 1 30000); do echo line $i; done; sleep 100');
  const { logPath } = await fixture.status(id);
  const parts: string[] = [];
  for (let part = 0; part < 5; part += 1) {
    await sleep(20);
    renameSync(logPath, `${logPath}.${part}`);
    parts.push(`${logPath}.${part}`);
    await fixture.containers.handlers.reopenContainerLog?.({ containerId: id } as never, context);
  }
  // A line that conmon read in two pieces is tagged P for partial; its pieces follow each other.
  const text = () => [...parts, logPath].map((path) => readFileSync(path, 'utf8')).join('');
  const count = () =>
    text()
      .replaceAll(/ P (.*)\n.{35} stdout ([PF]) /g, ' $2 $1')
      .split('\n')
      .slice(0, -1);
  for (let i = 0; i < 100 && count().length < 30000; i += 1) await sleep(50);
  assert.deepEqual(
    count().map((line) => line.split(' ').at(-1)),
    Array.from({ length: 30000 }, (_, i) => String(i + 1)),
  );
  const stopped = await fixture.run('true');
  await fixture.ended(stopped);
  await assert.rejects(
    async () => fixture.containers.handlers.reopenContainerLog?.({ containerId: stopped } as never, context),
    { code: 'FAILED_PRECONDITION' },
  );
});

test('limits are in force, can be changed, and a bad change leaves the old ones', async (t) => {
  const fixture = await openFixture(t);
  const MiB = 1024n * 1024n;
  const id = await fixture.run('x=$(head -c 20000000 /dev/zero | tr "\\0" x); sleep 100; true', {
    linux: {
      resources: {
        cpuShares: 512n,
        cpuQuota: 50000n,
        cpuPeriod: 100000n,
        memoryLimitInBytes: 64n * MiB,
        cpusetCpus: '0',
      },
    },
  } as never);
  const usage = async () =>
    Number((await fixture.exec(id, 'cat /sys/fs/cgroup/memory*/memory.usage_in_bytes')).stdout);
  if (readHostFacts().cgroups.mode === 'unified') return;
  for (let i = 0; i < 100 && (await usage()) < 20_000_000; i += 1) await sleep(50);
  const read = async () =>
    (
      await fixture.exec(
        id,
        'cd /sys/fs/cgroup; cat cpu/cpu.shares cpu/cpu.cfs_quota_us memory/memory.limit_in_bytes cpuset/cpuset.cpus',
      )
    ).stdout;
  assert.equal(await read(), `512\n50000\n${64n * MiB}\n0\n`);
  const update = async (linux: object) =>
    fixture.containers.handlers.updateContainerResources?.(
      {
        containerId: id,
        annotations: { why: 'test' },
        linux: {
          cpuPeriod: 0n,
          cpuQuota: 0n,
          cpuShares: 0n,
          memoryLimitInBytes: 0n,
          oomScoreAdj: 0n,
          cpusetCpus: '',
          cpusetMems: '',
          hugepageLimits: [],
          unified: {},
          memorySwapLimitInBytes: 0n,
          ...linux,
        },
      } as never,
      context,
    );
  await update({ cpuShares: 256n, memoryLimitInBytes: 128n * MiB });
  assert.equal(await read(), `256\n50000\n${128n * MiB}\n0\n`);
  await assert.rejects(update({ memoryLimitInBytes: 5n * MiB }), /below the \d+ bytes in use/);
  await assert.rejects(update({ memoryLimitInBytes: 5n }), /needs at least/);
  const status = (await fixture.status(id)) as unknown as {
    resources: { linux: { cpuShares: bigint; memoryLimitInBytes: bigint; cpuQuota: bigint } };
  };
  assert.deepEqual(
    [
      status.resources.linux.cpuShares,
      status.resources.linux.memoryLimitInBytes,
      status.resources.linux.cpuQuota,
    ],
    [256n, 128n * MiB, 50000n],
  );
});

test('a container that ran out of memory is OOMKilled, one that was killed is not', async (t) => {
  const fixture = await openFixture(t);
  const resources = { memoryLimitInBytes: 15n * 1024n * 1024n, memorySwapLimitInBytes: 15n * 1024n * 1024n };
  const hungry = await fixture.run('exec tail /dev/zero', { linux: { resources } } as never);
  await fixture.ended(hungry);
  const status = await fixture.status(hungry);
  assert.deepEqual([status.exitCode, status.reason], [137, 'OOMKilled']);
  const killed = await fixture.run('kill -9 $$; sleep 100', {
    linux: { resources, securityContext: { namespaceOptions: { pid: 2 } } },
  } as never);
  await fixture.ended(killed);
  assert.deepEqual(
    [(await fixture.status(killed)).exitCode, (await fixture.status(killed)).reason],
    [137, 'Error'],
  );
});

test('the OOM score is the nearest that this machine allows', async (t) => {
  const fixture = await openFixture(t);
  const score = async (oomScoreAdj: bigint) => {
    const id = await fixture.run('sleep 100', { linux: { resources: { oomScoreAdj } } } as never);
    return Number((await fixture.exec(id, 'cat /proc/1/oom_score_adj')).stdout);
  };
  assert.equal(await score(500n), 500);
  assert.equal(await score(-998n), Math.max(-998, readHostFacts().lowestOomScoreAdj));
  await assert.rejects(score(1001n), /not between -1000 and 1000/);
});

test("processes of a container in the host's PID namespace end with it", async (t) => {
  const fixture = await openFixture(t);
  const id = await fixture.run('sleep 98 & echo $!; exec sleep 99', {
    linux: { securityContext: { namespaceOptions: { pid: 2 } } },
  } as never);
  await sleep(200);
  const { logPath } = await fixture.status(id);
  const child = Number(readFileSync(logPath, 'utf8').trim().split(' ').at(-1));
  assert.ok(identify(child) !== undefined);
  await fixture.containers.handlers.stopContainer?.({ containerId: id, timeout: 0n } as never, context);
  assert.equal(identify(child), undefined);
});

test('a container joins the PID namespace of a target in its pod', async (t) => {
  const fixture = await openFixture(t);
  const target = await fixture.run('exec sleep 97');
  const namespaceOptions = { pid: 3, targetId: target };
  const id = await fixture.run('sleep 100', { linux: { securityContext: { namespaceOptions } } } as never);
  assert.match((await fixture.exec(id, 'cat /proc/1/cmdline')).stdout, /sleep.97/s);
  await fixture.containers.handlers.stopContainer?.({ containerId: target, timeout: 0n } as never, context);
  await assert.rejects(
    fixture.create({ command: ['true'], linux: { securityContext: { namespaceOptions } } } as never),
    /target container.*does not run/,
  );
});
