import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { listMounts, MountFlag, mount, mountsBelow, unmount, unmountTree } from '#foundation/linux/mount.ts';
import { isRunning, listProcesses, processTree, readStat, signalProcess } from '#foundation/linux/process.ts';
import { createSpawner } from '#foundation/linux/spawn.ts';
import { leakCheck } from '../../../test/leaks.ts';
import { buildImage } from './image.ts';
import { attachShare, removeShare, startShare } from './share.ts';

/** A root with a running share and something to show in it: a directory with a tmpfs in it. */
async function stage(t: TestContext) {
  const root = mkdtempSync('/tmp/skiff-sh');
  const leaks = leakCheck(root);
  const spawner = createSpawner();
  const source = join(root, 'source');
  mkdirSync(join(source, 'below'), { recursive: true });
  writeFileSync(join(source, 'file'), 'of the host');
  mount({ source: 'tmpfs', target: join(source, 'below'), type: 'tmpfs' });
  writeFileSync(join(source, 'below', 'deep'), 'mounted');
  const directory = join(root, 'share');
  const share = await startShare({ spawner }, { directory });
  const connection = share.takeConnection();
  t.after(async () => {
    closeSync(connection);
    await removeShare(directory);
    unmountTree(join(source, 'below'));
    await leaks.assertClean();
    spawner[Symbol.dispose]();
    rmSync(root, { recursive: true });
  });
  /** A path as the file server sees it: it has a mount namespace of its own, with the share as its root. */
  const served = (path: string) => {
    const inner = processTree(share.pid).find((each) => each.pid !== share.pid);
    return join(`/proc/${inner?.pid ?? share.pid}/root`, path);
  };
  return { root, spawner, source, directory, share, served };
}

/** Waits until the server has locked itself in: from then on its root is the share. */
async function lockedIn(served: (path: string) => string, name: string): Promise<void> {
  for (let waited = 0; waited < 10_000 && !existsSync(served(name)); waited += 10)
    await new Promise((resolve) => setTimeout(resolve, 10));
}

test('what is added, with what is mounted in it then and later, is served; what is taken away is not', async (t) => {
  const { source, share, served } = await stage(t);
  assert.equal(share.add({ name: 'a', source }), '/run/share/a');
  await lockedIn(served, 'a/file');
  assert.equal(readFileSync(served('a/file'), 'utf8'), 'of the host');
  assert.equal(readFileSync(served('a/below/deep'), 'utf8'), 'mounted');
  assert.equal(share.add({ name: 'b', source, recursive: false }), '/run/share/b');
  assert.equal(existsSync(served('b/below/deep')), false);
  share.add({ name: 'f', source: join(source, 'file'), readOnly: true });
  assert.equal(readFileSync(served('f'), 'utf8'), 'of the host');
  assert.throws(() => writeFileSync(served('f'), 'x'), { code: 'EROFS' });
  // A read-only entry keeps what its source's mount forbids besides.
  const strict = join(source, 'below');
  mount({ source: 'tmpfs', target: strict, flags: MountFlag.bind | MountFlag.remount | MountFlag.noSuid });
  share.add({ name: 's', source: strict, readOnly: true });
  const entry = listMounts().find((each) => each.target === join(share.directory, 's'));
  assert.deepEqual([entry?.options.includes('ro'), entry?.options.includes('nosuid')], [true, true]);
  share.remove('s');
  share.add({ name: 't', source, readOnly: true });
  writeFileSync(served('t/below/deep'), 'mounted');
  assert.throws(() => writeFileSync(served('t/file'), 'x'), { code: 'EROFS' });
  share.add({ name: 'u', source, readOnly: 'recursive' });
  assert.throws(() => writeFileSync(served('u/below/deep'), 'x'), { code: 'EROFS' });
  share.remove('t');
  share.remove('u');
  assert.deepEqual(share.list().sort(), ['a', 'b', 'f']);
  share.remove('a');
  share.remove('a');
  assert.equal(existsSync(served('a')), false);
  assert.deepEqual(share.list().sort(), ['b', 'f']);
  // Nothing of the source went with it, not even what is mounted there.
  assert.equal(readFileSync(join(source, 'below', 'deep'), 'utf8'), 'mounted');
});

test('mounts of the host that come to a shared source reach the guest, and go', async (t) => {
  const { root, share, served } = await stage(t);
  const source = join(root, 'volume');
  mkdirSync(join(source, 'late'), { recursive: true });
  mount({ source, target: source, flags: MountFlag.bind });
  mount({ source: 'none', target: source, flags: MountFlag.shared });
  t.after(() => unmountTree(source));
  share.add({ name: 'v', source, follows: true });
  share.add({ name: 'p', source });
  await lockedIn(served, 'p/late');
  mount({ source: 'tmpfs', target: join(source, 'late'), type: 'tmpfs' });
  writeFileSync(join(source, 'late', 'x'), 'here');
  assert.equal(readFileSync(served('v/late/x'), 'utf8'), 'here');
  assert.equal(existsSync(served('p/late/x')), false, 'a private entry follows nothing');
  share.remove('p');
  share.remove('v');
  assert.equal(readFileSync(join(source, 'late', 'x'), 'utf8'), 'here');
  unmountTree(source);
});

