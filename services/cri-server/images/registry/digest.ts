/** Digests of content: the algorithms of the image spec that Skiff accepts. */
import { createHash } from 'node:crypto';

/** Computes the digest of `bytes` with the algorithm of `like` (`sha256:...`). */
export function digestLike(like: string, bytes: Uint8Array): string {
  const algorithm = like.split(':')[0] ?? 'sha256';
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
}
