import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { isSkiffError } from '#foundation/base/errors.ts';
import { gzipInflater, type Inflater, zstdInflater } from './inflate.ts';
import { isalInflaters } from './isal.ts';

/** Decompresses all members of `input`, given in pieces of `piece` bytes. */
function inflateAll(inflater: Inflater, input: Buffer, piece: number): Buffer {
  const output = Buffer.alloc(10_000);
  const parts: Buffer[] = [];
  let ended = false;
  for (let at = 0; at < input.length; ) {
    if (ended) inflater.reset();
    const step = inflater.step(input.subarray(at, at + piece), output);
    parts.push(Buffer.from(output.subarray(0, step.produced)));
    at += step.consumed;
    ended = step.ended;
    // What fits no more into the output comes with the next call, also after the last byte of input.
    for (let more = step; at >= input.length && !ended; ended = more.ended) {
      more = inflater.step(Buffer.alloc(0), output);
      parts.push(Buffer.from(output.subarray(0, more.produced)));
      if (more.produced === 0) return Buffer.concat(parts);
    }
  }
  inflater.close();
  return Buffer.concat(parts);
}

const data = Buffer.concat([randomBytes(100_000), Buffer.alloc(500_000, 'repeated '), Buffer.alloc(3)]);
const isal = isalInflaters();
const kinds = {
  gzip: { make: gzipInflater, pack: gzipSync },
  zstd: { make: zstdInflater, pack: zstdCompressSync },
  ...(isal === undefined ? {} : { isal: { make: isal, pack: gzipSync } }),
};

for (const [name, { make, pack }] of Object.entries(kinds)) {
  test(`${name} is decompressed in pieces of any size, members one after another`, () => {
    const packed = Buffer.concat([pack(data), pack(Buffer.from('second'))]);
    for (const piece of [1000, 65_536, packed.length])
      assert.ok(
        inflateAll(make(), packed, piece).equals(Buffer.concat([data, Buffer.from('second')])),
        String(piece),
      );
  });
  test(`${name} that is damaged is an error`, () => {
    const packed = Buffer.from(pack(Buffer.alloc(1000, 'x')));
    packed.fill(0x55, 2, 12);
    assert.throws(
      () => inflateAll(make(), packed, packed.length),
      (error) => isSkiffError(error, 'DATA_LOSS'),
    );
  });
}
