import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { Images, type PullProgress, PullState } from '#contracts/admin/admin_pb.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import { openChannel } from '#foundation/grpc/client.ts';
import { createRpcServer } from '#foundation/grpc/server.ts';
import { openTestImages, temporaryDirectory } from '../../../test/hostile-images/harness.ts';
import { pushImage } from '../../../test/hostile-images/image.ts';
import { startRegistry } from '../../../test/hostile-images/registry.ts';
import { tar } from '../../../test/hostile-images/tar.ts';
import { adminHandlers } from './admin.ts';

async function collected<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const each of stream) all.push(each);
  return all;
}

test('the admin service pulls with progress, names, pushes, saves, loads, checks and prunes', async () => {
  using place = temporaryDirectory();
  await using registry = await startRegistry(place.path);
  await using it = await openTestImages();
  const server = createRpcServer();
  server.add(Images, adminHandlers(it.images));
  await server.listen(`unix://${place.path}/s.sock`);
  await using _ = { [Symbol.asyncDispose]: () => server.close(100) };
  using channel = openChannel(`unix://${place.path}/s.sock`);
  const admin = channel.client(Images);
  const content = Buffer.alloc(3_000_000, 'some text ');
  const pushed = await pushImage(registry.host, 'app', 'v1', {
    layers: [{ tar: tar({ name: 'a', content }) }],
  });
  const name = `${registry.host}/app:v1`;

  const leave = new AbortController();
  const seen: PullProgress[] = [];
  const watching = (async () => {
    for await (const event of admin.watchPulls({}, { signal: leave.signal })) {
      seen.push(event);
      if (event.state === PullState.DONE) return;
    }
  })();
  await new Promise((resolve) => setTimeout(resolve, 200));
  const events = await collected(admin.pull({ image: name }));
  assert.deepEqual([events.at(-1)?.state, events.at(-1)?.imageId], [PullState.DONE, pushed.config]);
  assert.ok(events.some((event) => event.layers.length === 1));
  await watching;
  leave.abort();
  assert.equal(seen.at(-1)?.layers[0]?.digest, pushed.layers[0]);

  await admin.tag({ source: name, target: `${registry.host}/other:v2` });
  const sent = await collected(admin.push({ image: `${registry.host}/other:v2` }));
  assert.equal(sent.at(-1)?.digest, pushed.manifest);
  const listed = (await admin.referrers({ image: name })).referrers;
  assert.deepEqual(listed, [], 'nothing refers to it, and a registry without the API is no error');
  await assert.rejects(admin.referrers({ image: `${registry.host}/no:v1` }), (error) =>
    isSkiffError(error, 'NOT_FOUND'),
  );
  assert.ok((await admin.save({ images: [name], path: `${place.path}/x.tar` })).bytes > 0n);
  assert.deepEqual((await admin.load({ path: `${place.path}/x.tar` })).imageIds, [pushed.config]);
  const checks = await collected(admin.verify({ checkOnly: true }));
  assert.deepEqual([checks.length, checks.filter((each) => each.damaged).length], [4, 0]);
  writeFileSync(`${it.directory}/blobs/${pushed.config.replace(':', '/')}`, 'damaged');
  const found = (await collected(admin.verify({ checkOnly: true }))).filter((each) => each.damaged);
  assert.deepEqual([found[0]?.digest, found[0]?.mended], [pushed.config, false]);
  const mended = (await collected(admin.verify({ images: [name] }))).filter((each) => each.damaged);
  assert.deepEqual([mended.length, mended[0]?.mended], [1, true]);
  assert.equal(JSON.parse((await admin.inspect({ image: name })).json).id, pushed.config);
  await admin.pin({ image: name, pinned: true });
  assert.deepEqual((await admin.prune({ all: true })).deleted, []);
  await admin.pin({ image: name, pinned: false });
  assert.deepEqual((await admin.prune({ all: true })).deleted, [pushed.config]);
  await assert.rejects(admin.inspect({ image: name }), (error) => isSkiffError(error, 'NOT_FOUND'));
  await assert.rejects(
    collected(admin.pull({ image: `${registry.host}/no:v1` })),
    (error) =>
      isSkiffError(error, 'NOT_FOUND') && /^Cannot pull "[^"]*\/no:v1": not found: /.test(error.message),
  );
  // The kubelet's prefix is for the kubelet.
  await assert.rejects(
    collected(admin.pull({ image: '127.0.0.1:1/x' })),
    (error) =>
      isSkiffError(error, 'UNAVAILABLE') && /^Cannot pull 127.0.0.1:1\/x:latest: /.test(error.message),
  );
  assert.deepEqual((await admin.untag({ name })).untagged, []);
});
