/** Removes images and their names. */
import { SkiffError } from '#foundation/base/errors.ts';
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

/** How to take a name off. */
export interface RemoveOptions {
  /** Remove the image even if containers use it. They keep their layers, and a restart needs the image again. */
  force?: boolean;
}

/**
 * Takes a name off an image, and removes the image when that was its last tag, as people expect of `rmi`. An id
 * or a digest removes the image with all its names. An absent image is success: nothing is removed.
 *
 * @param usersOf the keys of the roots that were made from an image.
 * @throws SkiffError FAILED_PRECONDITION if the image would go and containers use it, unless forced.
 */
export function removeName(
  { catalog }: Pick<ImageParts, 'catalog'>,
  usersOf: (imageId: string) => string[],
  reference: string,
  { force = false }: RemoveOptions = {},
): Removed {
  const image = catalog.find(reference);
  if (image === undefined) return { untagged: [] };
  const tag = tagOf(image, reference);
  const left = image.tags.filter((each) => each !== tag);
  if (tag !== undefined && left.length > 0) {
    catalog.put({ ...image, tags: left });
    return { untagged: [tag] };
  }
  const users = usersOf(image.id);
  if (users.length > 0 && !force) throw inUse(reference, users);
  return removeImage({ catalog }, image);
}

/** Users that a message names. */
const namedUsers = 3;

/** The containers that have roots of these keys, for a message. */
export function describeUsers(keys: readonly string[]): string {
  // An image volume has a root of its own beside its container's; its key begins with the container's id.
  const users = [...new Set(keys.map((key) => key.slice(0, 12)))];
  const named = users.slice(0, namedUsers);
  const more = users.length > namedUsers ? ` and ${users.length - namedUsers} more` : '';
  return `the ${users.length === 1 ? 'container' : 'containers'} ${named.join(', ')}${more}`;
}

function inUse(reference: string, keys: readonly string[]): SkiffError {
  return new SkiffError(
    'FAILED_PRECONDITION',
    `Cannot remove "${reference}": used by ${describeUsers(keys)}; remove them first, or force it (--force): they keep running, but the image must be pulled again for new ones`,
  );
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
