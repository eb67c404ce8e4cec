/** What the rest of the CRI server sees of an image. */
import type { LocalImage } from '../ports.ts';
import type { ImageRecord } from './store/model.ts';

/** An image as `ports.ts` has it. */
export function toLocalImage(image: ImageRecord): LocalImage {
  return {
    id: image.id,
    repoTags: image.tags,
    repoDigests: image.digests,
    size: BigInt(image.size),
    config: image.config,
    pinned: image.pinned,
  };
}
