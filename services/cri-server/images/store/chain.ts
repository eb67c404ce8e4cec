/** Chain ids: a layer together with all below it. See the image specification's config.md, "Layer ChainID". */
import { createHash } from 'node:crypto';

/** The chain ids of layers with these diff ids, bottom first. */
export function chainIds(diffIds: readonly string[]): string[] {
  const chain: string[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : sha256(`${below} ${diffId}`));
  }
  return chain;
}

/** The sha256 digest of bytes or text. */
export function sha256(data: Uint8Array | string): string {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`;
}

/** The digest of bytes by the algorithm of another digest. */
export function digestLike(digest: string, data: Uint8Array): string {
  const algorithm = digest.slice(0, digest.indexOf(':'));
  return `${algorithm}:${createHash(algorithm).update(data).digest('hex')}`;
}
