import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { identify } from '#foundation/linux/process.ts';
import { context, openFixture } from '../../../test/containers-fixture.ts';
import { bundleOf } from './places.ts';

test('containers outlive the server, are found again, and log on', async (t) => {
  const fixture = await openFixture(t);
  const running = await fixture.run('while :; do echo tick; sleep 0.05; done');
  const ended = await fixture.run('sleep 0.3; exit 6');
  const created = await fixture.create({ command: ['sleep', '100'] });
  const before = await fixture.status(running);
  fixture.containers[Symbol.dispose]();
  await sleep(600);
  await fixture.reopen();
  assert.deepEqual(await fixture.status(running), before);
  const after = await fixture.status(ended);
  assert.deepEqual([after.state, after.exitCode, after.reason], [2, 6, 'Error']);
  assert.ok(after.finishedAt > after.startedAt && after.finishedAt < BigInt(Date.now() - 200) * 1_000_000n);
  assert.equal((await fixture.status(created)).state, 0);
  await fixture.start(created);
  assert.equal((await fixture.status(created)).state, 1);
  const length = readFileSync(before.logPath).length;
  await sleep(200);
  assert.ok(readFileSync(before.logPath).length > length);
});

test('after a reboot the exit code comes from the bundle, and one that nobody saw is 255 Unknown', async (t) => {
  const fixture = await openFixture(t);
  const [seen, unseen] = [await fixture.run('sleep 0.2; exit 4'), await fixture.run('sleep 0.2')];
  fixture.containers[Symbol.dispose]();
  await sleep(500);
  for (const id of [seen, unseen]) rmSync(join(fixture.root, 'run/exits', id));
  rmSync(join(bundleOf({ lib: join(fixture.root, 'lib') }, unseen), 'exit'));
  await fixture.reopen();
  assert.equal((await fixture.status(seen)).exitCode, 4);
  const status = await fixture.status(unseen);
  assert.deepEqual([status.state, status.exitCode, status.reason], [2, 255, 'Unknown']);
});

test('what was half made or half removed is gone after a restart', async (t) => {
  const fixture = await openFixture(t);
  const { core } = fixture.containers;
  const half = core.table.get(await fixture.run('sleep 100'));
  core.table.advance(half, { phase: 'creating' });
  const going = core.table.get(await fixture.run('sleep 100'));
  core.table.advance(going, { phase: 'removing' });
  const orphan = bundleOf(core.paths, 'f'.repeat(64));
  mkdirSync(orphan, { recursive: true });
  writeFileSync(join(orphan, 'config.json'), '{}');
  await fixture.reopen();
  for (const id of [half.id, going.id]) {
    await assert.rejects(fixture.status(id), { code: 'NOT_FOUND' });
    assert.equal(existsSync(bundleOf(core.paths, id)), false);
    assert.equal(await core.runtimes.driver(fixture.sandbox.runtimeHandler).state(id), undefined);
  }
  assert.equal(existsSync(orphan), false);
});

test('a killed conmon, or an exit file that is empty, ends as 255 Unknown; a full exit directory too', async (t) => {
  const fixture = await openFixture(t);
  const id = await fixture.run('sleep 0.5; exit 3');
  const bundle = bundleOf(fixture.containers.core.paths, id);
  const monitor = Number(readFileSync(join(bundle, 'conmon.pid'), 'utf8'));
  process.kill(monitor, 'SIGKILL');
  while (identify(monitor) !== undefined) await sleep(5);
  await assert.rejects(
    (async () => fixture.containers.handlers.reopenContainerLog?.({ containerId: id } as never, context))(),
    /conmon.*gone/,
  );
  await fixture.ended(id);
  assert.deepEqual(
    [(await fixture.status(id)).exitCode, (await fixture.status(id)).reason],
    [255, 'Unknown'],
  );
  const other = await fixture.run('sleep 0.2; exit 3');
  writeFileSync(join(fixture.root, 'run/exits', other), '');
  const moved = join(fixture.root, 'run/moved');
  renameSync(join(fixture.root, 'run/exits'), moved);
  await fixture.ended(other);
  assert.equal((await fixture.status(other)).exitCode, 255);
  renameSync(moved, join(fixture.root, 'run/exits'));
});
