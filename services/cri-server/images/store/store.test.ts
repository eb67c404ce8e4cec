/** The store under trouble: killed, asked for the same by many, cleaned while in use, with many layers. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  openTestImages,
  type TestImages,
  temporaryDirectory,
} from '../../../../test/hostile-images/harness.ts';
import { pushImage } from '../../../../test/hostile-images/image.ts';
import { assertTidy } from '../../../../test/hostile-images/kill-pull.ts';
import { startRegistry } from '../../../../test/hostile-images/registry.ts';
import { slowRegistry } from '../../../../test/hostile-images/slow-registry.ts';
import { tar } from '../../../../test/hostile-images/tar.ts';

const noise = (bytes: number) => randomBytes(bytes).toString('base64');

/** Waits until a partial download has some bytes, of which the first is in `ingest`. */
async function partialOf(it: TestImages, bytes: number): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt += 1) {
    const names = readdirSync(`${it.directory}/ingest`);
    if (names.some((name) => statSync(`${it.directory}/ingest/${name}`).size >= bytes)) return;
    await sleep(20);
  }
  throw new Error('the download never got that far');
}

test('a pull that is killed leaves nothing half made, and the next one goes on where it ended', async () => {
  using place = temporaryDirectory();
  await using registry = await startRegistry(place.path);
  await using slow = await slowRegistry(registry.host);
  await using it = await openTestImages();
  const content = noise(3_000_000);
  const pushed = await pushImage(registry.host, 'app', 'v1', {
    layers: [{ tar: tar({ name: 'small', content: 'x' }) }, { tar: tar({ name: 'large', content }) }],
  });
  const reference = `${slow.host}/app:v1`;
  const script = new URL('../../../../test/hostile-images/pull-process.ts', import.meta.url).pathname;
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', script, dirname(it.directory), reference],
    { stdio: 'ignore' },
  );
  const ended = new Promise((resolve) => child.on('exit', resolve));
  await partialOf(it, 1_000_000);
  child.kill('SIGKILL');
  await ended;

  await it.reopen();
  assert.equal(it.images.find(reference), undefined);
  slow.pauseMs = 0;
  slow.blobs.length = 0;
  await it.images.prepareRoot({ key: 'c', imageId: (await it.images.pull({ reference })).id });
  const again = slow.blobs.find((each) => each.path.includes(pushed.layers[1] ?? '?'));
  assert.ok((again?.from ?? 0) >= 1_000_000, `resumed at ${again?.from}`);
  assert.equal(readFileSync(`${it.directory}/roots/c/merged/large`, 'utf8'), content);
  assert.deepEqual(await it.images.verify(reference), []);
  // What the killed one unpacked is removed beside all that.
  await assertTidy(it.directory, 2);
});

test('many pulls of images that share a layer fetch and keep it once; leaving one does not stop the others', async () => {
  using place = temporaryDirectory();
  await using registry = await startRegistry(place.path);
  await using slow = await slowRegistry(registry.host);
  await using it = await openTestImages();
  const shared = { tar: tar({ name: 'shared', content: noise(600_000) }) };
  const pushed = await pushImage(registry.host, 'base', 'v1', { layers: [shared] });
  for (const name of ['one', 'two', 'three'])
    await pushImage(registry.host, name, 'v1', { layers: [shared, { tar: tar({ name, content: name }) }] });
  const leaver = new AbortController();
  const left = assert.rejects(it.images.pull({ reference: `${slow.host}/one:v1` }, leaver.signal));
  const pulls = ['one', 'one', 'two', 'three', 'base'].map((name) =>
    it.images.pull({ reference: `${slow.host}/${name}:v1` }),
  );
  await partialOf(it, 100_000);
  leaver.abort(new Error('gone'));
  await left;
  await Promise.all(pulls);
  const fetched = slow.blobs.filter((each) => each.path.includes(pushed.layers[0] ?? '?'));
  assert.equal(fetched.length, 1, 'the shared layer was fetched once');
  assert.equal(readdirSync(`${it.directory}/layers`).length, 4);
  assert.equal(it.images.list().length, 4);
  await it.images.remove(`${slow.host}/one:v1`);
  assert.equal(readdirSync(`${it.directory}/layers`).length, 3);
});

test('garbage collection spares what a pull is bringing', async () => {
  using place = temporaryDirectory();
  await using registry = await startRegistry(place.path);
  await using slow = await slowRegistry(registry.host);
  await using it = await openTestImages();
  await pushImage(registry.host, 'app', 'v1', {
    layers: [
      { tar: tar({ name: 'small', content: 'x' }) },
      { tar: tar({ name: 'large', content: noise(1_500_000) }) },
    ],
  });
  const pulling = it.images.pull({ reference: `${slow.host}/app:v1` });
  await partialOf(it, 200_000);
  for (let round = 0; round < 5; round += 1) {
    await it.images.prune({ all: true });
    await sleep(50);
  }
  const { id } = await pulling;
  const { path } = await it.images.prepareRoot({ key: 'c', imageId: id });
  assert.equal(readFileSync(`${path}/small`, 'utf8'), 'x');
  await assert.rejects(
    it.images.pull({ reference: `${slow.host}/app:v1` }, AbortSignal.abort(new Error('early'))),
  );
});

