/** Roots: both ways to make them give the same, and a failure leaves nothing or everything. */
import assert from 'node:assert/strict';
import {
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { test } from 'node:test';
import { isSkiffError } from '#foundation/base/errors.ts';
import { mountsBelow, unmountTree } from '#foundation/linux/mount.ts';
import { pinNamespace, unpinNamespace } from '#foundation/linux/namespaces.ts';
import { createSpawner } from '#foundation/linux/spawn.ts';
import { describeTree } from '../../../../test/hostile-images/describe-tree.ts';
import { openTestImages, temporaryDirectory } from '../../../../test/hostile-images/harness.ts';
import { pushImage } from '../../../../test/hostile-images/image.ts';
import { oddLayers } from '../../../../test/hostile-images/odd-layers.ts';
import { startRegistry } from '../../../../test/hostile-images/registry.ts';
import { tar } from '../../../../test/hostile-images/tar.ts';
import { tryUserNamespace } from '../../sandboxes/user-namespace.ts';

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

test('a root for a user namespace has its owners; it is remade while the namespace lives', async () => {
  using place = temporaryDirectory();
  await using registry = await startRegistry(place.path);
  await using it = await openTestImages();
  const layer = (index: number) => ({
    tar: tar(
      { name: './', type: '5', mode: 0o755 },
      { name: `f${index}`, content: 'x', uid: index, gid: 2 * index },
    ),
  });
  const layers = Array.from({ length: 40 }, (_, index) => layer(index));
  await pushImage(registry.host, 'many', 'v1', { layers });
  await pushImage(registry.host, 'one', 'v1', { layers: layers.slice(0, 1) });
  const many = (await it.images.pull({ reference: `${registry.host}/many:v1` })).id;
  const one = (await it.images.pull({ reference: `${registry.host}/one:v1` })).id;
  const userNamespace = `${place.path}/user`;
  using spawner = createSpawner();
  await tryUserNamespace(spawner, (path) => pinNamespace(path, userNamespace));
  const idMap = { userNamespace, uid: 65_536, gid: 65_536, uids: 65_536, gids: 65_536 };
  const owners = (path: string) => [statSync(path).uid - 65_536, statSync(path).gid - 65_536];
  try {
    const { path } = await it.images.prepareRoot({ key: 'c', imageId: many, idMap });
    const files = layers.map((_, index) => owners(`${path}/f${index}`));
    assert.deepEqual(
      files,
      layers.map((_, index) => [index, 2 * index]),
    );
    assert.deepEqual(owners(path), [0, 0]);
    const views = [
      await it.images.prepareRoot({ key: 'c/0', imageId: one, readOnly: true, idMap }),
      await it.images.prepareRoot({ key: 'c/1', imageId: many, readOnly: true, idMap }),
    ];
    for (const view of views) assert.deepEqual(owners(`${view.path}/f0`), [0, 0]);
    assert.deepEqual(
      mountsBelow(it.directory).filter(({ target }) => target.endsWith('/mapped')),
      [],
    );
    unmountTree(path);
    await it.images.recoverRoots(new Set(['c']));
    assert.deepEqual(owners(`${path}/f39`), [39, 78]);
  } finally {
    unpinNamespace(userNamespace);
  }
  // As after a reboot: nothing can run on it again, and nothing is tried.
  unmountTree(it.directory);
  await it.images.recoverRoots(new Set(['c']));
  assert.deepEqual(mountsBelow(it.directory), []);
  await assert.rejects(it.images.prepareRoot({ key: 'd', imageId: many, idMap }), /Cannot make the root "d"/);
  assert.deepEqual(readdirSync(`${it.directory}/roots`), ['c']);
});

test('what a container changed goes into an archive, and a new root can begin with it', async () => {
  using place = temporaryDirectory();
  await using registry = await startRegistry(place.path);
  await using it = await openTestImages();
  const file = (name: string) => ({ name, content: name });
  const folder = (name: string) => ({ name, type: '5' as const, mode: 0o755 });
  const content = tar(
    folder('./'),
    file('gone'),
    file('kept'),
    folder('d/'),
    file('d/gone'),
    folder('o/'),
    file('o/old'),
  );
  await pushImage(registry.host, 'app', 'v1', { layers: [{ tar: content }] });
  const { id } = await it.images.pull({ reference: `${registry.host}/app:v1` });
  const { path } = await it.images.prepareRoot({ key: 'a', imageId: id });
  rmSync(`${path}/gone`);
  rmSync(`${path}/d/gone`);
  rmSync(`${path}/o`, { recursive: true });
  mkdirSync(`${path}/o`);
  writeFileSync(`${path}/o/new`, 'new');
  writeFileSync(`${path}/ümläut \n name`, 'odd');
  chownSync(`${path}/kept`, 12, 34);
  linkSync(`${path}/o/new`, `${path}/hard`);
  symlinkSync('/etc/passwd', `${path}/link`);
  const archive = `${place.path}/changes.tar`;
  const { deleted } = await it.images.saveChanges('a', archive);
  assert.deepEqual(deleted.sort(), ['d/gone', 'gone']);
  const again = await it.images.prepareRoot({ key: 'b', imageId: id, changes: archive });
  assert.deepEqual(describeTree(again.path), describeTree(path));
  assert.equal(existsSync(`${again.path}/o/old`), false);
  assert.deepEqual(
    readdirSync(place.path).filter((name) => name.startsWith('changes.tar-')),
    [],
  );

  await using copies = await openTestImages({ roots: 'copy' });
  const copied = await copies.images.pull({ reference: `${registry.host}/app:v1` });
  await copies.images.prepareRoot({ key: 'a', imageId: copied.id });
  await assert.rejects(copies.images.saveChanges('a', archive), (error) =>
    isSkiffError(error, 'FAILED_PRECONDITION'),
  );
});
