/** Where overlayfs does not take upper directories (here: on another overlayfs), roots are copies, unasked. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { mount, mountsBelow, unmountTree } from '#foundation/linux/mount.ts';
import { openTestImages, temporaryDirectory } from '../../../../test/hostile-images/harness.ts';
import { pushImage } from '../../../../test/hostile-images/image.ts';
import { startRegistry } from '../../../../test/hostile-images/registry.ts';
import { tar } from '../../../../test/hostile-images/tar.ts';

test('on a file system that overlayfs cannot use, roots are made by copying', async () => {
  using place = temporaryDirectory();
  for (const name of ['lower', 'upper', 'work', 'merged']) mkdirSync(`${place.path}/${name}`);
  const data = ['lower', 'upper', 'work'].map((name) => `${name}dir=${place.path}/${name}`).join(',');
  mount({ source: 'overlay', target: `${place.path}/merged`, type: 'overlay', data });
  try {
    await using registry = await startRegistry(place.path);
    await using it = await openTestImages({ directory: `${place.path}/merged/images` });
    const layers = [
      { tar: tar({ name: 'old', content: 'old' }, { name: 'd/', type: '5' }, { name: 'd/x', content: 'x' }) },
      { tar: tar({ name: '.wh.old' }, { name: 'd/.wh..wh..opq' }, { name: 'd/y', content: 'y' }) },
    ];
    await pushImage(registry.host, 'app', 'v1', { layers });
    const { id } = await it.images.pull({ reference: `${registry.host}/app:v1` });
    const { path } = await it.images.prepareRoot({ key: 'c', imageId: id });
    assert.deepEqual(mountsBelow(path), []);
    assert.equal(readFileSync(`${path}/d/y`, 'utf8'), 'y');
    assert.ok(!existsSync(`${path}/old`) && !existsSync(`${path}/d/x`));
    writeFileSync(`${path}/d/y`, 'changed');
    const other = await it.images.prepareRoot({ key: 'other', imageId: id });
    assert.equal(readFileSync(`${other.path}/d/y`, 'utf8'), 'y');
    for (const key of ['c', 'other']) await it.images.removeRoot(key);
  } finally {
    unmountTree(`${place.path}/merged`);
  }
});
