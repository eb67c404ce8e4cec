import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  globSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname } from 'node:path';
import { test } from 'node:test';
import { isSkiffError } from '#foundation/base/errors.ts';
import { testImages } from '../../../test/guest-vm.ts';
import { agentFiles } from './agent.ts';
import { defaultPackageDirectory, guestImage, verifyGuestImage } from './build.ts';
import { cpioArchive } from './cpio.ts';
import { payloadOf, withoutZeros } from './kernel.ts';
import { dependenciesOf } from './modules.ts';

function workDirectory(t: { after(work: () => void): void }): string {
  const work = mkdtempSync('/tmp/skiff-i');
  t.after(() => rmSync(work, { recursive: true, force: true }));
  return work;
}

test('the image is made once, is what its manifest says, and a change is noticed', async (t) => {
  const image = await guestImage({ directory: testImages });
  await verifyGuestImage(image);
  const lines: string[] = [];
  assert.deepEqual(await guestImage({ directory: testImages, onBuild: (line) => lines.push(line) }), image);
  assert.deepEqual(lines, []);
  assert.equal(readFileSync(image.vmlinuxPath).readUInt32BE(0), 0x7f454c46);
  const work = workDirectory(t);
  for (const name of readdirSync(dirname(image.initrdPath)))
    copyFileSync(`${dirname(image.initrdPath)}/${name}`, `${work}/${name}`);
  const copy = { ...image, initrdPath: `${work}/${basename(image.initrdPath)}` };
  writeFileSync(copy.initrdPath, 'x', { flag: 'a' });
  await assert.rejects(verifyGuestImage(copy), (error) => isSkiffError(error, 'DATA_LOSS'));
});

test('a damaged package, or none, is refused and nothing is kept', async (t) => {
  const work = workDirectory(t);
  const directory = `${work}/images`;
  const make = () => guestImage({ directory, packageDirectory: work });
  await assert.rejects(
    make(),
    (error) => isSkiffError(error, 'FAILED_PRECONDITION') && /skiff setup vm/.test(error.message),
  );
  const [deb = ''] = globSync(`${defaultPackageDirectory}/*.deb`);
  writeFileSync(`${work}/${basename(deb)}`, readFileSync(deb).subarray(0, 1_000_000));
  copyFileSync(`${deb}.sha256`, `${work}/${basename(deb)}.sha256`);
  await assert.rejects(make(), (error) => isSkiffError(error, 'DATA_LOSS') && /damaged/.test(error.message));
  assert.deepEqual(globSync(`${directory}/*`), []);
});

test('the archive is what cpio reads', (t) => {
  const archive = cpioArchive([
    { kind: 'directory', path: 'etc' },
    { kind: 'file', path: 'etc/name', mode: 0o640, content: Buffer.from('hello') },
    { kind: 'link', path: 'etc/link', target: 'name' },
    { kind: 'character-device', path: 'etc/console', major: 5, minor: 1 },
  ]);
  const work = workDirectory(t);
  execFileSync('/bin/busybox', ['cpio', '-i'], {
    cwd: work,
    input: archive,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  assert.equal(readFileSync(`${work}/etc/link`, 'utf8'), 'hello');
  const said = execFileSync('stat', ['-c', '%F %a %t %T', 'etc/name', 'etc/console'], {
    cwd: work,
    encoding: 'utf8',
  });
  assert.equal(said, 'regular file 640 0 0\ncharacter special file 600 5 1\n');
});

test('what is no kernel is refused', () => {
  for (const bytes of [Buffer.alloc(10), Buffer.alloc(4096), readFileSync('/bin/busybox')])
    assert.throws(
      () => payloadOf(bytes, 'x'),
      (error) => isSkiffError(error, 'DATA_LOSS'),
    );
});

test('a kernel loses the zeros that its segments end with, and nothing else', () => {
  const file = Buffer.alloc(0x400, 0xff);
  file.writeBigUInt64LE(0x40n, 0x20);
  file.writeUInt16LE(56, 0x36);
  file.writeUInt16LE(2, 0x38);
  const segment = (at: number, type: number, offset: number, bytes: number) => {
    file.writeUInt32LE(type, at);
    file.writeBigUInt64LE(BigInt(offset), at + 0x08);
    for (const field of [0x20, 0x28]) file.writeBigUInt64LE(BigInt(bytes), at + field);
  };
  segment(0x40, 1, 0x100, 0x100);
  segment(0x78, 4, 0x200, 0x100);
  file.fill(0, 0x180, 0x300);
  const sizes = (image: Buffer, at: number) =>
    [0x20, 0x28].map((field) => Number(image.readBigUInt64LE(at + field)));
  const cut = withoutZeros(file);
  assert.deepEqual(sizes(cut, 0x40), [0x80, 0x80]);
  assert.deepEqual(sizes(cut, 0x78), [0x100, 0x100]);
  assert.deepEqual(cut.subarray(0x100), file.subarray(0x100));
});

test('modules say what they depend on', () => {
  const module = (text: string) => Buffer.from(`\x7fELF...\0license=GPL\0depends=${text}\0name=x\0`);
  assert.deepEqual(dependenciesOf(module('')), []);
  assert.deepEqual(dependenciesOf(module('virtio-ring,virtio')), ['virtio_ring', 'virtio']);
  assert.deepEqual(dependenciesOf(Buffer.from('nothing')), []);
});

test('PID 1 stays small', () => {
  const texts = agentFiles().map((path) => ({ path, lines: readFileSync(path, 'utf8').split('\n') }));
  for (const { path, lines } of texts) assert.ok(lines.length <= 400, `${path}: ${lines.length} lines`);
  // Blank lines and comments count; what follows the last line's end is none.
  const written = texts.reduce((sum, { lines }) => sum + lines.length - 1, 0);
  assert.ok(written < 3000, `${written} lines`);
});
