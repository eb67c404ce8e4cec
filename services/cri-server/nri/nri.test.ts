import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { create, type JsonObject } from '@bufbuild/protobuf';
import { LinuxContainerResourcesSchema } from '#contracts/cri/runtime_pb.ts';
import { addAddress } from '#foundation/linux/addresses.ts';
import { addVeth, deleteLink, findLink, getLink } from '#foundation/linux/links.ts';
import { openNetlink } from '#foundation/linux/netlink.ts';
import { context } from '../../../test/containers-fixture.ts';
import { openNriFixture, until } from '../../../test/nri-fixture.ts';

const asleep = { command: ['sleep', '100'] };

test('a plugin sees every event of a container, in order, with what it needs to know', async (t) => {
  const { plugins, run, containers } = await openNriFixture(t);
  await plugins.start('10', 'watch');
  const id = await run('sleep 100', { labels: { app: 'x' }, envs: [{ key: 'A', value: Buffer.from('b') }] });
  const resources = create(LinuxContainerResourcesSchema, { cpuShares: 512n });
  await containers.handlers.updateContainerResources?.(
    { containerId: id, linux: resources, annotations: {} } as never,
    context,
  );
  await containers.handlers.stopContainer?.({ containerId: id, timeout: 0n } as never, context);
  await containers.handlers.removeContainer?.({ containerId: id } as never, context);
  assert.deepEqual(plugins.events(), [
    'watch CreateContainer',
    'watch PostCreateContainer',
    'watch StartContainer',
    'watch PostStartContainer',
    'watch UpdateContainer',
    'watch PostUpdateContainer',
    'watch StopContainer',
    'watch RemoveContainer',
  ]);
  const asked = plugins.told().find(({ method }) => method === 'CreateContainer')?.request as {
    pod: { name: string };
    container: { id: string; labels: object; env: string[]; args: string[]; state: string };
  };
  assert.equal(asked.pod.name, 'pod');
  assert.equal(asked.container.id, id);
  assert.deepEqual(asked.container.labels, { app: 'x' });
  assert.deepEqual(asked.container.args, ['sh', '-c', 'sleep 100']);
  assert.ok(asked.container.env.includes('A=b'));
  const updated = plugins.told().find(({ method }) => method === 'PostUpdateContainer')?.request as {
    container: { linux: { resources: { cpu: { shares: string } } } };
  };
  assert.equal(updated.container.linux.resources.cpu.shares, '512');
  const stopped = plugins.told().find(({ method }) => method === 'StopContainer')?.request as {
    container: { state: string; exitCode: number };
  };
  assert.equal(stopped.container.state, 'CONTAINER_STOPPED');
  assert.equal(stopped.container.exitCode, 137);
});

test('adjustments arrive in the container', async (t) => {
  const { plugins, run, exec, containers, root } = await openNriFixture(t);
  await plugins.start('10', 'change', {
    answers: {
      CreateContainer: {
        adjust: {
          annotations: { 'made.by/plugin': 'yes' },
          env: [{ key: 'ADDED', value: 'one two' }, { key: 'A', value: 'changed' }, { key: '-GONE' }],
          mounts: [{ destination: '/mounted', type: 'bind', source: root, options: ['bind', 'ro'] }],
          rlimits: [{ type: 'RLIMIT_NOFILE', soft: '321', hard: '400' }],
          hooks: { poststart: [{ path: '/bin/touch', args: ['touch', `${root}/hooked`] }] },
          linux: {
            devices: [{ path: '/dev/mine', type: 'c', major: '1', minor: '3', fileMode: 0o666 }],
            resources: { memory: { limit: '67108864' }, cpu: { shares: '321' }, pids: { limit: '77' } },
            oomScoreAdj: '900',
          },
        },
      },
    },
  });
  const id = await run('sleep 100', {
    envs: [
      { key: 'A', value: Buffer.from('b') },
      { key: 'GONE', value: Buffer.from('x') },
    ],
  });
  const { stdout } = await exec(
    id,
    'tr "\\0" "\\n" </proc/1/environ; cat /proc/1/oom_score_adj; stat -c %t:%T /dev/mine',
  );
  assert.match(stdout, /^ADDED=one two$/m);
  assert.match(stdout, /^A=changed$/m);
  assert.doesNotMatch(stdout, /GONE/);
  assert.match(stdout, /^900$/m);
  assert.match(stdout, /^1:3$/m);
  assert.equal((await exec(id, 'echo x >/dev/mine')).exitCode, 0);
  assert.match((await exec(id, 'ls /mounted')).stdout, /hooked/);
  assert.notEqual((await exec(id, 'touch /mounted/x')).exitCode, 0);
  assert.match((await exec(id, 'grep "open files" /proc/1/limits')).stdout, /321\s+400/);
  const { cgroupPath } = containers.core.table.get(id).record;
  const { readCgroup } = await import('#foundation/linux/cgroups.ts');
  const { cgroups } = containers.core.host;
  if (cgroups.mode !== 'unified') {
    assert.equal(readCgroup(cgroups, 'memory', cgroupPath, 'memory.limit_in_bytes')?.trim(), '67108864');
    assert.equal(readCgroup(cgroups, 'cpu', cgroupPath, 'cpu.shares')?.trim(), '321');
    assert.equal(readCgroup(cgroups, 'pids', cgroupPath, 'pids.max')?.trim(), '77');
  }
});

