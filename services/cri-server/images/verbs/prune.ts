/** Removes images that nobody names or uses, and everything that belongs to no image. */
import { type Collected, collect } from '../collect.ts';
import type { ImageParts } from '../deps.ts';
import type { RootRecord } from '../store/model.ts';
import { removeImage } from './remove.ts';

/** What was removed. */
export interface Pruned extends Omit<Collected, 'deleted'> {
  /** Ids of images. */
  images: string[];
}

/**
 * Prunes.
 *
 * @param options.all also images with tags that no root uses; pinned ones always stay.
 */
export async function prune(
  parts: ImageParts,
  roots: readonly RootRecord[],
  options: { all?: boolean } = {},
): Promise<Pruned> {
  const used = new Set(roots.map((root) => root.imageId));
  const useless = parts.catalog
    .all()
    .filter((image) => !image.pinned && !used.has(image.id))
    .filter((image) => options.all === true || image.tags.length === 0);
  for (const image of useless) removeImage(parts, image);
  // Whoever prunes wants the space more than a quicker second attempt at a failed pull.
  parts.leases.dropExpiring();
  const { deleted, ...collected } = collect(parts, roots);
  await deleted;
  return { ...collected, images: useless.map((image) => image.id) };
}
