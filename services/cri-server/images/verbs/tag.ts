/** Gives an image another name. */
import { SkiffError } from '#foundation/base/errors.ts';
import type { ImageParts } from '../deps.ts';
import { formatReference, parseReference } from '../reference.ts';
import type { ImageRecord } from '../store/model.ts';

/**
 * Tags; the name is taken from any other image that has it.
 *
 * @throws SkiffError NOT_FOUND for the image, INVALID_ARGUMENT for the name.
 */
export function tagImage(
  { catalog }: Pick<ImageParts, 'catalog'>,
  source: string,
  target: string,
): ImageRecord {
  const image = catalog.find(source);
  if (image === undefined)
    throw new SkiffError('NOT_FOUND', `Cannot tag "${source}": there is no such image here; pull it first`);
  const reference = parseReference(target);
  if (reference.digest !== undefined)
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `Cannot tag "${source}" as "${target}": a digest cannot be given to an image`,
    );
  const name = formatReference(reference);
  const tagged = { ...image, tags: [...new Set([...image.tags, name])] };
  catalog.put(tagged);
  return tagged;
}
