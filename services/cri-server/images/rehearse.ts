/**
 * Rehearses a pull: a small image that is made up here goes the way that every image goes, apart from the network, and
 * is thrown away. The server's first real pull then finds its threads started and its code compiled, and turns of the
 * event loop are short from the first on. It is done once, when the server has nothing else to do.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Descriptor } from '#contracts/oci/image.ts';
import { MediaType } from '#contracts/oci/media-types.ts';
import { messageOf } from '#foundation/base/errors.ts';
import { keyedLocks } from '#foundation/base/locks.ts';
import type { Store } from '../store/store.ts';
import { writeTar } from './archive/tar-writer.ts';
import type { ImageParts } from './deps.ts';
import { createProgressBoard } from './progress.ts';
import { type ImageSupply, obtainImage } from './pull/obtain.ts';
import { sharedWork } from './shared-work.ts';
import { openCatalog } from './store/catalog.ts';
import { sha256 } from './store/chain.ts';
import { openContent } from './store/content.ts';
import { openLayers } from './store/layers.ts';
import { createLeases } from './store/leases.ts';
import type { WorkerPool } from './workers/pool.ts';

/** Layers and files in each: enough that V8 compiles what they run through, few enough to take a moment. */
const [layerCount, fileCount] = [12, 40];

/** When to rehearse. */
export interface WhenIdle {
  /** Milliseconds between two looks at whether the server is idle. */
  everyMs?: number;
  /** Milliseconds of processor time that the process has used; asked of the kernel unless told. */
  used?: () => number;
}

/** How much of one processor an idle server may have used since the last look. */
const idleShare = 0.1;

/**
 * Calls `rehearse` once the process is idle, and never keeps it alive; disposing ends a rehearsal under way and waits
 * for its end.
 */
export function rehearseWhenIdle(
  rehearse: (signal: AbortSignal) => Promise<void>,
  { everyMs = 1000, used = processorTime }: WhenIdle = {},
): AsyncDisposable {
  const stop = new AbortController();
  let running: Promise<void> | undefined;
  let before = used();
  const timer = setInterval(() => {
    const now = used();
    const isIdle = now - before <= idleShare * everyMs;
    before = now;
    if (!isIdle) return;
    clearInterval(timer);
    running = rehearse(stop.signal);
  }, everyMs);
  timer.unref();
  return {
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer);
      stop.abort();
      await running;
    },
  };
}

function processorTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Rehearses; never rejects, since a failure only means that the first pull is slower. */
export async function rehearse(parts: ImageParts, signal: AbortSignal): Promise<void> {
  let directory: string | undefined;
  try {
    // Start-up removes it by this name, should the server die now.
    directory = await mkdtemp(join(parts.directory, 'build-'));
    const stage = stageOf(parts, directory);
    const lease = stage.leases.open();
    const tracker = stage.board.begin('rehearsal');
    await parts.registry.prepare();
    await obtainImage(stage, await makeUp(parts), { lease, tracker }, signal);
  } catch (error) {
    parts.logger.debug({ error: messageOf(error) }, 'the rehearsal of a pull failed');
  } finally {
    if (directory !== undefined) await rm(directory, { recursive: true, force: true }).catch(() => {});
  }
}

/** An image store that lasts as long as the rehearsal, with the threads of the real one. */
function stageOf(parts: ImageParts, directory: string): ImageParts {
  const store = forgetful();
  // Nothing of it needs to last: it shall not wait for the disk.
  const run: WorkerPool['run'] = (name, input, hints) =>
    name === 'sync' ? Promise.resolve(undefined as never) : parts.pool.run(name, input, hints);
  const pool = { ...parts.pool, run };
  return {
    ...parts,
    directory,
    pool,
    catalog: openCatalog(store, store),
    synced: store.synced,
    verified: new Set(),
    content: openContent(directory),
    layers: openLayers({ directory, store, grouped: store, pool }),
    leases: createLeases(),
    board: createProgressBoard(),
    layerWork: sharedWork(),
    locks: keyedLocks(),
  };
}

/** A store that keeps nothing. */
function forgetful(): Store {
  return {
    records: () => ({ put: () => {}, get: () => undefined, delete: () => {}, all: () => [] }),
    transaction: (work) => work(),
    synced: async () => {},
    close: () => {},
    [Symbol.dispose]: () => {},
  };
}

async function makeUp({ platform }: ImageParts): Promise<ImageSupply> {
  const blobs = new Map<string, Buffer>();
  const describe = (mediaType: string, bytes: Buffer): Descriptor => {
    const digest = sha256(bytes);
    blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const json = (mediaType: string, value: unknown) => describe(mediaType, Buffer.from(JSON.stringify(value)));
  const tars = await Promise.all(Array.from({ length: layerCount }, (_, at) => tarOf(at)));
  const config = json(MediaType.ociConfig, {
    ...platform,
    rootfs: { type: 'layers', diff_ids: tars.map(sha256) },
  });
  const packed = await Promise.all(tars.map((tar) => promisify(gzip)(tar)));
  const layers = packed.map((bytes) => describe(MediaType.ociLayerGzip, bytes));
  const descriptor = json(MediaType.ociManifest, {
    schemaVersion: 2,
    mediaType: MediaType.ociManifest,
    config,
    layers,
  });
  const blob = async ({ digest }: Descriptor) => blobs.get(digest) ?? Buffer.alloc(0);
  return {
    origin: { top: { descriptor, bytes: await blob(descriptor) }, manifest: blob, blob },
    openLayer: async (layer, offset) => Readable.from([(await blob(layer)).subarray(offset)]),
    names: () => ({ tags: [], digests: [] }),
  };
}

async function tarOf(layer: number): Promise<Buffer> {
  const out = new PassThrough();
  const names = Array.from({ length: fileCount }, (_, at) => `rehearsal/${layer}/${at}`);
  const writing = writeTar(
    out,
    names.map((name) => ({ name, bytes: Buffer.from(name.repeat(40)) })),
  ).then(() => out.end());
  const [tar] = await Promise.all([buffer(out), writing]);
  return tar;
}
