/** The catalog's memory and its file say the same, also when the file cannot be written. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openStore } from '../../store/store.ts';
import { openCatalog } from './catalog.ts';
import type { ImageRecord } from './model.ts';

const image = (id: string, tags: string[]): ImageRecord => ({
  id: `sha256:${id.repeat(64)}`,
  tags,
  digests: [],
  manifest: { mediaType: 'm', digest: `sha256:${'0'.repeat(64)}`, size: 1 },
  indexes: [],
  configSize: 1,
  layers: [],
  size: 2,
  config: {},
  architecture: 'amd64',
  os: 'linux',
  created: '2026-01-01T00:00:00Z',
  pinned: false,
  pulledAt: 0,
});

const [one, two] = ['registry.test/a:1', 'registry.test/a:2'] as const;

test('a name goes to the image that came last, and back to nobody when the disk refuses', () => {
  using store = openStore(':memory:');
  const catalog = openCatalog(store, store);
  catalog.put(image('a', [one, two]));
  catalog.putGrouped(image('b', [two]), () => {});
  assert.deepEqual([catalog.find(one)?.id[7], catalog.find(two)?.id[7]], ['a', 'b']);
  assert.deepEqual(catalog.find(one)?.tags, [one]);
  const full = () => {
    throw new Error('database or disk is full');
  };
  assert.throws(() => catalog.putGrouped(image('c', [one, two]), full), /full/);
  assert.deepEqual([catalog.find(one)?.id[7], catalog.find(two)?.id[7]], ['a', 'b']);
  assert.equal(catalog.all().length, 2);
  assert.deepEqual(openCatalog(store, store).all(), catalog.all());
});
