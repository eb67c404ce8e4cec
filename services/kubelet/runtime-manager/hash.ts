/**
 * The hash that tells whether a running container is still the one its pod asks for. It must be the
 * original's to the bit: a node that changes from one kubelet to the other must not restart a container.
 */
import type { AnyContainer } from '../ports.ts';

/** FNV-1a, 32 bits (http://www.isthe.com/chongo/tech/comp/fnv/). */
function fnv32a(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/** FNV-1a, 64 bits, in hex: keys of back-offs. */
export function fnv64a(text: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(text)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return hash.toString(16);
}

/**
 * The hash of a container: FNV-1a over the original's printed form of the bytes of `{"image":...,"name":...}`.
 * Only name and image count (kubelet-facts 3).
 */
export function containerHash(container: Pick<AnyContainer, 'name' | 'image'>): string {
  const json = goJson({ image: container.image, name: container.name });
  const printed = `([]uint8)[${[...Buffer.from(json)].join(' ')}]`;
  return fnv32a(Buffer.from(printed)).toString(16);
}

/** JSON as the original encodes it: no empty image, and <, >, & escaped. */
function goJson(fields: { image: string | undefined; name: string }): string {
  const kept = fields.image ? fields : { name: fields.name };
  return JSON.stringify(kept).replace(/[<>&\u2028\u2029]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
