import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findHosts } from './find.ts';
import type { RegistryHost } from './host.ts';
import { createMirrorRests } from './rests.ts';

test('a mirror that failed rests for half a minute, the registry never', async () => {
  let now = 1;
  const clock = { now: () => now, monotonic: () => now, sleep: async () => {} };
  const rests = createMirrorRests({ clock });
  const [own] = await findHosts([], 'quay.io');
  assert.ok(own);
  const mirror: RegistryHost = { ...own, address: 'mirror.example', mirror: true };
  rests.rest(own);
  assert.deepEqual(rests.awake([mirror, own]), [mirror, own]);
  rests.rest(mirror);
  assert.deepEqual(rests.awake([mirror, own]), [own]);
  assert.deepEqual(rests.awake([mirror]), [mirror], 'somebody has to be asked');
  now += 30_000;
  assert.deepEqual(rests.awake([mirror, own]), [mirror, own]);
});
