/** Fifty pulls at once, killed twenty times: what is there afterwards is whole, to the last bit. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { openTestImages, temporaryDirectory } from '../../../../test/hostile-images/harness.ts';
import { pushImage } from '../../../../test/hostile-images/image.ts';
import { assertTidy, changeOf, pullAndKill } from '../../../../test/hostile-images/kill-pull.ts';
import { startRegistry } from '../../../../test/hostile-images/registry.ts';
import { slowRegistry } from '../../../../test/hostile-images/slow-registry.ts';
import { tar } from '../../../../test/hostile-images/tar.ts';

const names = Array.from({ length: 10 }, (_, at) => `app-${at}`);
const [callers, kills] = [5, 20];

/** A layer with one file; noise, so that it is as large when packed. */
function layer(name: string, bytes: number) {
  return { tar: tar({ name: `data/${name}`, content: randomBytes(bytes) }) };
}

test('fifty pulls at once, killed twenty times, leave nothing that is not whole', {
  timeout: 300_000,
}, async () => {
  using place = temporaryDirectory();
  await using registry = await startRegistry(place.path);
  await using slow = await slowRegistry(registry.host);
  await using it = await openTestImages();
  // Small ones that come in memory, and large ones whose files are followed while they come.
  const shared = [layer('base', 900_000), layer('runtime', 20_000), layer('tools', 300_000)];
  const ids: string[] = [];
  for (const [at, name] of names.entries()) {
    const layers = [...shared.slice(0, 1 + (at % 3)), layer(name, at % 2 === 0 ? 2000 : 300_000)];
    ids.push((await pushImage(registry.host, name, 'v1', { layers })).config);
  }
  const references = Array.from({ length: callers }, () =>
    names.map((name) => `${slow.host}/${name}:v1`),
  ).flat();
  assert.equal(references.length, 50);
  let killed = 0;
  for (let round = 0; killed < kills; round += 1) {
    assert.ok(round < 3 * kills, 'the pulls end before they are killed');
    // At other moments each time; now from the beginning, and now where the one before was killed.
    slow.pauseMs = round % 3;
    const hasBegun = changeOf(it.directory);
    const killing = { directory: it.directory, references, prune: round % 2 === 0, hasBegun };
    if (await pullAndKill({ ...killing, afterMs: (round * 37) % 200 })) killed += 1;
  }
  slow.pauseMs = 0;
  await it.reopen();
  // What the killed ones had ended counts; nothing of it may be damaged.
  for (const { id } of it.images.list()) assert.deepEqual(await it.images.verify(id), []);
  const pulled = await Promise.all(references.map((reference) => it.images.pull({ reference })));
  assert.deepEqual(
    pulled.map(({ id }) => id),
    Array.from({ length: callers }, () => ids).flat(),
  );
  for (const id of ids) assert.deepEqual(await it.images.verify(id), []);
  await assertTidy(it.directory, shared.length + names.length);
  await it.images.prune({ all: true });
  assert.deepEqual(it.images.usage(), { path: it.directory, bytes: 0, inodes: 0 });
});
