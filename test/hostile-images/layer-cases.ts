/** Hostile layers: what each is, and what must become of it. */
import assert from 'node:assert/strict';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import type { ErrorCode } from '#foundation/base/errors.ts';
import type { LayerSpec } from './image.ts';
import { entry, paxHeader, type TarSpec, tar } from './tar.ts';

/** One case. */
export interface HostileLayer {
  layers: (Buffer | LayerSpec)[];
  /** The codes that the pull may be refused with; undefined if it must go well. */
  refused?: ErrorCode[];
  /** Looks at the mounted root of one that went well. */
  check?: (root: string) => void;
}

const damaged: ErrorCode[] = ['DATA_LOSS'];
const invalid: ErrorCode[] = ['INVALID_ARGUMENT'];
const tooMuch: ErrorCode[] = ['RESOURCE_EXHAUSTED'];
const outside = { content: 'escaped' };
const bait = '/tmp/skiff-bait';
const one = (...entries: (TarSpec | Buffer)[]) => [tar(...entries)];
const isFile = (root: string, path: string, content: string) =>
  assert.equal(readFileSync(`${root}/${path}`, 'utf8'), content);
const honest = tar({ name: 'a', content: 'a' });

/** A frame that decompressors of zstd pass over: RFC 8878, 3.1.2. */
function skippable(content: Buffer): Buffer {
  const head = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]);
  head.writeUInt32LE(content.length, 4);
  return Buffer.concat([head, content]);
}

/** A gzip whose content is changed after the fact, with everything else as it should be. */
function flipped(blob: Buffer): Buffer {
  const copy = Buffer.from(blob);
  const at = copy.length - 12;
  copy[at] = (copy[at] ?? 0) ^ 0xff;
  return copy;
}

