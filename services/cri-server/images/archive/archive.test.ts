import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { isSkiffError } from '#foundation/base/errors.ts';
import { openTestImages, temporaryDirectory } from '../../../../test/hostile-images/harness.ts';
import { pushImage } from '../../../../test/hostile-images/image.ts';
import { startRegistry } from '../../../../test/hostile-images/registry.ts';
import { tar } from '../../../../test/hostile-images/tar.ts';

test('images are saved and loaded in every format, and other tools read and write the same', async () => {
  using place = temporaryDirectory();
  await using registry = await startRegistry(place.path);
  await using it = await openTestImages();
  const layers = [{ tar: tar({ name: 'a', content: 'one' }) }, { tar: tar({ name: 'b', content: 'two' }) }];
  await pushImage(registry.host, 'app', 'v1', { layers, docker: true });
  const name = `${registry.host}/app:v1`;
  const image = await it.images.pull({ reference: name });
  it.images.tag(name, 'short');
  const { manifest } = it.images.inspect(name) ?? { manifest: undefined };

  const forms = [
    { path: `${place.path}/docker.tar`, format: 'docker' as const },
    { path: `${place.path}/oci.tar`, format: 'oci' as const },
    { path: `${place.path}/oci`, format: 'oci' as const, directory: true },
    { path: `${place.path}/docker`, format: 'docker' as const, directory: true },
  ];
  for (const form of forms) await it.images.save({ references: [name], ...form });
  for (const form of forms) {
    await using other = await openTestImages();
    const [loaded] = await other.images.load(form.path);
    assert.deepEqual([loaded?.id, loaded?.repoTags], [image.id, [name]], form.path);
    assert.equal(
      other.images.inspect(name)?.manifest.digest,
      manifest?.digest,
      'the same digests after the way',
    );
    const { path } = await other.images.prepareRoot({ key: 'c', imageId: image.id });
    assert.equal(readFileSync(`${path}/b`, 'utf8'), 'two');
  }

  // What skopeo copies through both of its readers and its writer is the same image.
  execFileSync('skopeo', [
    'copy',
    '-q',
    `docker-archive:${place.path}/docker.tar`,
    `oci:${place.path}/sk:v1`,
  ]);
  execFileSync('skopeo', [
    'copy',
    '-q',
    `oci-archive:${place.path}/oci.tar`,
    `docker-archive:${place.path}/old.tar:team/old:v2`,
  ]);
  execFileSync('gzip', [`${place.path}/old.tar`]);
  await using other = await openTestImages();
  await using empty = await openTestImages();
  const [old] = await other.images.load(`${place.path}/old.tar.gz`);
  assert.deepEqual([old?.id, old?.repoTags], [image.id, ['docker.io/team/old:v2']]);
  execFileSync('mkfifo', [`${place.path}/fifo`]);
  const loading = other.images.load(`${place.path}/fifo`);
  await it.images.save({ references: ['short'], path: `${place.path}/fifo`, format: 'docker' });
  assert.deepEqual((await loading)[0]?.repoTags.at(-1), 'docker.io/library/short:latest');

  rmSync(`${place.path}/oci/blobs/${image.id.replace(':', '/')}`);
  await assert.rejects(empty.images.load(`${place.path}/oci`), (error) => isSkiffError(error, 'NOT_FOUND'));
  writeFileSync(`${place.path}/secret`, 'secret');
  symlinkSync(`${place.path}/secret`, `${place.path}/oci/blobs/${image.id.replace(':', '/')}`);
  await assert.rejects(empty.images.load(`${place.path}/oci`), (error) =>
    isSkiffError(error, 'INVALID_ARGUMENT'),
  );
  writeFileSync(`${place.path}/no.tar`, tar({ name: 'x' }));
  await assert.rejects(it.images.load(`${place.path}/no.tar`), (error) =>
    isSkiffError(error, 'INVALID_ARGUMENT'),
  );
  await assert.rejects(it.images.load(`${place.path}/absent`), (error) => isSkiffError(error, 'NOT_FOUND'));
});
