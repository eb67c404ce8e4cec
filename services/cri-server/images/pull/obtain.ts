/** Brings an image into the store from wherever it is: a registry, an archive, a build. */
import type { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Descriptor } from '#contracts/oci/image.ts';
import { syncFileSystemBeside } from '#foundation/linux/sync.ts';
import type { ImageParts } from '../deps.ts';
import type { PullTracker } from '../progress.ts';
import type { Lease } from '../store/leases.ts';
import type { ImageRecord } from '../store/model.ts';
import { ensureLayers } from './ensure-layers.ts';
import { type NewNames, recordImage } from './record.ts';
import { type ImageOrigin, type ResolvedImage, resolveImage } from './resolve-image.ts';
import { writeBehind } from './write-behind.ts';

/** Where an image comes from, and what it is to be called. */
export interface ImageSupply {
  origin: ImageOrigin;
  /** Opens a layer's blob from a byte on. */
  openLayer(descriptor: Descriptor, offset: number, signal: AbortSignal): Promise<Readable>;
  names(resolved: ResolvedImage): NewNames;
}

/**
 * Obtains an image: verifies, unpacks what is missing, makes it durable, records it. Nothing of it is known
 * before all of it is durable.
 *
 * @throws SkiffError as `resolveImage` and `fetchLayer` do.
 */
export async function obtainImage(
  parts: ImageParts,
  supply: ImageSupply,
  { lease, tracker }: { lease: Lease; tracker: PullTracker },
  signal: AbortSignal,
): Promise<ImageRecord> {
  const { content, platform } = parts;
  const resolved = await resolveImage({ content, platform, lease }, supply.origin);
  const known = completeImage(parts, resolved);
  if (known !== undefined) return recordImage(parts, resolved, known.layers, supply.names(resolved));
  parts.pool.warm();
  await nextTurn(); // Checking what the image says took its time.
  tracker.layers(resolved.manifest.layers);
  const behind = writeBehind(() => syncFileSystemBeside(parts.directory));
  const layers = await ensureLayers(
    parts,
    {
      layers: resolved.manifest.layers,
      diffIds: resolved.image.rootfs.diff_ids,
      lease,
      open: supply.openLayer,
      onLayer: (digest, change) => tracker.layer(digest, change),
      onUnpacked: behind.unpacked,
    },
    signal,
  );
  await behind.settled();
  // Always: even layers that were here may be another pull's, not synced yet, and manifest and config are new.
  await parts.pool.run('sync', parts.directory);
  signal.throwIfAborted();
  return recordImage(parts, resolved, layers, supply.names(resolved));
}

/** The image if it is here by the same manifest, with all that belongs to it. */
function completeImage(parts: ImageParts, resolved: ResolvedImage): ImageRecord | undefined {
  const image = parts.catalog.get(resolved.manifest.config.digest);
  if (image === undefined || image.manifest.digest !== resolved.descriptor.digest) return undefined;
  const isHere = image.layers.every(
    ({ descriptor, chainId }) =>
      parts.layers.get(chainId) !== undefined && parts.content.size(descriptor.digest) === descriptor.size,
  );
  return isHere ? image : undefined;
}
