/** Fifty pulls at once, of the same and of different images that share layers, as a node has them after a reboot. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { openTestImages, temporaryDirectory } from '../../../../test/hostile-images/harness.ts';
import { pushImage } from '../../../../test/hostile-images/image.ts';
import { startRegistry } from '../../../../test/hostile-images/registry.ts';
import { slowRegistry } from '../../../../test/hostile-images/slow-registry.ts';
import { tar } from '../../../../test/hostile-images/tar.ts';

const names = Array.from({ length: 10 }, (_, at) => `app-${at}`);
const callers = 5;

/** A layer with one file; noise, so that it is as large when packed. */
function layer(name: string, bytes: number) {
  return { tar: tar({ name, content: randomBytes(bytes) }) };
}

test('fifty pulls at once fetch and keep each layer once, and those that leave or fail hurt nobody', {
  timeout: 180_000,
}, async () => {
  using place = temporaryDirectory();
  await using registry = await startRegistry(place.path);
  await using slow = await slowRegistry(registry.host);
  slow.pauseMs = 5;
  await using it = await openTestImages();
  const shared = [layer('base', 700_000), layer('runtime', 20_000), layer('tools', 300_000)];
  const ids = new Map<string, string>();
  for (const [at, name] of names.entries()) {
    // Some on one shared layer, some on all three, so that chains differ.
    const layers = [...shared.slice(0, 1 + (at % 3)), layer(name, at % 2 === 0 ? 2000 : 300_000)];
    ids.set(name, (await pushImage(registry.host, name, 'v1', { layers })).config);
  }
  const reference = (name: string) => `${slow.host}/${name}:v1`;
  const leaver = new AbortController();
  const pulls = Array.from({ length: callers }, () => names).flatMap((each) =>
    each.map((name) => it.images.pull({ reference: reference(name) })),
  );
  const left = assert.rejects(it.images.pull({ reference: reference('app-0') }, leaver.signal), /gone/);
  const failed = assert.rejects(it.images.pull({ reference: reference('no-such') }), /not found/);
  leaver.abort(new Error('gone'));
  const pulled = await Promise.all(pulls);
  await Promise.all([left, failed]);
  assert.deepEqual(
    pulled.map(({ id }) => id),
    Array.from({ length: callers }, () => names.map((name) => ids.get(name))).flat(),
  );
  const fetched = slow.blobs.map(({ path }) => path.slice(path.lastIndexOf('/') + 1));
  const distinct = shared.length + names.length;
  assert.equal(fetched.length, distinct + names.length, 'each layer and each config was fetched once');
  assert.equal(new Set(fetched).size, fetched.length);
  assert.equal(readdirSync(`${it.directory}/layers`).length, distinct, 'and each layer lies here once');
  for (const name of names) assert.deepEqual(await it.images.verify(reference(name)), []);
  await it.images.prune({ all: true });
  assert.deepEqual(it.images.usage(), { path: it.directory, bytes: 0, inodes: 0 });
});