test('I/O priority, scheduler and network devices hold with any runtime', async (t) => {
  const { plugins, run, create: make, exec, containers } = await openNriFixture(t);
  const name = `skd${randomBytes(4).toString('hex')}`;
  using socket = openNetlink();
  addVeth(socket, { host: { name }, peer: { name: `${name}p` } });
  t.after(() => {
    using after = openNetlink();
    const left = findLink(after, name) ?? findLink(after, `${name}p`);
    if (left !== undefined) deleteLink(after, left.index);
  });
  addAddress(socket, { index: getLink(socket, name).index, address: '192.0.2.7', prefix: 32 });
  const linux = {
    ioPriority: { class: 'IOPRIO_CLASS_BE', priority: 6 },
    scheduler: { policy: 'SCHED_BATCH', nice: 5 },
    netDevices: { [name]: { name: 'extra0' } },
  };
  await plugins.start('10', 'schedule', { answers: { CreateContainer: { adjust: { linux } } } });
  await plugins.start('20', 'sees');
  const id = await run('sleep 100');
  const { life } = containers.core.table.get(id).record;
  assert.ok(life.phase === 'running');
  const ask = (program: string) => execFileSync(program, ['-p', `${life.process.pid}`], { encoding: 'utf8' });
  assert.match(ask('ionice'), /best-effort: prio 6/);
  assert.match(ask('chrt'), /SCHED_BATCH/);
  assert.match((await exec(id, 'cat /proc/net/dev')).stdout, /extra0:/);
  assert.equal(findLink(socket, name), undefined);
  const seen = plugins
    .told()
    .findLast(({ plugin, method }) => plugin === 'sees' && method === 'CreateContainer')?.request as {
    container: { linux: Record<string, unknown> };
  };
  assert.deepEqual(seen.container.linux.ioPriority, linux.ioPriority);
  assert.deepEqual(seen.container.linux.scheduler, linux.scheduler);
  assert.deepEqual(seen.container.linux.netDevices, linux.netDevices);
  await make(asleep); // Another container of the pod, which has the interface by now.
});

test('an interface that is not there, or a scheduler that is none, undoes the container', async (t) => {
  const { plugins, create: make, containers } = await openNriFixture(t);
  const rules = (linux: JsonObject) => ({ answers: { CreateContainer: { adjust: { linux } } } });
  const first = await plugins.start('10', 'net', rules({ netDevices: { nosuch0: {} } }));
  await assert.rejects(make(asleep), /no network interface "nosuch0"/);
  first.kill('SIGKILL');
  await plugins.start('20', 'rt', rules({ scheduler: { policy: 'SCHED_FIFO', priority: 1000 } }));
  await assert.rejects(make(asleep), /scheduler SCHED_FIFO.*(EINVAL|invalid)/i);
  assert.deepEqual(containers.core.table.all(), []);
});

test('plugins are called by index, each sees what those before it did, and a conflict undoes the container', async (t) => {
  const { plugins, create: make, containers } = await openNriFixture(t);
  const setting = (key: string) => ({
    answers: { CreateContainer: { adjust: { env: [{ key, value: 'v' }] } } },
  });
  await plugins.start('20', 'second', setting('BOTH'));
  await plugins.start('10', 'first', setting('ONE'));
  await make(asleep);
  const calls = plugins.told().filter(({ method }) => method === 'CreateContainer');
  assert.deepEqual(
    calls.map(({ plugin }) => plugin),
    ['first', 'second'],
  );
  const seen = calls.map(({ request }) =>
    (request as { container: { env: string[] } }).container.env.includes('ONE=v'),
  );
  assert.deepEqual(seen, [false, true]);
  await plugins.start('30', 'third', setting('BOTH'));
  await assert.rejects(make(asleep), /"20-second" and "30-third" both set Env "BOTH"/);
  assert.equal(containers.core.table.all().length, 1);
  assert.ok(plugins.events().includes('first RemoveContainer'), 'those that agreed are told that it is gone');
});

test('a plugin that refuses undoes; one that is late or crashes is dropped and the container is made', async (t) => {
  const { plugins, create: make, containers, nri } = await openNriFixture(t, { requestTimeoutMs: 300 });
  const refusing = await plugins.start('10', 'refuses', { fail: ['CreateContainer'] });
  await assert.rejects(make(asleep), /NRI plugin "10-refuses": CreateContainer refused/);
  assert.deepEqual(containers.core.table.all(), []);
  refusing.kill('SIGKILL');
  await until('the plugin to go', () => nri.plugins().length === 0);
  await plugins.start('10', 'late', { hang: ['CreateContainer'] });
  await plugins.start('20', 'crashes', { crash: ['CreateContainer'] });
  await plugins.start('30', 'works');
  await make(asleep);
  await until('both to be dropped', () => nri.plugins().length === 1);
  assert.deepEqual(nri.plugins(), ['30-works']);
  assert.ok(plugins.events().includes('works PostCreateContainer'));
});
