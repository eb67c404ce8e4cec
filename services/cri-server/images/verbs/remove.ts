/** Removes images and their names. */
import type { ImageParts } from '../deps.ts';
import { formatReference, isDigest, parseReference } from '../reference.ts';
import type { ImageRecord } from '../store/model.ts';

/** What a removal did. */
export interface Removed {
  /** Names that are gone. */
  untagged: string[];
  /** Id of the image, if it is gone as well. */
  deleted?: string;
}

/**
 * Takes a name off an image, and removes the image when that was its last tag, as people expect of `rmi`. An id
 * or a digest removes the image with all its names. An absent image is success: nothing is removed.
 */
export function removeName({ catalog }: Pick<ImageParts, 'catalog'>, reference: string): Removed {
  const image = catalog.find(reference);
  if (image === undefined) return { untagged: [] };
  const tag = tagOf(image, reference);
  const left = image.tags.filter((each) => each !== tag);
  if (tag === undefined || left.length === 0) return removeImage({ catalog }, image);
  catalog.put({ ...image, tags: left });
  return { untagged: [tag] };
}

/** Removes an image with all its names. */
export function removeImage({ catalog }: Pick<ImageParts, 'catalog'>, image: ImageRecord): Removed {
  catalog.delete(image.id);
  return { untagged: [...image.tags, ...image.digests], deleted: image.id };
}

function tagOf(image: ImageRecord, reference: string): string | undefined {
  if (isDigest(reference) || image.id === `sha256:${reference}`) return undefined;
  return image.tags.find((tag) => tag === reference || tag === normalised(reference));
}

function normalised(reference: string): string | undefined {
  try {
    return formatReference(parseReference(reference));
  } catch {
    return undefined; // An id's prefix.
  }
}