test('what is mounted in a source can be taken away from the host while a guest has it, and goes on to be followed', async (t) => {
  const { root, source, share, served } = await stage(t);
  share.add({ name: 'first', source: join(source, 'file') });
  await lockedIn(served, 'first');
  const volume = join(root, 'volume');
  mkdirSync(join(volume, 'early'), { recursive: true });
  mkdirSync(join(volume, 'late'));
  mount({ source: volume, target: volume, flags: MountFlag.bind });
  mount({ source: 'none', target: volume, flags: MountFlag.shared });
  t.after(() => unmountTree(volume));
  mount({ source: 'tmpfs', target: join(volume, 'early'), type: 'tmpfs' });
  writeFileSync(join(volume, 'early', 'x'), 'early');
  share.add({ name: 'copy', source: volume });
  share.add({ name: 'follower', source: volume, follows: true });
  mount({ source: 'tmpfs', target: join(volume, 'late'), type: 'tmpfs' });
  writeFileSync(join(volume, 'late', 'x'), 'late');
  assert.equal(readFileSync(served('follower/early/x'), 'utf8'), 'early');
  assert.equal(readFileSync(served('follower/late/x'), 'utf8'), 'late');
  assert.equal(readFileSync(served('copy/early/x'), 'utf8'), 'early');
  assert.equal(existsSync(served('copy/late/x')), false);
  // Busy, if a copy of the mount was left on this side.
  unmount(join(volume, 'early'));
  rmdirSync(join(volume, 'early'));
  assert.equal(existsSync(served('follower/early')), false);
  share.remove('copy');
  share.remove('follower');
  assert.deepEqual([existsSync(served('copy')), existsSync(served('follower'))], [false, false]);
  unmountTree(volume);
});

test('names that lead elsewhere, sources that are not there, and names in use are refused and leave nothing', async (t) => {
  const { source, share } = await stage(t);
  for (const name of ['..', '.', 'a/b', '', 'x\0y'])
    assert.throws(() => share.add({ name, source }), { code: 'INVALID_ARGUMENT' });
  assert.throws(() => share.add({ name: 'n', source: '/nonexistent' }), { code: 'NOT_FOUND' });
  share.add({ name: 'a', source });
  assert.throws(() => share.add({ name: 'a', source }), { code: 'ALREADY_EXISTS' });
  assert.deepEqual(share.list(), ['a']);
});

test("the file server's death is told to its starter and to who found it again, and all is cleaned up after it", async (t) => {
  const { directory, share } = await stage(t);
  const again = attachShare(directory);
  assert.equal(again.pid, share.pid);
  const stat = readStat(share.pid);
  assert.ok(stat !== undefined && signalProcess(stat, 9));
  assert.equal((await share.ended).code, 137);
  await again.ended;
  assert.throws(() => attachShare(directory), { code: 'NOT_FOUND' });
  await removeShare(directory);
  assert.equal(existsSync(directory), false);
});

test('stopping leaves neither processes nor mounts, and what was shared is as it was', async (t) => {
  const { source, directory, share, served } = await stage(t);
  share.add({ name: 'a', source });
  await lockedIn(served, 'a/file');
  // Somebody mounted in it without telling, as the supervisor does with container roots.
  mkdirSync(join(share.directory, 'own'));
  mount({ source: 'tmpfs', target: join(share.directory, 'own'), type: 'tmpfs' });
  // And a starter died in the middle of adding: what it bound is still a peer of a source that is shared.
  mount({ source: join(source, 'below'), target: join(source, 'below'), flags: MountFlag.bind });
  mount({ source: 'none', target: join(source, 'below'), flags: MountFlag.shared });
  mkdirSync(join(directory, 'root.1-half'));
  mount({ source, target: join(directory, 'root.1-half'), flags: MountFlag.bind | MountFlag.recursive });
  const before = processTree(share.pid);
  await share.stop();
  await share.stop();
  assert.equal(before.some(isRunning), false);
  assert.deepEqual(mountsBelow(directory), []);
  assert.equal(existsSync(directory), false);
  assert.equal(readFileSync(join(source, 'file'), 'utf8'), 'of the host');
  assert.equal(readFileSync(join(source, 'below', 'deep'), 'utf8'), 'mounted');
});

test('without virtiofsd, and where a share is already, nothing is left', async (t) => {
  const { root, spawner, directory } = await stage(t);
  const other = join(root, 'other');
  const missing = startShare({ spawner, program: '/nonexistent/virtiofsd' }, { directory: other });
  await assert.rejects(missing, /not installed: run "skiff setup vm"/);
  assert.equal(existsSync(other), false);
  const mounts = listMounts().length;
  const processes = listProcesses().filter((each) => each.parent === process.pid).length;
  await assert.rejects(startShare({ spawner }, { directory }), { code: 'ALREADY_EXISTS' });
  assert.equal(listMounts().filter((each) => each.target.startsWith(root)).length <= mounts, true);
  assert.equal(listProcesses().filter((each) => each.parent === process.pid).length, processes);
});

test('images appear whole or not at all', async (t) => {
  const { root, spawner, source } = await stage(t);
  const target = join(root, 'image');
  await buildImage({ spawner }, { source, target });
  // The magic number of erofs, little-endian, at 1024.
  assert.equal(readFileSync(target).readUInt32LE(1024), 0xe0f5e1e2);
  rmSync(target);
  await assert.rejects(buildImage({ spawner }, { source: '/nonexistent', target }), /Cannot build the image/);
  assert.equal(existsSync(target), false);
});
