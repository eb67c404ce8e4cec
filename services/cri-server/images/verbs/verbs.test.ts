import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { isSkiffError } from '#foundation/base/errors.ts';
import { openTestImages, temporaryDirectory } from '../../../../test/hostile-images/harness.ts';
import { pushImage } from '../../../../test/hostile-images/image.ts';
import { assertTidy } from '../../../../test/hostile-images/kill-pull.ts';
import { startRegistry } from '../../../../test/hostile-images/registry.ts';
import { tar } from '../../../../test/hostile-images/tar.ts';
import type { PushProgress } from './push.ts';

const layers = [
  { tar: tar({ name: './', type: '5' }, { name: 'a', content: 'one' }) },
  { tar: tar({ name: 'd/b', content: 'two' }) },
];

/** Where the unpacked layers have a file. */
function inLayers(directory: string, file: string): string {
  const paths = readdirSync(`${directory}/layers`).map((number) => `${directory}/layers/${number}/${file}`);
  return paths.find((path) => existsSync(path)) ?? assert.fail(`no layer has ${file}`);
}

function flip(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

test('verify finds and mends a flipped bit wherever it is', async () => {
  using place = temporaryDirectory();
  await using registry = await startRegistry(place.path);
  await using it = await openTestImages();
  const pushed = await pushImage(registry.host, 'app', 'v1', { layers });
  const reference = `${registry.host}/app:v1`;
  await it.images.pull({ reference });
  assert.deepEqual(await it.images.verify(reference), []);
  const blob = (digest: string) => `${it.directory}/blobs/${digest.replace(':', '/')}`;
  for (const digest of [pushed.manifest, pushed.config, ...pushed.layers]) {
    flip(blob(digest));
    const found = await it.images.verify(reference);
    assert.deepEqual(
      found.map((each) => [each.what, each.mended]),
      [[digest, true]],
    );
    assert.deepEqual(await it.images.verify(reference), []);
  }
  truncateSync(blob(pushed.layers[0] ?? ''), 5);
  assert.equal((await it.images.verify(reference))[0]?.mended, true);
  const { path } = await it.images.prepareRoot({ key: 'c', imageId: pushed.config });
  await it.images.removeRoot('c');
  for (const file of ['a', 'd/b']) {
    flip(inLayers(it.directory, file));
    const [finding] = await it.images.verify(reference);
    assert.match(finding?.problem ?? '', /is not as the layer has it/, file);
    assert.equal(finding?.mended, true);
    await it.reopen();
    assert.deepEqual(await it.images.verify(reference), []);
    await assertTidy(it.directory, 2);
  }
  assert.equal((await it.images.prepareRoot({ key: 'c', imageId: pushed.config })).path, path);
  assert.equal(readFileSync(`${path}/a`, 'utf8'), 'one');
  await assert.rejects(it.images.verify('no/such'), (error) => isSkiffError(error, 'NOT_FOUND'));
});

test('a damaged layer that a container runs on stays until the container is gone', async () => {
  using place = temporaryDirectory();
  await using registry = await startRegistry(place.path);
  await using it = await openTestImages();
  const shared = [
    { tar: tar({ name: './', type: '5' }, { name: 'a', content: 'one' }, { name: 'z', content: 'last' }) },
  ];
  const pushed = await pushImage(registry.host, 'app', 'v1', { layers: shared });
  await pushImage(registry.host, 'other', 'v1', { layers: [...shared, ...layers.slice(1)] });
  const reference = `${registry.host}/other:v1`;
  await it.images.pull({ reference: `${registry.host}/app:v1` });
  await it.images.pull({ reference });
  const { path } = await it.images.prepareRoot({ key: 'runs-on-it', imageId: pushed.config });
  flip(inLayers(it.directory, 'a'));
  const [finding, ...others] = await it.images.verify(reference);
  assert.deepEqual([finding?.mended, others], [false, []]);
  assert.match(finding?.error ?? '', /^used by the container runs-on-it, .*verify the image again$/);
  assert.equal(readFileSync(`${path}/z`, 'utf8'), 'last', 'its other files are there');
  await it.images.removeRoot('runs-on-it');
  assert.equal((await it.images.verify(reference))[0]?.mended, true);
  assert.deepEqual(await it.images.verify(`${registry.host}/app:v1`), [], 'so is the image that shares it');
});

test('an image is tagged, pushed under its new name, and found there by its digest', async () => {
  using place = temporaryDirectory();
  await using registry = await startRegistry(place.path);
  await using it = await openTestImages();
  const pushed = await pushImage(registry.host, 'app', 'v1', { layers });
  const source = `${registry.host}/app:v1`;
  await it.images.pull({ reference: source });
  const target = `${registry.host}/team/copy:v2`;
  it.images.tag(source, target);
  const progress: PushProgress[] = [];
  const { digest } = await it.images.push({ source: target, onProgress: (each) => progress.push(each) });
  assert.equal(digest, pushed.manifest);
  assert.deepEqual(
    new Set(progress.filter((each) => each.outcome).map((each) => each.outcome)),
    new Set(['mounted']),
  );
  assert.ok(it.images.find(target)?.repoDigests.includes(`${registry.host}/team/copy@${digest}`));

  const { path } = await it.images.prepareRoot({ key: 'a-container', imageId: pushed.config });
  const removed = await it.images.untag(source);
  assert.deepEqual([removed.untagged, removed.deleted], [[source], undefined], 'a name is no use of it');
  await assert.rejects(it.images.untag(target), /: used by the container a-container; remove them first/);
  assert.ok(it.images.find(target), 'nothing was removed');
  assert.equal((await it.images.untag(target, { force: true })).deleted, pushed.config);
  assert.equal(readFileSync(`${path}/a`, 'utf8'), 'one', 'the container keeps its layers');
  await it.images.removeRoot('a-container');
  assert.equal(
    (await it.images.pull({ reference: `${registry.host}/team/copy@${digest}` })).id,
    pushed.config,
  );
  await assert.rejects(it.images.push({ source: 'no/such' }), (error) => isSkiffError(error, 'NOT_FOUND'));
  assert.throws(
    () => it.images.tag(pushed.config, 'x@sha256:00'),
    (error) => isSkiffError(error, 'INVALID_ARGUMENT'),
  );
});