test('a cancelled pull stops, and keeps its bytes for the next', async () => {
  using place = temporaryDirectory();
  await using registry = await startRegistry(place.path);
  await using slow = await slowRegistry(registry.host);
  await using it = await openTestImages();
  await pushImage(registry.host, 'app', 'v1', {
    layers: [{ tar: tar({ name: 'large', content: noise(2_000_000) }) }],
  });
  const cancel = new AbortController();
  const pulling = assert.rejects(it.images.pull({ reference: `${slow.host}/app:v1` }, cancel.signal));
  await partialOf(it, 300_000);
  cancel.abort(new Error('enough'));
  await pulling;
  assert.equal(it.images.list().length, 0);
  slow.pauseMs = 0;
  await it.images.pull({ reference: `${slow.host}/app:v1` });
  assert.ok((slow.blobs.at(-1)?.from ?? 0) >= 300_000);
});

test('a pull that is cancelled while it unpacks leaves no half of a layer', async () => {
  using place = temporaryDirectory();
  await using registry = await startRegistry(place.path);
  await using it = await openTestImages();
  const files = Array.from({ length: 6000 }, (_, at) => ({ name: `f${at}`, content: 'x'.repeat(1000) }));
  for (const [name, pad] of [
    ['small', 0],
    ['large', 400_000],
  ] as const) {
    const tars = tar({ name: 'pad', content: noise(pad) }, ...files);
    await pushImage(registry.host, name, 'v1', { layers: [{ tar: tars }] });
    const cancel = new AbortController();
    const stopWatching = it.images.board.watch(({ layers }) => {
      if (layers[0]?.state === 'unpacking') cancel.abort(new Error('enough'));
    });
    await assert.rejects(
      it.images.pull({ reference: `${registry.host}/${name}:v1` }, cancel.signal),
      /enough/,
    );
    stopWatching();
    for (let attempt = 0; readdirSync(`${it.directory}/layers`).length > 0; attempt += 1) {
      assert.ok(attempt < 1500, `${name}: what was half unpacked stays`);
      await sleep(20);
    }
    await it.images.pull({ reference: `${registry.host}/${name}:v1` });
    await it.images.prune({ all: true });
    assert.deepEqual(readdirSync(`${it.directory}/layers`), []);
  }
});

test('an image of 120 layers is mounted, for writing and as a view', async () => {
  using place = temporaryDirectory();
  await using registry = await startRegistry(place.path);
  await using it = await openTestImages();
  const layers = Array.from({ length: 120 }, (_, at) => ({
    tar: tar({ name: `f${at}`, content: String(at) }, { name: 'last', content: String(at) }),
  }));
  await pushImage(registry.host, 'many', 'v1', { layers });
  const { id } = await it.images.pull({ reference: `${registry.host}/many:v1` });
  for (const [key, readOnly] of [
    ['c', false],
    ['c/0', true],
  ] as const) {
    const { path } = await it.images.prepareRoot({ key, imageId: id, readOnly });
    assert.equal(readFileSync(`${path}/last`, 'utf8'), '119');
    assert.equal(readFileSync(`${path}/f0`, 'utf8'), '0');
    assert.equal(lstatSync(path).mode & 0o7777, 0o755);
  }
});

test('folders without an entry take after the layers below, each chain for itself', async () => {
  using place = temporaryDirectory();
  await using registry = await startRegistry(place.path);
  await using it = await openTestImages();
  const top = { tar: tar({ name: 'data/x', content: 'x' }) };
  for (const [name, mode] of [
    ['open', 0o1777],
    ['closed', 0o700],
  ] as const) {
    const base = { tar: tar({ name: 'data/', type: '5', mode, uid: mode, mtime: mode }) };
    await pushImage(registry.host, name, 'v1', { layers: [base, top] });
    const { id } = await it.images.pull({ reference: `${registry.host}/${name}:v1` });
    const { path } = await it.images.prepareRoot({ key: name, imageId: id });
    const stat = lstatSync(`${path}/data`);
    assert.deepEqual([stat.mode & 0o7777, stat.uid, stat.mtimeMs], [mode, mode, mode * 1000], name);
  }
});

test('one pull that fails takes nothing from another that shares its layers', async () => {
  using place = temporaryDirectory();
  await using registry = await startRegistry(place.path);
  await using it = await openTestImages();
  for (let round = 0; round < 5; round += 1) {
    const files = Array.from({ length: 200 }, (_, at) => ({ name: `d${round}/f${at}`, content: String(at) }));
    const shared = { tar: tar(...files) };
    const bad = { tar: tar({ name: '../bad', content: String(round) }) };
    await pushImage(registry.host, `good${round}`, 'v1', { layers: [shared] });
    await pushImage(registry.host, `bad${round}`, 'v1', { layers: [shared, bad] });
    const [good] = await Promise.all([
      it.images.pull({ reference: `${registry.host}/good${round}:v1` }),
      assert.rejects(it.images.pull({ reference: `${registry.host}/bad${round}:v1` })),
    ]);
    const { path } = await it.images.prepareRoot({ key: `c${round}`, imageId: good.id });
    assert.equal(readdirSync(`${path}/d${round}`).length, 200);
  }
  const here = () => readdirSync(`${it.directory}/layers`).length;
  for (let wait = 0; here() !== 5 && wait < 1000; wait += 1) await sleep(20);
  assert.equal(here(), 5, 'what the bad images brought is gone');
});
