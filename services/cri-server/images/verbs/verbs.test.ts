import assert from 'node:assert/strict';
import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { isSkiffError } from '#foundation/base/errors.ts';
import { openTestImages, temporaryDirectory } from '../../../../test/hostile-images/harness.ts';
import { pushImage } from '../../../../test/hostile-images/image.ts';
import { startRegistry } from '../../../../test/hostile-images/registry.ts';
import { tar } from '../../../../test/hostile-images/tar.ts';
import type { PushProgress } from './push.ts';

const layers = [
  { tar: tar({ name: './', type: '5' }, { name: 'a', content: 'one' }) },
  { tar: tar({ name: 'd/b', content: 'two' }) },
];

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
    const there =
      ['1', '2'].map((number) => `${it.directory}/layers/${number}/${file}`).find(existsSync) ?? '';
    flip(there);
    const [finding] = await it.images.verify(reference);
    assert.match(finding?.problem ?? '', /is not as the layer has it/, file);
    assert.equal(finding?.mended, true);
    assert.deepEqual(await it.images.verify(reference), []);
  }
  assert.equal((await it.images.prepareRoot({ key: 'c', imageId: pushed.config })).path, path);
  assert.equal(readFileSync(`${path}/a`, 'utf8'), 'one');
  await assert.rejects(it.images.verify('no/such'), (error) => isSkiffError(error, 'NOT_FOUND'));
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
