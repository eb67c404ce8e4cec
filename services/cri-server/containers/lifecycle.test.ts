import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as turn } from 'node:timers/promises';
import { fromBinary } from '@bufbuild/protobuf';
import { ContainerState, ListContainersResponseSchema, NamespaceMode } from '#contracts/cri/runtime_pb.ts';
import { nowNanos } from '#foundation/base/time.ts';
import { EncodedMessage } from '#foundation/grpc/encoded.ts';
import { programOf } from '#foundation/linux/process.ts';
import { context, openFixture, testImageId } from '../../../test/containers-fixture.ts';

test('a container is created, started, runs, ends with its code, and leaves nothing when removed', async (t) => {
  const fixture = await openFixture(t);
  const id = await fixture.create({ command: ['sh', '-c', 'echo out; echo err >&2; exit 3'] });
  const created = await fixture.status(id);
  assert.equal(created.state, 0);
  assert.deepEqual([created.startedAt, created.finishedAt], [0n, 0n]);
  await fixture.containers.handlers.startContainer?.({ containerId: id.slice(0, 13) } as never, context);
  await fixture.ended(id);
  const status = await fixture.status(id);
  assert.deepEqual([status.state, status.exitCode, status.reason], [2, 3, 'Error']);
  assert.ok(status.startedAt > 0n && status.finishedAt > status.startedAt);
  const log = readFileSync(status.logPath, 'utf8')
    .trim()
    .split('\n')
    .sort((a, b) => a.slice(36).localeCompare(b.slice(36)));
  assert.match(log[0] ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}\S* stderr F err$/);
  assert.match(log[1] ?? '', / stdout F out$/);
  await fixture.containers.handlers.removeContainer?.({ containerId: id } as never, context);
  await assert.rejects(fixture.status(id), { code: 'NOT_FOUND' });
  assert.equal(existsSync(join(fixture.root, 'lib/containers', id)), false);
  assert.ok(existsSync(status.logPath), "the log is the client's");
  assert.deepEqual(fixture.events, ['created c0', 'started c0', 'stopped c0', 'deleted c0']);
  await fixture.containers.handlers.removeContainer?.({ containerId: id } as never, context);
});

test('stop sends the stop signal, and SIGKILL after the timeout', async (t) => {
  const fixture = await openFixture(t, { image: { StopSignal: 'SIGRTMIN+3' } });
  const polite = await fixture.run('trap "exit 7" 37; while :; do sleep 0.05; done');
  const rude = await fixture.run('trap "" TERM; while :; do sleep 0.05; done', { stopSignal: 23 });
  await new Promise((wake) => setTimeout(wake, 200));
  const stop = (id: string, timeout: bigint) =>
    fixture.containers.handlers.stopContainer?.({ containerId: id, timeout } as never, context);
  await stop(polite, 10n);
  assert.deepEqual(
    [(await fixture.status(polite)).exitCode, (await fixture.status(polite)).reason],
    [7, 'Error'],
  );
  const long = stop(rude, 60n);
  await stop(rude, 1n);
  await long;
  assert.equal((await fixture.status(rude)).exitCode, 137);
  await stop('0123456789ab', 1n);
});

test('a program that is stopped before it catches the stop signal gets it when it does', async (t) => {
  const fixture = await openFixture(t);
  const id = await fixture.run('sleep 0.4; trap "exit 9" TERM; while :; do sleep 0.05; done');
  const stop = (timeout: bigint) =>
    fixture.containers.handlers.stopContainer?.({ containerId: id, timeout } as never, context);
  await stop(600n);
  const { exitCode, startedAt, finishedAt } = await fixture.status(id);
  assert.equal(exitCode, 9);
  assert.ok(finishedAt - startedAt < 60_000_000_000n);
  // One that never catches it is given a moment only, and the timeout counts from the call.
  const deaf = await fixture.run('exec sleep 1000');
  const begun = performance.now();
  await fixture.containers.handlers.stopContainer?.({ containerId: deaf, timeout: 1n } as never, context);
  assert.equal((await fixture.status(deaf)).exitCode, 137);
  assert.ok(performance.now() - begun > 900);
});

