/** A pull that is killed again and again, at any moment, still comes to a whole image, and leaves nothing else. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { test } from 'node:test';
import { openTestImages, temporaryDirectory } from '../../../../test/hostile-images/harness.ts';
import { pushImage } from '../../../../test/hostile-images/image.ts';
import { assertTidy, changeOf, pullAndKill } from '../../../../test/hostile-images/kill-pull.ts';
import { startRegistry } from '../../../../test/hostile-images/registry.ts';
import { slowRegistry } from '../../../../test/hostile-images/slow-registry.ts';
import { tar } from '../../../../test/hostile-images/tar.ts';

const rounds = 8;
/** Whether a part of a blob is here, and not yet all of it. */
function isPartial(directory: string, digest: string): boolean {
  const path = `${directory}/ingest/${digest.replace(':', '-')}`;
  return (statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 0;
}

test('a pull killed at any moment resumes, and comes to the same image', { timeout: 300_000 }, async () => {
  using place = temporaryDirectory();
  await using registry = await startRegistry(place.path);
  await using slow = await slowRegistry(registry.host);
  await using it = await openTestImages();
  const noise = (bytes: number) => randomBytes(bytes).toString('base64');
  const contents = [3_000_000, 400_000, 300, 300_000, 20, 500_000, 3000].map(noise);
  const layers = contents.map((content, at) => ({ tar: tar({ name: `d/f${at}`, content }) }));
  const pushed = await pushImage(registry.host, 'app', 'v1', { layers });
  const reference = `${slow.host}/app:v1`;
  const killing = { directory: it.directory, references: [reference] };
  // First in the middle of a blob, so that there is something to resume, however slow this machine is.
  const isHalfFetched = () => isPartial(it.directory, pushed.layers[0] ?? '');
  for (let pauseMs = 200; !isHalfFetched(); pauseMs *= 2) {
    assert.ok(pauseMs < 2000, 'the large blob is never half fetched');
    slow.pauseMs = pauseMs;
    await pullAndKill({ ...killing, hasBegun: isHalfFetched, afterMs: 0 });
  }
  for (let round = 0; round < rounds; round += 1) {
    // Sooner and later, and slower and faster, so that every phase is hit.
    slow.pauseMs = round % 2 === 0 ? 20 : 1;
    await pullAndKill({ ...killing, hasBegun: changeOf(it.directory), afterMs: round * 50 });
  }
  slow.pauseMs = 0;
  await it.reopen();
  assert.equal((await it.images.pull({ reference })).id, pushed.config);
  assert.deepEqual(await it.images.verify(reference), []);
  assert.ok(
    slow.blobs.some(({ from }) => from > 0),
    'nothing was resumed',
  );
  await assertTidy(it.directory, layers.length);
  await it.images.prune({ all: true });
  assert.deepEqual(it.images.usage(), { path: it.directory, bytes: 0, inodes: 0 });
});
