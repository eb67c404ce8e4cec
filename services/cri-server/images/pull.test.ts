import assert from 'node:assert/strict';
import { lstatSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { openTestImages, temporaryDirectory } from '../../../test/hostile-images/harness.ts';
import { pushImage } from '../../../test/hostile-images/image.ts';
import { startRegistry } from '../../../test/hostile-images/registry.ts';
import { tar } from '../../../test/hostile-images/tar.ts';

test('an image is pulled, mounted, written to, and removed with all that belongs to it', async () => {
  using place = temporaryDirectory();
  await using registry = await startRegistry(place.path);
  await using it = await openTestImages();
  const base = tar(
    { name: './', type: '5', mode: 0o755 },
    { name: 'bin/', type: '5', mode: 0o755 },
    { name: 'bin/sh', mode: 0o4755, content: 'shell', uid: 3, gid: 4 },
    { name: 'bin/link', type: '2', link: 'sh' },
    { name: 'old', content: 'old' },
    { name: 'tmp/', type: '5', mode: 0o1777 },
  );
  const top = tar({ name: '.wh.old' }, { name: 'tmp/x', content: 'x' });
  const pushed = await pushImage(registry.host, 'a/b', 'v1', { layers: [{ tar: base }, { tar: top }] });
  const name = `${registry.host}/a/b:v1`;

  const image = await it.images.pull({ reference: name });
  assert.equal(image.id, pushed.config);
  assert.deepEqual(image.repoTags, [name]);
  assert.deepEqual(image.repoDigests, [`${registry.host}/a/b@${pushed.manifest}`]);
  assert.equal(it.images.find(name)?.id, image.id);
  assert.equal(it.images.find(image.id.slice(7, 20))?.id, image.id);

  const { path } = await it.images.prepareRoot({ key: 'c1', imageId: image.id });
  assert.equal(readFileSync(`${path}/bin/sh`, 'utf8'), 'shell');
  const sh = lstatSync(`${path}/bin/sh`);
  assert.deepEqual([sh.mode & 0o7777, sh.uid, sh.gid, sh.mtimeMs], [0o4755, 3, 4, 1_600_000_000_000]);
  assert.equal(readlinkSync(`${path}/bin/link`), 'sh');
  assert.equal(lstatSync(`${path}/old`, { throwIfNoEntry: false }), undefined);
  assert.equal(
    lstatSync(`${path}/tmp`).mode & 0o7777,
    0o1777,
    'a folder without an entry takes after the one below',
  );
  writeFileSync(`${path}/new`, 'written');
  assert.equal((await it.images.prepareRoot({ key: 'c1', imageId: image.id })).path, path);
  assert.ok((await it.images.rootUsage('c1')).inodes >= 2n);

  const view = await it.images.prepareRoot({ key: 'c1/0', imageId: image.id, readOnly: true });
  assert.throws(() => writeFileSync(`${view.path}/y`, ''), { code: 'EROFS' });
  assert.equal(lstatSync(`${view.path}/new`, { throwIfNoEntry: false }), undefined);

  await it.reopen();
  await it.images.recoverRoots(new Set(['c1']));
  assert.equal(readFileSync(`${path}/new`, 'utf8'), 'written');
  assert.equal(lstatSync(view.path, { throwIfNoEntry: false }), undefined);
  await it.images.remove(name);
  assert.equal(it.images.find(name), undefined);
  assert.equal(readFileSync(`${path}/bin/sh`, 'utf8'), 'shell', 'a root outlives its image');
  await it.images.removeRoot('c1');
  await it.images.removeRoot('c1');
  const pruned = await it.images.prune();
  assert.equal(pruned.blobs.length, 4);
  assert.deepEqual(it.images.usage(), { path: it.directory, bytes: 0, inodes: 0 });
});
