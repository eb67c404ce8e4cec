import assert from 'node:assert/strict';
import { statSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { connectCri } from '#contracts/cri/client.ts';
import { ImageService } from '#contracts/cri/runtime_pb.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import { createRpcServer } from '#foundation/grpc/server.ts';
import { openTestImages, temporaryDirectory } from '../../../test/hostile-images/harness.ts';
import { pushImage } from '../../../test/hostile-images/image.ts';
import { startRegistry } from '../../../test/hostile-images/registry.ts';
import { tar } from '../../../test/hostile-images/tar.ts';
import { imageHandlers } from './rpc.ts';

test('the image service pulls, lists, tells and removes as the CRI says', async () => {
  using place = temporaryDirectory();
  await using registry = await startRegistry(place.path);
  await using it = await openTestImages();
  const server = createRpcServer();
  server.add(ImageService, imageHandlers(it.images));
  await using _ = { [Symbol.asyncDispose]: () => server.close(100) };
  await server.listen(`unix://${place.path}/cri.sock`);
  using client = connectCri(`${place.path}/cri.sock`);
  const { images } = client;
  const pushed = await pushImage(registry.host, 'team/app', 'v1', {
    layers: [{ tar: tar({ name: 'x', content: 'x' }) }],
    config: { User: '1000:1000', Env: ['A=b'] },
  });
  const name = `${registry.host}/team/app:v1`;
  const byDigest = `${registry.host}/team/app@${pushed.manifest}`;

  assert.equal((await images.imageStatus({ image: { image: name } })).image, undefined);
  const many = await Promise.all([1, 2, 3].map(() => images.pullImage({ image: { image: name } })));
  assert.deepEqual(new Set(many.map((each) => each.imageRef)), new Set([pushed.config]));

  const status = await images.imageStatus({ image: { image: name }, verbose: true });
  assert.equal(status.image?.id, pushed.config);
  assert.equal(status.image?.uid?.value, 1000n);
  assert.deepEqual(status.image?.repoDigests, [byDigest]);
  assert.deepEqual(JSON.parse(status.info.info ?? '').imageSpec.config.Env, ['A=b']);
  for (const reference of [pushed.config, pushed.config.slice(7, 20), byDigest])
    assert.equal((await images.imageStatus({ image: { image: reference } })).image?.id, pushed.config);

  assert.equal((await images.listImages({})).images.length, 1);
  assert.equal((await images.listImages({ filter: { image: { image: name } } })).images.length, 1);
  assert.equal((await images.listImages({ filter: { image: { image: 'other' } } })).images.length, 0);
  const streamed = [];
  for await (const batch of images.streamImages({})) streamed.push(...batch.images);
  assert.equal(streamed.length, 1);
  const { path } = await it.images.prepareRoot({ key: 'c', imageId: pushed.config });
  writeFileSync(`${path}/written`, Buffer.alloc(100_000, 1));
  const { imageFilesystems, containerFilesystems } = await images.imageFsInfo({});
  for (const [fs] of [imageFilesystems, containerFilesystems]) {
    assert.equal(fs?.fsId?.mountpoint, it.directory);
    assert.ok(statSync(it.directory).isDirectory());
  }
  const used = [imageFilesystems, containerFilesystems].map(([fs]) => fs?.usedBytes?.value ?? 0n);
  assert.ok((used[0] ?? 0n) > 0n && (used[0] ?? 0n) < 100_000n && (used[1] ?? 0n) >= 100_000n, String(used));
  await it.images.removeRoot('c');

  await assert.rejects(images.pullImage({ image: { image: 'team/UPPER' } }), (error) =>
    isSkiffError(error, 'INVALID_ARGUMENT'),
  );
  await assert.rejects(images.pullImage({ image: { image: `${registry.host}/no/such:v1` } }), (error) =>
    isSkiffError(error, 'NOT_FOUND'),
  );
  await images.removeImage({ image: { image: byDigest } });
  await images.removeImage({ image: { image: byDigest } });
  assert.equal((await images.listImages({})).images.length, 0);
  assert.equal((await images.pullImage({ image: { image: byDigest } })).imageRef, pushed.config);
  const [pulled] = (await images.listImages({})).images;
  assert.deepEqual([pulled?.repoTags, pulled?.repoDigests], [[], [byDigest]]);

  // With both, the digest decides, whatever the tag means by now.
  await images.removeImage({ image: { image: byDigest } });
  const next = await pushImage(registry.host, 'team/app', 'v1', {
    layers: [{ tar: tar({ name: 'x', content: 'y' }) }],
  });
  const both = `${name}@${pushed.manifest}`;
  assert.equal((await images.pullImage({ image: { image: both } })).imageRef, pushed.config);
  assert.equal((await images.imageStatus({ image: { image: both } })).image?.id, pushed.config);
  assert.deepEqual((await images.listImages({})).images[0]?.repoTags, []);
  assert.equal((await images.pullImage({ image: { image: name } })).imageRef, next.config);
  assert.equal((await images.imageStatus({ image: { image: both } })).image?.id, pushed.config);
});