test('the stop signal waits until the program has taken the place of the runtime', async (t) => {
  const fixture = await openFixture(t);
  // Its first program plays the runtime that is about to run the container's own: it catches all, and does nothing.
  const steps = [
    'trap "echo lost" TERM',
    'cat /bin/busybox >/tmp/busybox; chmod 755 /tmp/busybox',
    'while [ ! -e /tmp/go ]; do sleep 0.01; done; sleep 0.1',
    'exec /tmp/busybox sleep 1000',
  ];
  const linux = { securityContext: { namespaceOptions: { pid: NamespaceMode.NODE } } };
  const id = await fixture.run(steps.join('; '), { linux });
  const container = fixture.containers.core.table.get(id);
  const { life } = container.record;
  assert.ok(life.phase === 'running');
  // The runtime may still be about to become it.
  for (const end = Date.now() + 60_000; programOf(life.process) !== '/bin/busybox' && Date.now() < end; )
    await turn(10);
  container.starter = programOf(life.process);
  assert.equal(container.starter, '/bin/busybox');
  await fixture.exec(id, 'touch /tmp/go');
  container.record = { ...container.record, life: { ...life, startedAt: nowNanos() } };
  await fixture.containers.handlers.stopContainer?.({ containerId: id, timeout: 600n } as never, context);
  assert.equal((await fixture.status(id)).exitCode, 143);
});

test('a repeated create gets the same id; another config under the name is refused', async (t) => {
  const fixture = await openFixture(t);
  const [a, b] = await Promise.all([
    fixture.create({ command: ['true'] }, 'x'),
    fixture.create({ command: ['true'] }, 'x'),
  ]);
  assert.equal(a, b);
  assert.equal(await fixture.create({ command: ['true'] }, 'x'), a);
  await assert.rejects(fixture.create({ command: ['false'] }, 'x'), { code: 'ALREADY_EXISTS' });
});

test('lists filter by id prefix, state, sandbox and labels together', async (t) => {
  const fixture = await openFixture(t);
  const id = await fixture.create({ command: ['true'], labels: { a: '1', b: '2' } });
  await fixture.create({ command: ['true'], labels: { a: '1' } });
  const ask = async (filter: object) => {
    const answer = await fixture.containers.handlers.listContainers?.(
      { filter: { id: '', podSandboxId: '', labelSelector: {}, ...filter } } as never,
      context,
    );
    assert.ok(answer instanceof EncodedMessage);
    return answer;
  };
  const list = async (filter: object) => {
    const answer = await ask(filter);
    return fromBinary(ListContainersResponseSchema, answer.bytes).containers;
  };
  assert.equal((await list({})).length, 2);
  assert.equal(await ask({}), await ask({}), 'nothing changed: the bytes are kept');
  assert.deepEqual(
    (await list({ labelSelector: { a: '1', b: '2' } })).map((one) => one.id),
    [id],
  );
  assert.deepEqual(
    (await list({ id: id.slice(0, 10) })).map((one) => one.imageId),
    [testImageId],
  );
  assert.equal((await list({ state: { state: 1 } })).length, 0);
  assert.equal((await list({ podSandboxId: 'b' })).length, 0);
  await fixture.containers.handlers.startContainer?.({ containerId: id } as never, context);
  await fixture.ended(id);
  assert.deepEqual(
    (await list({ labelSelector: { b: '2' } })).map((one) => one.state),
    [ContainerState.CONTAINER_EXITED],
    'a list shows the change since the one before',
  );
});

test('ExecSync answers codes and outputs, and kills the whole tree at its deadline', async (t) => {
  const fixture = await openFixture(t);
  const id = await fixture.run('sleep 100');
  assert.deepEqual(await fixture.exec(id, 'echo hi; echo no >&2; exit 5'), {
    exitCode: 5,
    stdout: 'hi\n',
    stderr: 'no\n',
  });
  assert.equal((await fixture.exec(id, 'kill -9 $$')).exitCode, 137);
  await assert.rejects(fixture.exec(id, 'sleep 77 & (sleep 78 &) ; sleep 79', 1), {
    code: 'DEADLINE_EXCEEDED',
  });
  assert.doesNotMatch((await fixture.exec(id, 'ps')).stdout, /sleep 7[789]/);
  const missing = fixture.containers.handlers.execSync?.(
    { containerId: id, cmd: ['nothere'], timeout: 5n } as never,
    context,
  );
  await assert.rejects(missing ?? Promise.resolve(), /nothere.*not found/s);
  await assert.rejects(fixture.exec('f'.repeat(64), 'true'), { code: 'NOT_FOUND' });
});
