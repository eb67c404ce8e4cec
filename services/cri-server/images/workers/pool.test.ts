import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isSkiffError } from '#foundation/base/errors.ts';
import { temporaryDirectory } from '../../../../test/hostile-images/harness.ts';
import { createWorkerPool } from './pool.ts';

test('brief jobs are given ahead, each is answered for itself, and a failure is its own', async () => {
  using place = temporaryDirectory();
  const pool = createWorkerPool({ threads: 1 });
  await using _ = { [Symbol.asyncDispose]: () => pool.close() };
  const brief = { brief: true };
  for (const name of ['a', 'b', 'c']) {
    mkdirSync(`${place.path}/${name}`);
    writeFileSync(`${place.path}/${name}/file`, name.repeat(10));
  }
  const order: string[] = [];
  const usage = (name: string, hints = {}) =>
    pool.run('usage', `${place.path}/${name}`, hints).finally(() => order.push(name));
  const none = { path: `${place.path}/none`, size: 1, digest: 'sha256:' };
  const failing = pool.run('digest', none, brief).finally(() => order.push('none'));
  failing.catch(() => {});
  const jobs = [usage('a', brief), failing, usage('b', brief), usage('c'), usage('a', brief)];
  const ended = await Promise.allSettled(jobs);
  assert.deepEqual(
    ended.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'fulfilled'],
  );
  assert.deepEqual(order, ['none', 'a', 'b', 'c', 'a'], 'in order of arrival');
});

test('a closed pool fails what a thread was given ahead, too', async () => {
  using place = temporaryDirectory();
  const pool = createWorkerPool({ threads: 1 });
  const jobs = Array.from({ length: 5 }, () => pool.run('usage', place.path, { brief: true }));
  const ended = Promise.allSettled(jobs);
  await pool.close();
  for (const each of await ended)
    assert.ok(
      each.status === 'fulfilled' || isSkiffError(each.reason, 'CANCELLED'),
      'it was done, or says that it was not',
    );
  await assert.rejects(pool.run('usage', place.path), (error) => isSkiffError(error, 'CANCELLED'));
});

test('a pool that is closed while its threads begin ends, and the process lives', async () => {
  for (let round = 0; round < 10; round += 1) {
    const pool = createWorkerPool();
    pool.warm();
    await sleep(round * 15);
    await pool.close();
  }
});
