/** Garbage collection: removes blobs and layers that no image, root or lease needs. */
import { mkdirSync, renameSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { ImageParts } from './deps.ts';
import { discard } from './pull/fetch-layer.ts';
import type { RootRecord } from './store/model.ts';

/** What was removed. */
export interface Collected {
  blobs: string[];
  layers: number;
  /** Bytes of disk that this frees. */
  bytes: number;
  /** When the bytes are deleted; never rejects. */
  deleted: Promise<void>;
}

/**
 * Collects. Marking and taking away happen in one go without a pause in between, so that no pull can begin to
 * use something that is being taken away; the bytes are deleted after.
 *
 * @param roots the roots of containers.
 */
export function collect(parts: ImageParts, roots: readonly RootRecord[]): Collected {
  const { catalog, content, layers, leases, directory } = parts;
  const blobs = new Set<string>();
  const chains = new Set<string>(roots.flatMap((root) => root.chain));
  for (const image of catalog.all()) {
    blobs.add(image.id).add(image.manifest.digest);
    for (const index of image.indexes) blobs.add(index.digest);
    for (const layer of image.layers) {
      blobs.add(layer.descriptor.digest);
      chains.add(layer.chainId);
    }
  }
  const trash = join(directory, 'trash');
  mkdirSync(trash, { recursive: true, mode: 0o700 });
  const taken: string[] = [];
  const throwAway = (path: string) => {
    const to = join(trash, `${basename(path)}-${taken.length}-${Date.now()}`);
    renameSync(path, to);
    taken.push(to);
  };
  const collected = { blobs: [] as string[], layers: 0, bytes: 0 };
  for (const digest of content.list()) {
    if (blobs.has(digest) || leases.hasBlob(digest)) continue;
    collected.bytes += content.size(digest) ?? 0;
    throwAway(content.path(digest));
    collected.blobs.push(digest);
  }
  for (const digest of content.listPartials()) {
    if (leases.hasBlob(digest)) continue;
    collected.bytes += statSync(content.partialPath(digest)).size;
    throwAway(content.partialPath(digest));
  }
  for (const { chainId, layer } of layers.all()) {
    if (chains.has(chainId) || leases.hasLayer(chainId)) continue;
    layers.delete(chainId);
    // Another chain may share the directory.
    if (layers.all().some((other) => other.layer.directory === layer.directory)) continue;
    collected.layers += 1;
    collected.bytes += layer.diskBytes;
    throwAway(layers.path(layer));
  }
  const deleted = Promise.all(taken.map((path) => discard(parts, path))).then(() => {});
  return { ...collected, deleted };
}
