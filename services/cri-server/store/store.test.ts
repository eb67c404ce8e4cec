import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { test } from 'node:test';
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

test('a newer record is refused and an older one upgraded', () => {
  using store = openStore(':memory:');
  store.records<string>('k', 2).put('x', 'two');
  assert.throws(() => store.records<string>('k', 1).get('x'), /has version 2; this Skiff reads 1/);
  const upgraded = store.records<string>('k', 3, (value, from) => `${value}+${from}`);
  assert.equal(upgraded.get('x'), 'two+2');
});
