import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { KubeObject } from '#contracts/kubernetes/types.ts';
import { inFolder } from '../testing/folder.ts';
import { clientFor } from '../testing/node.ts';
import { type Database, openDatabase } from './database.ts';
import { openStore } from './store.ts';

const object = (name: string, data: object = {}) =>
  ({ kind: 'ConfigMap', metadata: { name, namespace: 'd' }, data }) as KubeObject;
const at = (name: string) => ({ namespace: 'd', name });

test('what was written is there after a restart, with its revisions', () =>
  inFolder(async (folder) => {
    const first = openStore(openDatabase(join(folder, 'o.db')));
    await Promise.all(
      ['a', 'b', 'c'].map((name) => first.edit('cm', at(name), () => ({ put: object(name) }))),
    );
    await first.edit('cm', at('b'), (current) => ({ remove: current?.object ?? object('b') }));
    const revision = first.revision();
    first.close();
    const second = openStore(openDatabase(join(folder, 'o.db')));
    assert.deepEqual(
      second.list('cm').map((each) => each.object.metadata.name),
      ['a', 'c'],
    );
    assert.equal(second.revision(), revision);
    await second.edit('cm', at('d'), () => ({ put: object('d') }));
    assert.ok(second.revision() > revision);
    assert.equal(second.history.since('cm', revision - 1), undefined);
    assert.equal(second.history.since('cm', revision)?.length, 1);
    const copy = join(folder, 'copy.db');
    await second.backup(copy);
    second.compact();
    second.close();
    const third = openStore(openDatabase(copy));
    assert.equal(third.list('cm').length, 3);
    third.close();
  }));

test('a commit that fails is taken back whole, told to its writers, and watches start anew', () =>
  inFolder(async (folder) => {
    const real = openDatabase(join(folder, 'o.db'));
    let broken = false;
    const database: Database = {
      ...real,
      write: (changes) => {
        if (broken) throw new Error('injected');
        real.write(changes);
      },
    };
    const store = openStore(database);
    await store.edit('cm', at('a'), () => ({ put: object('a', { v: '1' }) }));
    let resets = 0;
    let heard = 0;
    store.history.onReset(() => (resets += 1));
    store.history.subscribe('cm', () => (heard += 1));
    broken = true;
    const writes = [
      store.edit('cm', at('a'), () => ({ put: object('a', { v: '2' }) })),
      store.edit('cm', at('a'), () => ({ put: object('a', { v: '3' }) })),
      store.edit('cm', at('new'), () => ({ put: object('new') })),
    ];
    for (const write of writes) await assert.rejects(write, /injected/);
    assert.match(store.get('cm', at('a'))?.json ?? '', /"v":"1"/);
    assert.equal(store.get('cm', at('new')), undefined);
    assert.deepEqual([resets, heard], [1, 0]);
    broken = false;
    await store.edit('cm', at('a'), () => ({ put: object('a', { v: '4' }) }));
    assert.equal(heard, 1);
    store.close();
  }));

test('writes of one turn are one transaction', () =>
  inFolder(async (folder) => {
    const real = openDatabase(join(folder, 'o.db'));
    const batches: number[] = [];
    const store = openStore({
      ...real,
      write: (changes) => {
        batches.push(changes.length);
        real.write(changes);
      },
    });
    await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        store.edit('cm', at(`n${index}`), () => ({ put: object(`n${index}`) })),
      ),
    );
    assert.deepEqual(batches, [50]);
    store.close();
  }));

test('a full disk refuses, loses nothing, and goes on when there is room again', () =>
  inFolder(async (folder) => {
    const disk = join(folder, 'disk');
    mkdirSync(disk);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', disk]);
    try {
      const store = openStore(openDatabase(join(disk, 'o.db')));
      const kept: string[] = [];
      let refused: unknown;
      for (let index = 0; index < 100 && refused === undefined; index += 1) {
        const name = `n${index}`;
        await store
          .edit('cm', at(name), () => ({ put: object(name, { fill: 'x'.repeat(50_000) }) }))
          .then(() => kept.push(name))
          .catch((error: unknown) => {
            refused = error;
          });
      }
      assert.match(String(refused), /Cannot store the change: .*full/);
      assert.equal(store.list('cm').length, kept.length);
      execFileSync('mount', ['-o', 'remount,size=16m', disk]);
      await store.edit('cm', at('after'), () => ({ put: object('after') }));
      store.close();
      const again = openStore(openDatabase(join(disk, 'o.db')));
      assert.deepEqual(
        again
          .list('cm')
          .map((each) => each.object.metadata.name)
          .sort(),
        [...kept, 'after'].sort(),
      );
      again.close();
    } finally {
      execFileSync('umount', [disk]);
    }
  }));

/** Rounds of SIGKILL; more with SKIFF_CRASH_ROUNDS. */
const rounds = Number(process.env.SKIFF_CRASH_ROUNDS ?? 3);

test(`nothing acknowledged is lost when the API is killed (${rounds} rounds)`, () =>
  inFolder(async (folder) => {
    const acknowledged = new Map<string, string>();
    const script = join(import.meta.dirname, '../testing/serve.ts');
    for (let round = 0; round < rounds; round += 1) {
      const child = spawn(process.execPath, [script, folder, '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
      const ended = new Promise((resolve) => child.once('exit', resolve));
      await new Promise<void>((resolve) => child.stdout.once('data', () => resolve()));
      const client = clientFor(join(folder, 'admin.kubeconfig'));
      const path = '/api/v1/namespaces/default/configmaps';
      const list = await client.get<{ items: { metadata: { name: string; uid: string } }[] }>(path);
      const found = new Map(list.items.map((each) => [each.metadata.name, each.metadata.uid]));
      for (const [name, uid] of acknowledged)
        assert.equal(found.get(name), uid, `${name} was acknowledged and is lost`);
      // A busy machine may take long to write anything: the time begins with the first answer.
      const first = Promise.withResolvers<void>();
      const writers = Array.from({ length: 4 }, async (_, writer) => {
        for (let index = 0; ; index += 1) {
          const name = `r${round}-w${writer}-${index}`;
          const made = await client.create<{ metadata: { uid: string } }>(path, { metadata: { name } });
          acknowledged.set(name, made.metadata.uid);
          first.resolve();
        }
      });
      await Promise.race([first.promise, ...writers]);
      setTimeout(() => child.kill('SIGKILL'), Math.random() * 150);
      await Promise.allSettled(writers);
      await ended;
      await client.close();
    }
    assert.ok(acknowledged.size >= rounds);
  }));
