import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { keyedLocks } from '#foundation/base/locks.ts';
import { openStore } from '../../store/store.ts';
import type { ImageParts } from '../deps.ts';
import { rootLayout } from './layout.ts';
import { openRoots } from './roots.ts';

test('what small roots take is measured without a thread, which would never be idle; large ones get one', async (t) => {
  const directory = mkdtempSync('/tmp/skiff-usage-');
  t.after(() => rmSync(directory, { recursive: true }));
  const store = openStore(':memory:');
  const records = store.records('root', 1);
  const keys = Array.from({ length: 40 }, (_, index) => `c${index}`);
  for (const key of keys) {
    records.put(key, { imageId: 'i', chain: [], readOnly: false });
    mkdirSync(rootLayout(directory).paths(key).upper, { recursive: true });
    writeFileSync(`${rootLayout(directory).paths(key).upper}/file`, '1');
  }
  const asked: unknown[] = [];
  const pool: Pick<ImageParts['pool'], 'run'> = {
    run: async (_name, input) => {
      asked.push(input);
      return { bytes: 1, inodes: 1000 } as never;
    },
  };
  const roots = openRoots(
    { directory, overlay: true, pool, locks: keyedLocks() } as unknown as ImageParts,
    store,
  );
  assert.equal((await roots.rootsUsage()).inodes, 80);
  assert.deepEqual(await roots.rootUsage('c0').then(({ inodes }) => inodes), 2n);
  assert.deepEqual(asked, []);
  const { upper } = rootLayout(directory).paths('c7');
  for (let index = 0; index < 300; index++) writeFileSync(`${upper}/${index}`, '');
  assert.equal((await roots.rootUsage('c7')).inodes, 1000n);
  assert.deepEqual(asked, [upper]);
  await roots.removeRoot('c0');
  assert.deepEqual(asked, [upper], 'a small one is removed at once too');
  assert.equal(existsSync(rootLayout(directory).paths('c0').directory), false);
  assert.deepEqual(readdirSync(`${directory}/trash`), []);
  await roots.removeRoot('c7');
  assert.match(String(asked[1]), /\/trash\/c7-/);
});
