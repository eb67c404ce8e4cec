/** Makes an image that is complete in the store known by its names. */
import type { Descriptor } from '#contracts/oci/image.ts';
import type { ImageParts } from '../deps.ts';
import type { ImageLayer, ImageRecord } from '../store/model.ts';
import type { ResolvedImage } from './resolve-image.ts';

/** The names that an image gets. */
export interface NewNames {
  tags: string[];
  digests: string[];
}

/**
 * Adds or changes the image's record; what it had before is kept. Everything it needs must be durable.
 *
 * @returns the record, when it is durable itself.
 */
export async function recordImage(
  parts: Pick<ImageParts, 'catalog' | 'layers' | 'synced'>,
  resolved: ResolvedImage,
  layers: ImageLayer[],
  names: NewNames,
): Promise<ImageRecord> {
  const { manifest, descriptor, image } = resolved;
  const before = parts.catalog.get(manifest.config.digest);
  const record: ImageRecord = {
    id: manifest.config.digest,
    tags: union(before?.tags, names.tags),
    digests: union(before?.digests, names.digests),
    manifest: descriptor,
    indexes: unionBy(before?.indexes ?? [], resolved.indexes),
    configSize: manifest.config.size,
    layers,
    size: descriptor.size + manifest.config.size + sum(layers),
    config: image.config ?? {},
    architecture: image.architecture,
    os: image.os,
    created: image.created,
    pinned: before?.pinned ?? false,
    pulledAt: before?.pulledAt ?? Date.now(),
  };
  const chain = layers.map((layer) => layer.chainId);
  const isNew = JSON.stringify(before) !== JSON.stringify(record);
  if (isNew || !parts.layers.areDurable(chain)) {
    parts.catalog.putGrouped(record, () => parts.layers.write(chain));
    parts.layers.written(chain);
  }
  await parts.synced(); // Also if another pull of the same has just written it.
  return record;
}

function union(before: string[] = [], added: string[]): string[] {
  return [...new Set([...before, ...added])];
}

function unionBy(before: Descriptor[], added: Descriptor[]): Descriptor[] {
  const known = new Set(before.map((each) => each.digest));
  return [...before, ...added.filter((each) => !known.has(each.digest))];
}

/** A layer that is in an image twice is transferred once. */
function sum(layers: ImageLayer[]): number {
  const sizes = new Map(layers.map(({ descriptor }) => [descriptor.digest, descriptor.size]));
  return sizes.values().reduce((total, size) => total + size, 0);
}
