import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ContainerState, EventKind, PodState } from '#contracts/vm/supervisor_pb.ts';
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import { openTestPod, type TestPod } from '../../../test/vm/pod-fixture.ts';
import { containerDirectory } from './paths.ts';

async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 1000; i += 1) {
    if (await what()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('it did not happen within 10 s');
}

async function kinds(pod: TestPod, after = 0n): Promise<string[]> {
  const names: string[] = [];
  for await (const event of pod.client.watchEvents({ after, onlyKept: true }))
    names.push(Object.entries(EventKind).find(([, value]) => value === event.kind)?.[0] ?? '');
  return names;
}

test('a container is created, started, ends with its code, and its shim ends as it did', async (t) => {
  const pod = await openTestPod(t);
  const container = await pod.create('c1', ['sh', '-c', 'cat; echo oops >&2; exit 7']);
  assert.equal((await pod.client.getContainer({ id: 'c1' })).state, ContainerState.CREATED);
  await pod.client.startContainer({ id: 'c1' });
  container.shim.stdin?.end('hello\n');
  assert.equal(await container.exited, 7);
  assert.deepEqual([container.stdout(), container.stderr()], ['hello\n', 'oops\n']);
  const exit = await pod.client.wait({ id: 'c1' });
  assert.deepEqual([exit.code, exit.signal, exit.oomKilled], [7, 0, false]);
  await pod.client.deleteContainer({ id: 'c1' });
  await pod.client.deleteContainer({ id: 'c1' });
  assert.equal(existsSync(containerDirectory(pod.root, 'c1')), false);
  assert.equal(pod.guest.shares.size, 0);
  assert.deepEqual(await kinds(pod), [
    'POD_READY',
    'CONTAINER_CREATED',
    'CONTAINER_STARTED',
    'CONTAINER_EXITED',
    'CONTAINER_DELETED',
  ]);
});

test('a signal to the shim reaches the process; a killed one, or a killed shim, counts as 137', async (t) => {
  const pod = await openTestPod(t);
  const first = await pod.run('c1', [
    'sh',
    '-c',
    'trap "exit 5" TERM; echo up; while :; do sleep 0.02; done',
  ]);
  await until(() => first.stdout() === 'up\n');
  first.shim.kill('SIGTERM');
  assert.equal(await first.exited, 5);
  const second = await pod.run('c2', ['sleep', '100']);
  await pod.client.signal({ id: 'c2', signal: 9 });
  assert.equal(await second.exited, 137);
  await pod.run('c3', ['sleep', '100']).then(({ shim }) => shim.kill('SIGKILL'));
  const { code, signal } = await pod.client.wait({ id: 'c3' });
  assert.deepEqual([code, signal], [137, 9]);
});

test('lineage 16: a command beside has its own streams, code and sizes', async (t) => {
  const pod = await openTestPod(t);
  await pod.run('c1', ['sleep', '100']);
  const process = {
    user: { uid: 0, gid: 0 },
    args: ['sh', '-c', 'cat; exit 3'],
    cwd: '/',
    apparmorProfile: 'x',
  };
  await pod.client.exec({ id: 'c1', execId: 'e1', process: JSON.stringify(process) });
  const shim = pod.attach('c1', 'e1');
  shim.shim.stdin?.end('to and fro');
  assert.equal(await shim.exited, 3);
  assert.equal(shim.stdout(), 'to and fro');
  assert.equal((await pod.client.wait({ id: 'c1', execId: 'e1' })).code, 3);
  await assert.rejects(pod.client.exec({ id: 'c1', execId: 'e2', process: '{"args":[]}' }), /no args/);
  await assert.rejects(
    pod.client.exec({ id: 'c1', execId: 'e1', process: JSON.stringify(process) }),
    /taken/,
  );
  assert.equal(await pod.attach('c1', 'unknown').exited, 137);
});

test('20 MB go through stdin and come back byte for byte while stderr is not read', async (t) => {
  const pod = await openTestPod(t);
  const container = await pod.run('c1', ['sh', '-c', 'head -c 3000000 /dev/zero >&2 & exec cat']);
  container.shim.stderr?.pause();
  const block = Buffer.alloc(1024 * 1024, 'abcdefghijk');
  for (let i = 0; i < 20; i += 1)
    if (container.shim.stdin?.write(block) === false)
      await new Promise((resolve) => container.shim.stdin?.once('drain', resolve));
  container.shim.stdin?.end();
  await until(() => container.stdout().length === 20 * block.length);
  container.shim.stderr?.resume();
  assert.equal(await container.exited, 0);
  assert.equal(container.stderr().length, 3_000_000);
  assert.ok(container.stdout().startsWith('abcdefghijkabc'));
});

test('wrong order is refused with the state that it is in', async (t) => {
  const pod = await openTestPod(t);
  const refused = (work: Promise<unknown>, message: RegExp) =>
    assert.rejects(
      work,
      (error) => isSkiffError(error, 'FAILED_PRECONDITION') && message.test(error.message),
    );
  await assert.rejects(pod.client.startContainer({ id: 'nobody' }), { code: 'NOT_FOUND' });
  await pod.run('c1', ['sleep', '100']);
  await refused(pod.client.startContainer({ id: 'c1' }), /running state/);
  await refused(pod.client.deleteContainer({ id: 'c1' }), /not stopped: running/);
  await refused(pod.client.resume({ id: 'c1' }), /running state/);
  await pod.client.pause({ id: 'c1' });
  await refused(pod.client.exec({ id: 'c1', execId: 'x', process: '{"args":["true"]}' }), /paused/);
  await pod.client.resume({ id: 'c1' });
  await assert.rejects(pod.client.signal({ id: 'c1', signal: 65 }), { code: 'INVALID_ARGUMENT' });
  await pod.client.deleteContainer({ id: 'c1', force: true });
  await assert.rejects(pod.client.getContainer({ id: 'c1' }), { code: 'NOT_FOUND' });
});

test('hooks get the state; one that fails fails the create, and nothing is left', async (t) => {
  const pod = await openTestPod(t);
  const log = join(pod.root, 'hooks');
  const hook = (name: string, exit = 0) => ({
    path: '/bin/sh',
    args: ['sh', '-c', `echo "${name} $(cat | grep -o '"status":"[a-z]*"')" >> ${log}; exit ${exit}`],
    env: ['PATH=/bin:/usr/bin'],
  });
  await pod.run('c1', ['true'], (spec) => {
    spec.hooks = {
      prestart: [hook('prestart')],
      createRuntime: [hook('createRuntime')],
      poststart: [hook('poststart', 1)],
      poststop: [hook('poststop')],
    };
  });
  await pod.client.wait({ id: 'c1' });
  await pod.client.deleteContainer({ id: 'c1' });
  assert.deepEqual(
    readFileSync(log, 'utf8')
      .replaceAll(/"status":|"/g, '')
      .trim()
      .split('\n'),
    [
      'prestart creating',
      'createRuntime creating',
      readFileSync(log, 'utf8').includes('poststart "status":"running"')
        ? 'poststart running'
        : 'poststart stopped',
      'poststop stopped',
    ],
  );
  writeFileSync(log, '');
  await assert.rejects(
    pod.create('c2', ['true'], (spec) => {
      spec.hooks = { createRuntime: [hook('createRuntime', 4)], poststop: [hook('poststop')] };
    }),
    /the createRuntime hook \/bin\/sh exited with 4/,
  );
  assert.match(readFileSync(log, 'utf8'), /poststop/);
  assert.deepEqual((await pod.client.listContainers({})).containers, []);
});

test('lineage 02: a failure at each step of a create leaves nothing', async (t) => {
  const pod = await openTestPod(t);
  await pod.client.listContainers({});
  for (const step of ['create c1']) {
    pod.guest.failNext(step, new SkiffError('INTERNAL', `no ${step}`));
    await assert.rejects(pod.create('c1', ['true']), new RegExp(`no ${step}`));
    assert.equal(pod.guest.shares.size, 0);
    assert.equal(existsSync(join(containerDirectory(pod.root, 'c1'), 'state.json')), false);
  }
  const bundle = pod.bundle('c2', ['true']);
  await assert.rejects(pod.client.createContainer({ id: 'c2', bundle, shimPid: 999_999_9 }), /no shim/);
  const container = await pod.run('c1', ['true']);
  assert.equal(await container.exited, 0);
});

test('the death of the VM ends every container as killed, and the pod says why', async (t) => {
  const pod = await openTestPod(t);
  const [first, second] = [await pod.run('c1', ['sleep', '100']), await pod.create('c2', ['true'])];
  pod.guest.die({ kind: 'panic', console: 'Kernel panic - not syncing' });
  assert.deepEqual([await first.exited, await second.exited], [137, 137]);
  await until(async () => (await pod.client.getPod({})).state === PodState.ENDED);
  assert.match((await pod.client.getPod({})).reason, /panic|agent is gone/);
  assert.equal((await pod.client.getContainer({ id: 'c1' })).state, ContainerState.STOPPED);
  await assert.rejects(pod.create('c3', ['true']), { code: 'UNAVAILABLE' });
  await pod.client.deleteContainer({ id: 'c1' });
});

test('a guest that does not answer is ended', async (t) => {
  const pod = await openTestPod(t, {}, { heartbeat: { everyMs: 20, patienceMs: 200 } });
  const container = await pod.run('c1', ['sleep', '100']);
  pod.guest.silent = true;
  assert.equal(await container.exited, 137);
  assert.match((await pod.client.getPod({})).reason, /did not answer/);
});

test('lineage 10: a VM that does not boot fails the create with the reason', async (t) => {
  const pod = await openTestPod(t, { deferred: true, endsWithLast: true });
  pod.guest.failNext('acquire', new SkiffError('DEADLINE_EXCEEDED', 'the guest said nothing for 20 s'));
  await assert.rejects(pod.create('c1', ['true']), /could not be started: the guest said nothing/);
});

test('a VM that its first container made ends with its last', async (t) => {
  const pod = await openTestPod(t, { endsWithLast: true });
  await pod.run('c1', ['true']);
  await pod.run('c2', ['true']);
  await pod.client.deleteContainer({ id: 'c1', force: true });
  assert.equal((await pod.client.getPod({})).state, PodState.READY);
  await pod.client.deleteContainer({ id: 'c2', force: true });
  await pod.over;
  assert.equal(existsSync(pod.pod.directory), false);
});

test('kills for want of memory are told, in events and exits', async (t) => {
  const pod = await openTestPod(t);
  const container = await pod.run('c1', ['sleep', '100']);
  pod.guest.oom('c1');
  await pod.client.signal({ id: 'c1', signal: 9 });
  assert.equal(await container.exited, 137);
  assert.equal((await pod.client.wait({ id: 'c1' })).oomKilled, true);
  assert.ok((await kinds(pod)).includes('CONTAINER_OOM'));
});

test('events are replayed after a number, live after that, over a restart as well', async (t) => {
  const pod = await openTestPod(t);
  await pod.run('c1', ['sleep', '100']);
  const seen: bigint[] = [];
  const live = (async () => {
    for await (const event of pod.client.watchEvents({ after: 1n })) {
      seen.push(event.sequence);
      if (event.kind === EventKind.CONTAINER_PAUSED) return;
    }
  })();
  await until(() => seen.length === 2);
  await pod.client.pause({ id: 'c1' });
  await live;
  assert.deepEqual(seen, [2n, 3n, 4n]);
  await pod.restart();
  assert.deepEqual((await kinds(pod, 3n)).slice(0, 1), ['CONTAINER_PAUSED']);
});

test('limits, figures and processes go to the guest in its own terms', async (t) => {
  const pod = await openTestPod(t);
  await pod.run('c1', ['sleep', '100']);
  const resources = { memory: { limit: 1 }, cpu: { quota: 5, cpus: '0-3', mems: '0' }, hugepageLimits: [] };
  await pod.client.updateContainer({ id: 'c1', resources: JSON.stringify(resources) });
  assert.ok(pod.guest.calls.includes('update c1 {"memory":{"limit":1},"cpu":{"quota":5}}'));
  const beyond = (limits: object) => ({ id: 'c1', resources: JSON.stringify(limits) });
  await assert.rejects(pod.client.updateContainer(beyond({ memory: { limit: 600 * 1024 * 1024 } })), {
    code: 'OUT_OF_RANGE',
    message: /the pod's VM has 512 MiB of memory and cannot have 600 .*make the pod anew/,
  });
  await assert.rejects(pod.client.updateContainer(beyond({ cpu: { quota: 250_000, period: 100_000 } })), {
    message: /the pod's VM has 1 processors and cannot have 3 /,
  });
  assert.equal(pod.guest.calls.filter((call) => call.startsWith('update')).length, 1);
  const { containers } = await pod.client.getStats({});
  assert.deepEqual(
    [containers[0]?.id, containers[0]?.cpuUsage, containers[0]?.memoryUsage],
    ['c1', 1_500_000n, 4096n],
  );
  assert.equal((await pod.client.listProcesses({ id: 'c1' })).processes[0]?.command, 'sleep 100');
});
