/** The floor of a pull: what hashing and inflating its bytes costs alone, on both processors. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

/** Measures it; the sums are of one processor. */
export async function floorOf(files: string[]): Promise<string> {
  let inflate = 0;
  let hash = 0;
  for (const file of files) {
    const packed = readFileSync(file);
    let start = performance.now();
    const plain = gunzipSync(packed);
    inflate += performance.now() - start;
    start = performance.now();
    createHash('sha256').update(packed).digest();
    createHash('sha256').update(plain).digest();
    hash += performance.now() - start;
  }
  const half = (inflate + hash) / 2;
  return `inflate ${(inflate / 1000).toFixed(2)} s + sha256 ${(hash / 1000).toFixed(2)} s of one processor, ${(half / 1000).toFixed(2)} s on two`;
}
