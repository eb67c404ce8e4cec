/**
 * Images made to break an image store. Each case is pulled from a real registry; it must either be refused
 * with the right code, or unpack to something that stayed inside. After all of them, nothing outside of the
 * store has changed, and nothing half made is left in it.
 */
import assert from 'node:assert/strict';
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { after, before, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { type ErrorCode, isSkiffError } from '#foundation/base/errors.ts';
import { openTestImages, type TestImages } from './harness.ts';
import { pushImage } from './image.ts';
import { type HostileLayer, layerCases } from './layer-cases.ts';
import { manifestCases } from './manifest-cases.ts';
import { startRegistry, type TestRegistry } from './registry.ts';

let place: string;
let registry: TestRegistry;
let it: TestImages;
const bait = '/tmp/skiff-bait';

before(async () => {
  place = mkdtempSync('/tmp/skiff-host-');
  registry = await startRegistry(place);
  const limits = { maxBytes: 64 * 2 ** 20, ratioFloor: 2 ** 20, maxRatio: 100, maxEntries: 2000 };
  it = await openTestImages({ limits });
  rmSync(bait, { recursive: true, force: true });
  writeFileSync(bait, 'bait');
});
after(async () => {
  await it?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
  rmSync(place, { recursive: true, force: true });
  rmSync(bait, { recursive: true, force: true });
});

/** The kernel's and the store's view from outside: what no image may change. */
function outside(): string {
  const around = readdirSync(it.directory).sort();
  const folders = ['/', '/etc', '/tmp'].map((path) => [path, lstatSync(path).mode, lstatSync(path).uid]);
  return JSON.stringify([readFileSync(bait, 'utf8'), around, folders, existsSync('/tmp/skiff-escaped')]);
}

async function attempt(
  name: string,
  reference: string,
  refused: ErrorCode[] | undefined,
): Promise<string | undefined> {
  const before = outside();
  try {
    const image = await it.images.pull({ reference });
    assert.equal(refused, undefined, `${name} must be refused`);
    const { path } = await it.images.prepareRoot({ key: name, imageId: image.id });
    return path;
  } catch (error) {
    if (refused === undefined || !isSkiffError(error, ...refused)) throw error;
    assert.match(error.message, /^Cannot pull "/);
    assert.equal(it.images.find(reference), undefined, `${name} left an image`);
    return undefined;
  } finally {
    assert.equal(outside(), before, `${name} changed something outside`);
  }
}

for (const [title, hostile] of Object.entries<HostileLayer>(layerCases)) {
  test(`layer: ${title}`, async () => {
    const name = title.replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '');
    const layers = hostile.layers.map((layer) => (Buffer.isBuffer(layer) ? { tar: layer } : layer));
    await pushImage(registry.host, name, 'v1', { layers });
    const root = await attempt(name, `${registry.host}/${name}:v1`, hostile.refused);
    if (root !== undefined) hostile.check?.(root);
    await it.images.removeRoot(name);
  });
}

for (const [title, hostile] of Object.entries(manifestCases)) {
  test(`manifest: ${title}`, async () => {
    const name = title.replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '');
    await hostile.push(registry.host, name);
    await attempt(name, `${registry.host}/${name}:v1`, hostile.refused);
    await it.images.removeRoot(name);
  });
}

test('after all that, nothing half made is left, and an honest image is pulled', async () => {
  await it.images.prune({ all: true });
  assert.deepEqual(it.images.usage(), { path: it.directory, bytes: 0, inodes: 0 });
  for (const folder of ['layers', 'ingest', 'trash', 'roots'])
    assert.deepEqual(readdirSync(`${it.directory}/${folder}`), [], folder);
  const honest = layerCases['deep but allowed folders'];
  const [tar] = honest?.layers ?? [];
  if (!Buffer.isBuffer(tar)) throw new Error('no honest layer');
  for (const [name, blob] of Object.entries({
    gzip: gzipSync(tar),
    zstd: zstdCompressSync(tar),
    plain: tar,
  })) {
    await pushImage(registry.host, `honest-${name}`, 'v1', { layers: [{ tar, blob }] });
    await it.images.pull({ reference: `${registry.host}/honest-${name}:v1` });
  }
  assert.ok(Object.keys(layerCases).length + Object.keys(manifestCases).length >= 40);
});
