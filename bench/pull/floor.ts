/**
 * The floor of a pull: what inflating, hashing and writing its bytes costs alone, with the same libraries, one large
 * file for each layer. The six-layer image makes 13,000 files of them, the other one 6,000.
 */
import { createHash } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { isalInflaters } from '#foundation/linux/isal.ts';
import { syncFileSystem } from '#foundation/linux/sync.ts';
import { seconds } from './figures.ts';

/** The floor, in milliseconds on two processors, and in words what it consists of. */
export interface Floor {
  ms: number;
  parts: string;
}

/** Measures it; the sums are of one processor. */
export function floorOf(files: string[], place: string): Floor {
  const folder = mkdtempSync(`${place}/floor-`);
  const times = { inflate: 0, hash: 0, write: 0, sync: 0 };
  const timed = <T>(what: keyof typeof times, work: () => T): T => {
    const start = performance.now();
    const result = work();
    times[what] += performance.now() - start;
    return result;
  };
  for (const [at, file] of files.entries()) {
    const packed = readFileSync(file);
    const size = gunzipSync(packed).length;
    const plain = timed('inflate', () => inflate(packed, size));
    timed('hash', () => {
      createHash('sha256').update(packed).digest();
      createHash('sha256').update(plain).digest();
    });
    timed('write', () => {
      for (const [name, bytes] of [
        ['packed', packed],
        ['plain', plain],
      ] as const) {
        const fd = openSync(`${folder}/${name}-${at}`, 'w');
        for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
        closeSync(fd);
      }
    });
  }
  timed('sync', () => syncFileSystem(folder));
  rmSync(folder, { recursive: true });
  const { inflate: unpack, hash, write, sync } = times;
  const parts = `inflate ${seconds(unpack)}, sha256 ${seconds(hash)}, write ${seconds(write)} of one processor, sync ${seconds(sync)}`;
  return { ms: (unpack + hash + write) / 2 + sync, parts };
}

/** Inflates as the store does: with ISA-L where it is installed. */
function inflate(packed: Buffer, size: number): Buffer {
  const inflater = isalInflaters()?.();
  if (inflater === undefined) return gunzipSync(packed);
  const plain = Buffer.allocUnsafe(size);
  let [read, written] = [0, 0];
  for (let ended = false; !ended; ) {
    const step = inflater.step(packed.subarray(read), plain.subarray(written));
    read += step.consumed;
    written += step.produced;
    ended = step.ended;
  }
  inflater.close();
  return plain;
}
