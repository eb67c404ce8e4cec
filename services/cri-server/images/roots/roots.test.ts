/** Roots: both ways to make them give the same, and a failure leaves nothing or everything. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { isSkiffError } from '#foundation/base/errors.ts';
import { unmountTree } from '#foundation/linux/mount.ts';
import { describeTree } from '../../../../test/hostile-images/describe-tree.ts';
import { openTestImages, temporaryDirectory } from '../../../../test/hostile-images/harness.ts';
import { pushImage } from '../../../../test/hostile-images/image.ts';
import { oddLayers } from '../../../../test/hostile-images/odd-layers.ts';
import { startRegistry } from '../../../../test/hostile-images/registry.ts';
import { tar } from '../../../../test/hostile-images/tar.ts';

test('a root of copies is the same as one of overlayfs', async () => {
  using place = temporaryDirectory();
  await using registry = await startRegistry(place.path);
  await using overlay = await openTestImages({ roots: 'overlay' });
  await using copy = await openTestImages({ roots: 'copy' });
  await pushImage(registry.host, 'odd', 'v1', { layers: oddLayers().map((each) => ({ tar: each })) });
  const trees = [];
  for (const it of [overlay, copy]) {
    const { id } = await it.images.pull({ reference: `${registry.host}/odd:v1` });
    const { path } = await it.images.prepareRoot({ key: 'c', imageId: id });
    trees.push(describeTree(path));
    const view = await it.images.prepareRoot({ key: 'c/0', imageId: id, readOnly: true });
    assert.throws(() => writeFileSync(`${view.path}/new`, ''), { code: 'EROFS' });
    writeFileSync(`${path}/new`, 'x');
    assert.ok((await it.images.rootUsage('c')).inodes > 0n);
    await it.images.recoverRoots(new Set(['c']));
    assert.equal(readFileSync(`${path}/new`, 'utf8'), 'x');
    await it.images.removeRoot('c');
    assert.deepEqual(readdirSync(`${it.directory}/roots`), []);
  }
  assert.deepEqual(trees[0], trees[1]);
});

test('a root that cannot be made leaves nothing; one that was there keeps what its container wrote', async () => {
  using place = temporaryDirectory();
  await using registry = await startRegistry(place.path);
  await using it = await openTestImages();
  await pushImage(registry.host, 'app', 'v1', { layers: [{ tar: tar({ name: 'a', content: 'a' }) }] });
  const { id } = await it.images.pull({ reference: `${registry.host}/app:v1` });
  await assert.rejects(it.images.prepareRoot({ key: 'c', imageId: 'no/such' }), (error) =>
    isSkiffError(error, 'NOT_FOUND'),
  );
  await assert.rejects(it.images.prepareRoot({ key: '../c', imageId: id }), (error) =>
    isSkiffError(error, 'INVALID_ARGUMENT'),
  );
  const { path } = await it.images.prepareRoot({ key: 'old', imageId: id });
  writeFileSync(`${path}/mine`, 'mine');

  // The layer's directory is away: every mount of it fails.
  renameSync(`${it.directory}/layers/1`, `${place.path}/away`);
  await assert.rejects(it.images.prepareRoot({ key: 'new', imageId: id }), /Cannot make the root "new"/);
  assert.deepEqual(readdirSync(`${it.directory}/roots`), ['old']);
  unmountTree(path);
  await assert.rejects(it.images.prepareRoot({ key: 'old', imageId: id }));
  await it.images.recoverRoots(new Set(['old']));
  mkdirSync(`${it.directory}/layers`, { recursive: true });
  renameSync(`${place.path}/away`, `${it.directory}/layers/1`);
  await it.images.recoverRoots(new Set(['old']));
  assert.equal(readFileSync(`${path}/mine`, 'utf8'), 'mine');
  assert.equal(readFileSync(`${path}/a`, 'utf8'), 'a');
});
