/**
 * Removes images that nothing uses, the least recently used first, when their disk fills up or they grow too old. The
 * collector remembers when it first saw and last saw each image used; the runtime does not tell.
 */
import { statfs } from 'node:fs/promises';
import type { CriClient } from '#contracts/cri/client.ts';
import type { Image } from '#contracts/cri/runtime_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { EventRecorder, KubeletView } from '../ports.ts';

/** What the collection needs. */
export interface ImageGcDeps {
  cri: Pick<CriClient['images'], 'listImages' | 'removeImage' | 'imageFsInfo'>;
  view: Pick<KubeletView, 'imagesInUse' | 'sourcesReady'>;
  clock: Clock;
  events: Pick<EventRecorder, 'node'>;
  log: Logger;
  /** Percent of the disk in use above which images go, and down to which. */
  highPercent: number;
  lowPercent: number;
  /** Milliseconds: younger images stay. */
  minAgeMs: number;
  /** Milliseconds without use after which an image goes whatever the disk says; 0 for never. */
  maxAgeMs: number;
  /** The size of the disk that holds `mountpoint`, in bytes; for tests. */
  diskOf?: (mountpoint: string) => Promise<{ capacity: number; available: number }>;
}

/** The collector. */
export interface ImageCollector {
  /** One round: old images, then as many as the disk needs. @throws SkiffError when too little could be freed. */
  collect(signal: AbortSignal): Promise<void>;
  /** Removes every image that may go: eviction asks for it. @returns bytes freed. */
  removeUnused(signal: AbortSignal): Promise<number>;
}

interface Record {
  firstSeen: number;
  lastUsed: number;
}

/** Makes the collector. */
export function createImageCollector(deps: ImageGcDeps): ImageCollector {
  const records = new Map<string, Record>();
  const startedAt = deps.clock.now();
  return {
    async collect(signal) {
      if (!deps.view.sourcesReady()) return;
      const now = deps.clock.now();
      const free = await freeImages(deps, records, now, signal);
      // Use before the kubelet's start is not known: ages count from then.
      if (deps.maxAgeMs > 0 && now - startedAt > deps.maxAgeMs)
        for (const image of free)
          if (now - (records.get(image.id)?.lastUsed ?? now) > deps.maxAgeMs)
            await remove(deps, records, image, signal);
      await freeDisk(deps, records, now, signal);
    },
    async removeUnused(signal) {
      const free = await freeImages(deps, records, deps.clock.now(), signal);
      let freed = 0;
      for (const image of free) freed += await remove(deps, records, image, signal);
      return freed;
    },
  };
}

/** The images nothing uses, least recently used first; the records are brought up to date on the way. */
async function freeImages(
  { cri, view }: ImageGcDeps,
  records: Map<string, Record>,
  now: number,
  signal: AbortSignal,
): Promise<Image[]> {
  const { images } = await cri.listImages({}, { signal });
  const inUse = view.imagesInUse();
  const isUsed = (image: Image) =>
    [image.id, ...image.repoTags, ...image.repoDigests].some((name) => inUse.has(name));
  for (const image of images) {
    const record = records.get(image.id) ?? { firstSeen: now, lastUsed: 0 };
    records.set(image.id, isUsed(image) ? { ...record, lastUsed: now } : record);
  }
  const present = new Set(images.map(({ id }) => id));
  for (const id of records.keys()) if (!present.has(id)) records.delete(id);
  const order = (image: Image) => records.get(image.id) ?? { firstSeen: now, lastUsed: 0 };
  return images
    .filter((image) => !image.pinned && !isUsed(image))
    .sort((a, b) => order(a).lastUsed - order(b).lastUsed || order(a).firstSeen - order(b).firstSeen);
}

async function freeDisk(
  deps: ImageGcDeps,
  records: Map<string, Record>,
  now: number,
  signal: AbortSignal,
): Promise<void> {
  const { imageFilesystems } = await deps.cri.imageFsInfo({}, { signal });
  const mountpoint = imageFilesystems[0]?.fsId?.mountpoint;
  if (mountpoint === undefined) return;
  const { capacity, available } = await (deps.diskOf ?? diskOf)(mountpoint);
  if (capacity === 0) return;
  const usedPercent = 100 - Math.floor((available * 100) / capacity);
  if (usedPercent < deps.highPercent) return;
  const wanted = (capacity * (100 - deps.lowPercent)) / 100 - available;
  let freed = 0;
  for (const image of await freeImages(deps, records, now, signal)) {
    if (freed >= wanted) break;
    if (now - (records.get(image.id)?.firstSeen ?? now) < deps.minAgeMs) continue;
    freed += await remove(deps, records, image, signal);
  }
  if (freed >= wanted) return;
  const message = `Failed to garbage collect required amount of images. Attempted to free ${Math.ceil(wanted)} bytes, but only found ${freed} bytes eligible to free.`;
  deps.events.node('Warning', 'FreeDiskSpaceFailed', message);
  throw new SkiffError('RESOURCE_EXHAUSTED', message);
}

/** @returns the bytes that went; 0 if the runtime would not. */
async function remove(
  { cri, log }: ImageGcDeps,
  records: Map<string, Record>,
  image: Image,
  signal: AbortSignal,
): Promise<number> {
  try {
    await cri.removeImage({ image: { image: image.id } }, { signal });
    records.delete(image.id);
    return Number(image.size);
  } catch (error) {
    log.warn({ image: image.id, err: error }, 'cannot remove an unused image');
    return 0;
  }
}

async function diskOf(mountpoint: string): Promise<{ capacity: number; available: number }> {
  const { blocks, bavail, bsize } = await statfs(mountpoint);
  return { capacity: blocks * bsize, available: bavail * bsize };
}
