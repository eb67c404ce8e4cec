import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { KubeObject } from '#contracts/kubernetes/types.ts';
import { inFolder } from '../testing/folder.ts';
import { backupObjects, restoreObjects } from './backup.ts';
import { openDatabase } from './database.ts';
import { openStore } from './store.ts';

const object = (name: string) => ({ kind: 'ConfigMap', metadata: { name, namespace: 'd' } }) as KubeObject;
const names = (folder: string) => {
  const store = openStore(openDatabase(join(folder, 'objects.db')));
  const found = store.list('cm').map((each) => each.object.metadata.name);
  const revision = store.revision();
  store.close();
  return { found, revision };
};

test('a copy made while objects are written is whole, and comes back with later versions', () =>
  inFolder(async (folder) => {
    const store = openStore(openDatabase(join(folder, 'objects.db')));
    const put = (name: string) => store.edit('cm', { namespace: 'd', name }, () => ({ put: object(name) }));
    await Promise.all(['a', 'b'].map(put));
    const copy = join(folder, 'copies', 'one');
    const [summary] = await Promise.all([backupObjects(folder, copy), put('c')]);
    assert.ok(summary.objects >= 2);
    for (let at = 0; at < 50; at += 1) await put(`later-${at}`);
    const newest = store.revision();
    store.close();
    await assert.rejects(backupObjects(folder, copy), { code: 'ALREADY_EXISTS' });
    const restored = await restoreObjects(folder, copy);
    assert.equal(restored.objects, summary.objects);
    const { found, revision } = names(folder);
    assert.ok(found.includes('a') && !found.some((name) => name.startsWith('later')));
    assert.ok(revision > newest, 'no version is given out twice');
    assert.ok(existsSync(join(folder, 'objects.db.replaced')));
    assert.deepEqual(readdirSync(join(folder, 'copies')), ['one'], 'nothing is left beside the copy');
  }));

test('a damaged copy changes nothing', () =>
  inFolder(async (folder) => {
    const store = openStore(openDatabase(join(folder, 'objects.db')));
    for (let at = 0; at < 200; at += 1)
      await store.edit('cm', { namespace: 'd', name: `m${at}` }, () => ({ put: object(`m${at}`) }));
    store.close();
    const copy = join(folder, 'copy');
    await backupObjects(folder, copy);
    const bytes = readFileSync(copy);
    writeFileSync(join(folder, 'short'), bytes.subarray(0, bytes.length - 4096));
    writeFileSync(
      join(folder, 'garbled'),
      Buffer.concat([bytes.subarray(0, 4096), Buffer.alloc(8192, 7), bytes.subarray(12_288)]),
    );
    writeFileSync(join(folder, 'text'), 'no database');
    for (const name of ['short', 'garbled', 'text'])
      await assert.rejects(restoreObjects(folder, join(folder, name)), { code: 'DATA_LOSS' }, name);
    await assert.rejects(restoreObjects(folder, join(folder, 'none')), { code: 'NOT_FOUND' });
    await assert.rejects(backupObjects(join(folder, 'none'), join(folder, 'x')), { code: 'NOT_FOUND' });
    assert.equal(names(folder).found.length, 200);
  }));
