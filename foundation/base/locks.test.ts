import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyedLocks } from './locks.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('one key is held by one caller at a time, in order; other keys go beside', async () => {
  const locks = keyedLocks();
  const log: string[] = [];
  const work = (name: string) => async () => {
    log.push(`+${name}`);
    await turn();
    log.push(`-${name}`);
  };
  await Promise.all([locks.run('a', work('1')), locks.run('a', work('2')), locks.run('b', work('3'))]);
  assert.deepEqual(
    log.filter((each) => !each.endsWith('3')),
    ['+1', '-1', '+2', '-2'],
  );
  assert.ok(log.indexOf('+3') < log.indexOf('-1'));
  assert.equal(locks.size, 0);
});

test('a failure frees the key and reaches its own caller only', async () => {
  const locks = keyedLocks();
  const failing = locks.run('a', async () => {
    throw new Error('no');
  });
  const next = locks.run('a', async () => 'yes');
  await assert.rejects(failing, /no/);
  assert.equal(await next, 'yes');
});

test('a caller that gives up while waiting does not break the queue', async () => {
  const locks = keyedLocks();
  const held = Promise.withResolvers<void>();
  const first = locks.run('a', () => held.promise);
  const controller = new AbortController();
  const second = locks.run('a', async () => 'never', controller.signal);
  const third = locks.run('a', async () => 'third');
  controller.abort(new Error('gave up'));
  await assert.rejects(second, /gave up/);
  held.resolve();
  await first;
  assert.equal(await third, 'third');
  assert.equal(locks.size, 0);
});
