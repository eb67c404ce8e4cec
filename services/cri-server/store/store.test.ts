import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { test } from 'node:test';
import { mount, unmount } from '#foundation/linux/mount.ts';
import { groupCommit } from './group-commit.ts';
import { openStore } from './store.ts';

test('records survive a reopen, with bigints, and transactions are all or nothing', (t) => {
  const directory = mkdtempSync('/tmp/skiff-store-');
  t.after(() => rmSync(directory, { recursive: true }));
  const first = openStore(`${directory}/deep/s.db`);
  const things = first.records<{ at: bigint; name: string }>('thing', 1);
  things.put('b', { at: 12345678901234567890n, name: 'b' });
  things.put('a', { at: 1n, name: 'a' });
  assert.throws(() =>
    first.transaction(() => {
      things.delete('a');
      throw new Error('no');
    }),
  );
  first.close();
  using second = openStore(`${directory}/deep/s.db`);
  const again = second.records<{ at: bigint; name: string }>('thing', 1);
  assert.deepEqual(again.all(), [
    { key: 'a', value: { at: 1n, name: 'a' } },
    { key: 'b', value: { at: 12345678901234567890n, name: 'b' } },
  ]);
});

test('what a full disk refuses is told as such, and is not there; the rest is', (t) => {
  const directory = mkdtempSync('/tmp/skiff-store-');
  mount({ source: 'tmpfs', target: directory, type: 'tmpfs', data: 'size=1m' });
  t.after(() => {
    unmount(directory);
    rmSync(directory, { recursive: true });
  });
  using store = openStore(`${directory}/s.db`);
  const things = store.records<string>('thing', 1);
  things.put('a', 'small');
  const fill = () => {
    things.delete('a');
    for (let at = 0; at < 64; at += 1) things.put(`large ${at}`, 'x'.repeat(64 * 1024));
  };
  assert.throws(() => store.transaction(fill), /full/);
  assert.deepEqual(things.all(), [{ key: 'a', value: 'small' }]);
});

test('a newer record is refused and an older one upgraded', () => {
  using store = openStore(':memory:');
  store.records<string>('k', 2).put('x', 'two');
  assert.throws(() => store.records<string>('k', 1).get('x'), /has version 2; this Skiff reads 1/);
  const upgraded = store.records<string>('k', 3, (value, from) => `${value}+${from}`);
  assert.equal(upgraded.get('x'), 'two+2');
});

test('grouped commits: one wait for the disk serves all that wrote before it, and a failure is told', async (t) => {
  const rounds: PromiseWithResolvers<void>[] = [];
  const commits = groupCommit(() => {
    const round = Promise.withResolvers<void>();
    rounds.push(round);
    return round.promise;
  });
  t.after(() => commits[Symbol.dispose]());
  await commits.synced();
  assert.equal(rounds.length, 0, 'nothing was written');
  commits.written();
  const done: string[] = [];
  const first = commits.synced().then(() => done.push('first'));
  const same = commits.synced().then(() => done.push('same'));
  commits.written();
  const later = commits.synced().then(() => done.push('later'));
  assert.equal(rounds.length, 1);
  rounds[0]?.resolve();
  await Promise.all([first, same]);
  assert.deepEqual(done.toSorted(), ['first', 'same'], 'the later write may have missed that round');
  rounds[1]?.resolve();
  await later;
  commits.written();
  const failing = commits.synced();
  rounds[2]?.reject(new Error('EIO'));
  await assert.rejects(failing, /EIO/);
  const again = commits.synced();
  rounds[3]?.resolve();
  await again;
  assert.equal(rounds.length, 4);
  commits.written();
  while (rounds.length < 5) await new Promise((wake) => setTimeout(wake, 20));
  rounds[4]?.resolve();
});

test('a grouped store and one that is not share a file', async (t) => {
  const directory = mkdtempSync('/tmp/skiff-store-');
  t.after(() => rmSync(directory, { recursive: true }));
  const path = `${directory}/s.db`;
  using plain = openStore(path);
  using grouped = openStore(path, { grouped: true });
  for (let index = 0; index < 3000; index += 1) {
    grouped.records<string>('a', 1).put(`${index % 100}`, 'x'.repeat(2000));
    if (index % 100 === 0) plain.records<string>('b', 1).put(`${index}`, 'y');
  }
  await grouped.synced();
  cpSync(path, `${directory}/copy.db`);
  cpSync(`${path}-wal`, `${directory}/copy.db-wal`);
  using copy = openStore(`${directory}/copy.db`);
  assert.equal(copy.records('a', 1).all().length, 100);
  assert.equal(copy.records('b', 1).all().length, 30);
});
