/** Layers that hold every odd thing that a tar can hold and an image may. */
import { entry, paxHeader, tar } from './tar.ts';

const octal = (value: number, length: number) => `${value.toString(8).padStart(length - 1, '0')}\0`;

/** A GNU long name or link, for the next entry. */
function gnuLong(type: 'L' | 'K', text: string): Buffer {
  return entry({ name: '././@LongLink', type, content: `${text}\0`, patch: gnuMagic });
}

function gnuMagic(header: Buffer): void {
  header.write('ustar  \0', 257, 'latin1');
}

const begin = Buffer.from('begin'.padEnd(512, '\0'));
const middle = Buffer.from('middle'.padEnd(512, '\0'));
/** Where the data of each sparse file is: `offset, length` pairs; the last tells the end. */
const regions = [0, 512, 100_000, 512, 300_000, 0];

function sparseGnu(): Buffer {
  return entry({
    name: 'sparse-gnu',
    type: 'S',
    content: Buffer.concat([begin, middle]),
    patch: (header) => {
      gnuMagic(header);
      header.fill(0, 345, 512);
      for (let at = 0; at < 3; at += 1) {
        header.write(octal(regions[at * 2] ?? 0, 12), 386 + at * 24, 'latin1');
        header.write(octal(regions[at * 2 + 1] ?? 0, 12), 398 + at * 24, 'latin1');
      }
      header.write(octal(300_000, 12), 483, 'latin1');
    },
  });
}

function sparse01(): Buffer {
  const pax = {
    'GNU.sparse.map': regions.join(','),
    'GNU.sparse.size': '300000',
    'GNU.sparse.name': 'sparse-01',
  };
  return entry({ name: 'GNUSparseFile.0/sparse-01', content: Buffer.concat([begin, middle]), pax });
}

function sparse10(): Buffer {
  const map = Buffer.from([3, ...regions].join('\n').concat('\n').padEnd(512, '\0'));
  const pax = {
    'GNU.sparse.major': '1',
    'GNU.sparse.minor': '0',
    'GNU.sparse.realsize': '300000',
    'GNU.sparse.name': 'sparse-10',
  };
  return entry({ name: 'GNUSparseFile.0/sparse-10', content: Buffer.concat([map, begin, middle]), pax });
}

const long = `${'deep/'.repeat(30)}${'n'.repeat(200)}`;

/** The bottom layer and one above it. */
export function oddLayers(): Buffer[] {
  const bottom = tar(
    { name: './', type: '5', mode: 0o755, uid: 1, gid: 2, mtime: 1_500_000_000 },
    { name: 'plain', content: 'plain' },
    { name: 'empty', content: '' },
    { name: 'setuid', mode: 0o6755, uid: 65_600, gid: 70_000, content: 'x' },
    { name: 'huge-owner', uid: 0x7ffffffe, gid: 3_000_000, content: 'x' },
    {
      name: 'pax-owner',
      content: 'x',
      pax: { uid: '2147483000', gid: '65999', mtime: '1234567890.123456789' },
    },
    { name: 'before-1970', content: 'x', pax: { mtime: '-1.5' } },
    { name: 'hard', type: '1', link: 'setuid' },
    { name: 'hard-to-link', type: '2', link: 'nowhere' },
    { name: 'sym-absolute', type: '2', link: '/etc/passwd', uid: 5, gid: 6, mtime: 1_400_000_000 },
    { name: 'sym-up', type: '2', link: '../../../../etc/shadow' },
    { name: 'fifo', type: '6', mode: 0o600 },
    { name: 'null', type: '3', major: 1, minor: 3, mode: 0o666 },
    { name: 'big-minor', type: '4', major: 259, minor: 300, mode: 0o660 },
    { name: 'sticky/', type: '5', mode: 0o3777, mtime: 1_300_000_000 },
    { name: 'sticky/inside', content: 'i' },
    {
      name: 'capable',
      content: 'x',
      pax: {
        'SCHILY.xattr.security.capability': Buffer.from('0100000200200000000000000000000000000000', 'hex'),
      },
    },
    { name: 'noted', content: 'x', pax: { 'SCHILY.xattr.user.note': Buffer.from([0xff, 0x0a, 0x3d, 0x00]) } },
    { name: 'noted-dir/', type: '5', mode: 0o700, pax: { 'SCHILY.xattr.user.note': 'dir' } },
    { name: 'short', content: 'long', pax: { path: long } },
    gnuLong('L', `gnu/${'g'.repeat(220)}`),
    { name: 'short', content: 'gnu' },
    gnuLong('K', `target/${'t'.repeat(220)}`),
    { name: 'gnu-link', type: '2', link: 'short', patch: gnuMagic },
    { name: 'prefixed', content: 'p', patch: (header) => void header.write('a/prefix/path', 345, 'latin1') },
    { name: 'new\nline and "quotes" \\ ütf', content: 'n' },
    { name: '/absolute/file', content: 'a' },
    { name: './/dotted/.//file', content: 'd' },
    { name: 'twice', content: 'first' },
    { name: 'twice', content: 'second', mode: 0o600 },
    { name: 'was-file', content: 'f' },
    { name: 'was-file/', type: '5', mode: 0o755 },
    { name: 'was-file/now', content: 'in' },
    { name: 'gone', content: 'x' },
    { name: 'folder/', type: '5', mode: 0o755 },
    { name: 'folder/gone', content: 'x' },
    { name: 'folder/stays', content: 'x' },
    { name: 'hidden/', type: '5', mode: 0o755 },
    { name: 'hidden/old', content: 'x' },
    { name: 'replaced/', type: '5', mode: 0o755 },
    { name: 'replaced/old', content: 'x' },
    { name: 'becomes-link/', type: '5', mode: 0o755 },
  );
  const top = tar(
    { name: './', type: '5', mode: 0o711, uid: 1, gid: 2, mtime: 1_500_000_001 },
    { name: 'folder/', type: '5', mode: 0o750 },
    { name: 'folder/.wh.gone' },
    { name: '.wh.gone' },
    { name: 'hidden/', type: '5', mode: 0o755 },
    { name: 'hidden/.wh..wh..opq' },
    { name: 'hidden/new', content: 'n' },
    { name: 'replaced', content: 'now a file' },
    { name: 'becomes-link', type: '2', link: 'plain' },
    { name: 'plain', content: 'changed', mode: 0o755 },
  );
  return [bottom, top];
}

/** What umoci of Debian does not know, though tar writes it: sparse files, global headers, old tar's folders. */
export function sparseLayer(): Buffer {
  return tar(
    sparseGnu(),
    sparse01(),
    sparse10(),
    paxHeader({ mtime: '77' }, 'g'),
    {
      name: 'global',
      content: 'g',
    },
    { name: 'old-directory/' },
  );
}