export const layerCases: Record<string, HostileLayer> = {
  'a name with dot dot': { layers: one({ name: '../../tmp/skiff-escaped', ...outside }), refused: invalid },
  'dot dot in the middle': {
    layers: one({ name: 'a/../../../tmp/skiff-escaped', ...outside }),
    refused: invalid,
  },
  'only dot dot': { layers: one({ name: '..', type: '5' }), refused: invalid },
  'dot dot in a pax path': {
    layers: one({ name: 'x', pax: { path: '../../../tmp/skiff-escaped' }, ...outside }),
    refused: invalid,
  },
  'an absolute name': {
    layers: one({ name: '/tmp/skiff-escaped', ...outside }),
    check: (root) => isFile(root, 'tmp/skiff-escaped', 'escaped'),
  },
  'a file through an absolute link': {
    layers: one(
      { name: 'tmp/', type: '5' },
      { name: 'l', type: '2', link: '/tmp' },
      { name: 'l/skiff-escaped', ...outside },
    ),
    check: (root) => isFile(root, 'tmp/skiff-escaped', 'escaped'),
  },
  'a file through a link that leads up': {
    layers: one(
      { name: 'tmp/', type: '5' },
      { name: 'l', type: '2', link: '../../../../../tmp' },
      { name: 'l/skiff-escaped', ...outside },
    ),
    check: (root) => isFile(root, 'tmp/skiff-escaped', 'escaped'),
  },
  'a file through a link that leads nowhere': {
    layers: one({ name: 'l', type: '2', link: '/nowhere' }, { name: 'l/x', ...outside }),
    refused: invalid,
  },
  'a file over a link to the bait': {
    layers: one({ name: 'l', type: '2', link: bait }, { name: 'l', ...outside }),
    check: (root) => assert.ok(lstatSync(`${root}/l`).isFile()),
  },
  'a link over a folder of the layer below': {
    layers: [
      tar({ name: 'd/', type: '5' }, { name: 'd/x', content: 'x' }),
      tar({ name: 'd', type: '2', link: '/tmp' }),
    ],
    check: (root) => assert.ok(lstatSync(`${root}/d`).isSymbolicLink()),
  },
  'a file below what is a link in the layer below': {
    layers: [tar({ name: 'd', type: '2', link: '/tmp' }), tar({ name: 'd/skiff-escaped', ...outside })],
    check: (root) => isFile(root, 'd/skiff-escaped', 'escaped'),
  },
  'a whiteout below a link': {
    layers: [tar({ name: 'd', type: '2', link: '/tmp' }), tar({ name: 'd/.wh.skiff-bait' })],
  },
  'links in a circle': {
    layers: one(
      { name: 'a', type: '2', link: 'b' },
      { name: 'b', type: '2', link: 'a' },
      { name: 'a/x', ...outside },
    ),
    refused: invalid,
  },
  'a hard link to a file outside': { layers: one({ name: 'h', type: '1', link: bait }), refused: invalid },
  'a hard link with dot dot': {
    layers: one({ name: 'h', type: '1', link: '../../../tmp/skiff-bait' }),
    refused: invalid,
  },
  'a hard link through a link to outside': {
    layers: one({ name: 'l', type: '2', link: '/tmp' }, { name: 'h', type: '1', link: 'l/skiff-bait' }),
    refused: invalid,
  },
  'a hard link to a link, written through': {
    layers: one(
      { name: 'l', type: '2', link: bait },
      { name: 'h', type: '1', link: 'l' },
      { name: 'h', ...outside },
    ),
    check: (root) => assert.ok(lstatSync(`${root}/h`).isFile() && lstatSync(`${root}/l`).isSymbolicLink()),
  },
  'a hard link to a folder': {
    layers: one({ name: 'd/', type: '5' }, { name: 'h', type: '1', link: 'd' }),
    refused: invalid,
  },
  'a hard link to itself': { layers: one({ name: 'h', type: '1', link: 'h' }) },
  'a hard link to what comes later': {
    layers: one({ name: 'h', type: '1', link: 'x' }, { name: 'x', content: 'x' }),
    refused: invalid,
  },
  'a file as folder': {
    layers: one({ name: 'f', content: 'f' }, { name: 'f/x', ...outside }),
    refused: invalid,
  },
  'the root as a file': {
    layers: one({ name: './', type: '0', content: '' }, { name: '.', content: 'x' }),
    refused: invalid,
  },
  'the root as a link': { layers: one({ name: '.', type: '2', link: '/tmp' }), refused: invalid },
  'an empty name': { layers: one({ name: '', ...outside }), refused: invalid },
  'a whiteout of dot dot': { layers: one({ name: '.wh...' }), refused: invalid },
  'a whiteout of dot': { layers: one({ name: 'd/.wh..' }), refused: invalid },
  'a whiteout of nothing': { layers: one({ name: '.wh.' }), refused: invalid },
  'a file below a whiteout': { layers: one({ name: '.wh.d/x', ...outside }), refused: invalid },
  'AUFS leftovers': {
    layers: one({ name: '.wh..wh.plnk/1.2', content: 'x' }, { name: 'a' }),
    check: (root) => assert.deepEqual(readdirSync(root), ['a']),
  },
  'a whiteout and the file itself': {
    layers: one({ name: 'x', content: 'x' }, { name: '.wh.x' }),
    check: (root) => isFile(root, 'x', 'x'),
  },
  'overlay attributes in the image': {
    layers: [
      tar({ name: 'secret/', type: '5' }, { name: 'secret/x', content: 'x' }),
      tar({
        name: 'd/',
        type: '5',
        pax: {
          'SCHILY.xattr.trusted.overlay.redirect': '/secret',
          'SCHILY.xattr.trusted.overlay.opaque': 'y',
        },
      }),
    ],
    check: (root) => assert.deepEqual(readdirSync(`${root}/d`), []),
  },
  'a name longer than a path may be': {
    layers: one({ name: 'x', pax: { path: 'd/'.repeat(3000) } }),
    refused: invalid,
  },
  'a component longer than a name may be': {
    layers: one({ name: 'x', pax: { path: 'n'.repeat(300) } }),
    refused: invalid,
  },
  'a link target longer than a path may be': {
    layers: one({ name: 'l', type: '2', pax: { linkpath: 'x'.repeat(5000) } }),
    refused: invalid,
  },
  'deep but allowed folders': {
    layers: one({ name: 'x', content: 'deep', pax: { path: `${'d/'.repeat(1000)}x` } }),
  },
  'NUL in a pax path': { layers: one({ name: 'x', pax: { path: 'a\0b' } }), refused: damaged },
  'a pax record that claims to be longer': {
    layers: one(entry({ name: 'p', type: 'x', content: '99 path=x\n' }), { name: 'a' }),
    refused: damaged,
  },
  'a pax record of length zero': {
    layers: one(entry({ name: 'p', type: 'x', content: '0 path=x\n' }), { name: 'a' }),
    refused: damaged,
  },
  'a huge pax header': {
    layers: one(entry({ name: 'p', type: 'x', size: 2 ** 31, content: '' }), { name: 'a' }),
    refused: damaged,
  },
  'too many global records': {
    layers: one(
      ...Array.from({ length: 3 }, (_, at) =>
        paxHeader(
          Object.fromEntries(Array.from({ length: 500 }, (_each, index) => [`k${at}-${index}`, 'v'])),
          'g',
        ),
      ),
      { name: 'a' },
    ),
    refused: damaged,
  },
  'a wrong checksum': { layers: one({ name: 'a', keepChecksum: true }), refused: damaged },
  'a size that is no number': {
    layers: one({ name: 'a', patch: (header) => void header.write('zzz', 124) }),
    refused: damaged,
  },
  'a negative size': { layers: one({ name: 'a', size: -5 }), refused: damaged },
  'a size beyond all numbers': {
    layers: one({ name: 'a', patch: (header) => void header.fill(0xff, 124, 136).writeUInt8(0x80, 124) }),
    refused: damaged,
  },
  'a size beyond the archive': { layers: one({ name: 'a', size: 10_000_000 }), refused: damaged },
  'an unknown type': { layers: one({ name: 'a', type: '?' }), refused: damaged },
  'a user id beyond all': { layers: one({ name: 'a', pax: { uid: '4294967295' } }), refused: damaged },
  'sparse regions that overlap': {
    layers: one({
      name: 'a',
      content: 'x'.repeat(20),
      pax: { 'GNU.sparse.map': '0,10,5,10', 'GNU.sparse.size': '100' },
    }),
    refused: damaged,
  },
  'a sparse map that never ends': {
    layers: one({
      name: 'a',
      content: '9'.repeat(5000),
      pax: { 'GNU.sparse.major': '1', 'GNU.sparse.realsize': '10' },
    }),
    refused: damaged,
  },
  'a sparse file larger than any disk': {
    layers: one({
      name: 'a',
      content: '',
      pax: { 'GNU.sparse.map': '', 'GNU.sparse.size': String(2 ** 52) },
    }),
    refused: ['INTERNAL', 'INVALID_ARGUMENT', 'RESOURCE_EXHAUSTED'],
  },
  'not a tar': { layers: [{ tar: Buffer.from('hello '.repeat(1000)) }], refused: damaged },
  'nothing at all': { layers: [{ tar: Buffer.alloc(0), blob: Buffer.alloc(0) }, honest] },
  'a gzip that ends early': {
    layers: [{ tar: honest, blob: gzipSync(honest).subarray(0, 40) }],
    refused: damaged,
  },
  'a gzip with a wrong checksum': {
    layers: [{ tar: honest, blob: flipped(gzipSync(honest)) }],
    refused: damaged,
  },
  'a zstd that ends early': {
    layers: [{ tar: honest, blob: zstdCompressSync(honest).subarray(0, 30) }],
    refused: damaged,
  },
  'rubbish after the gzip': {
    layers: [{ tar: honest, blob: Buffer.concat([gzipSync(honest), Buffer.from('rubbish')]) }],
    refused: damaged,
  },
  'zeros after the gzip': {
    layers: [{ tar: honest, blob: Buffer.concat([gzipSync(honest), Buffer.alloc(1000)]) }],
  },
  'a layer in two gzip members': {
    layers: [
      {
        tar: honest,
        blob: Buffer.concat([gzipSync(honest.subarray(0, 700)), gzipSync(honest.subarray(700))]),
      },
    ],
  },
  'a skippable zstd frame before the layer': {
    layers: [
      {
        tar: honest,
        blob: Buffer.concat([skippable(Buffer.from([1, 2, 3, 4])), zstdCompressSync(honest)]),
      },
    ],
  },
  'zstd:chunked: a frame for each file, and frames to skip with an index behind them': {
    layers: [
      {
        tar: honest,
        blob: Buffer.concat([
          zstdCompressSync(honest.subarray(0, 512)),
          zstdCompressSync(honest.subarray(512)),
          skippable(Buffer.from('{"version":1,"entries":[]}')),
          skippable(Buffer.alloc(64, 'GNUlInUx')),
        ]),
      },
    ],
    check: (root) => isFile(root, 'a', 'a'),
  },
  'a layer compressed with xz': {
    layers: [{ tar: honest, blob: Buffer.from('fd377a585a000004e6d6b4460200210116000000', 'hex') }],
    refused: invalid,
  },
  'another layer than the config says': {
    layers: [{ tar: honest, blob: gzipSync(tar({ name: 'b', content: 'b' })) }],
    refused: damaged,
  },
  'a bomb by ratio': {
    layers: one({ name: 'zeros', content: Buffer.alloc(30 * 2 ** 20) }),
    refused: tooMuch,
  },
  'a bomb by size': {
    layers: [
      {
        tar: tar({ name: 'zeros', content: Buffer.alloc(70 * 2 ** 20) }),
        mediaType: 'application/vnd.oci.image.layer.v1.tar',
      },
    ],
    refused: tooMuch,
  },
  'a bomb by count': {
    layers: one(...Array.from({ length: 2500 }, (_, at) => ({ name: `f${at}` }))),
    refused: tooMuch,
  },
  'a bomb behind the end of the archive': {
    layers: [{ tar: Buffer.concat([honest, Buffer.alloc(30 * 2 ** 20)]) }],
    refused: tooMuch,
  },
};
