import assert from 'node:assert/strict';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { afterEach, test } from 'node:test';
import type { ConfigMap, Pod, Secret, Volume } from '#contracts/kubernetes/types.ts';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { MountFlag, mount, mountsBelow, unmountTree } from '#foundation/linux/mount.ts';
import { createVolumeResolver } from './claims.ts';
import { contentPlugins } from './content.ts';
import { emptyDirPlugin, memorySize } from './empty-dir.ts';
import { checkHostPath, hostPathPlugin } from './host-path.ts';
import { imagePlugin } from './image.ts';
import { podPaths } from './pod-paths.ts';
import { bindSubPath } from './sub-path.ts';
import { createVolumeManager } from './volumes.ts';

const roots: string[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) {
    unmountTree(root);
    rmSync(root, { recursive: true, force: true });
  }
});

function makeRoot(): string {
  const root = mkdtempSync('/tmp/skiff-vol-');
  roots.push(root);
  return root;
}

function setup(root = makeRoot()) {
  const configMaps = new Map<string, ConfigMap>();
  const secrets = new Map<string, Secret>();
  const events: string[] = [];
  const clock = fakeClock();
  const manager = createVolumeManager({
    kubeletRoot: root,
    plugins: [
      emptyDirPlugin({ allocatableMemory: () => 2 ** 30 }),
      hostPathPlugin(),
      imagePlugin(),
      ...contentPlugins({
        objects: {
          configMap: async (_namespace, name) => configMaps.get(name),
          secret: async (_namespace, name) => secrets.get(name),
        },
        tokens: undefined,
        allocatable: () => ({ milliCpu: 2000, memory: 2 ** 30, ephemeralStorage: 0 }),
      }),
    ],
    resolve: createVolumeResolver(undefined),
    clock,
    events: { pod: (_pod, _type, reason, message) => events.push(`${reason}: ${message}`) },
    log: silentLogger,
  });
  return { root, manager, configMaps, secrets, events, clock, signal: new AbortController().signal };
}

function podOf(volumes: Volume[], spec: Partial<Pod['spec']> = {}): Pod {
  return {
    metadata: { name: 'p', namespace: 'ns', uid: 'uid-1', labels: { app: 'web' } },
    spec: { containers: [{ name: 'c', image: 'i' }], ...spec, volumes },
  };
}

test('emptyDir: a directory for all, memory of a size, for the group, gone afterwards', async () => {
  const { root, manager, signal } = setup();
  const pod = podOf(
    [
      { name: 'disk', emptyDir: {} },
      { name: 'mem', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
    ],
    { securityContext: { fsGroup: 4242 } },
  );
  const mounts = await manager.waitForMounts(pod, signal);
  const disk = mounts.get('disk')?.hostPath ?? '';
  const mem = mounts.get('mem')?.hostPath ?? '';
  assert.equal(disk, `${root}/pods/uid-1/volumes/kubernetes.io~empty-dir/disk`);
  assert.equal(statSync(disk).mode & 0o7777, 0o2777);
  assert.equal(statSync(disk).gid, 4242);
  assert.equal(mountsBelow(mem)[0]?.type, 'tmpfs');
  assert.throws(() => writeFileSync(`${mem}/big`, Buffer.alloc(2 ** 21)), /ENOSPC/);
  writeFileSync(`${disk}/kept`, 'x');
  await setup(root).manager.waitForMounts(pod, signal);
  assert.equal(readFileSync(`${disk}/kept`, 'utf8'), 'x', 'a restart of the kubelet keeps the content');
  assert.equal(mountsBelow(mem).length, 1, 'and mounts nothing twice');
  assert.equal(await manager.hasMounts('uid-1'), true);
  assert.deepEqual(await manager.held(['none', 'uid-1']), new Set(['uid-1']));
  await setup(root).manager.unmountAll('uid-1', signal);
  assert.equal(await manager.hasMounts('uid-1'), false);
  assert.equal(existsSync(disk), false);
  assert.deepEqual(mountsBelow(root), []);
});

test('the size of memory is the least of node, pod and volume', () => {
  const limits = (memory: string) => ({ resources: { limits: { memory } } });
  const pod = podOf([], {
    containers: [
      { name: 'a', ...limits('1Mi') },
      { name: 'b', ...limits('2Mi') },
    ],
  });
  const volume = (sizeLimit?: string): Volume => ({ name: 'v', emptyDir: { medium: 'Memory', sizeLimit } });
  assert.equal(memorySize(pod, volume(), 2 ** 30), 3 * 2 ** 20);
  assert.equal(memorySize(pod, volume('1Mi'), 2 ** 30), 2 ** 20);
  assert.equal(memorySize(podOf([]), volume(), 2 ** 30), 2 ** 30);
});

test('configMap and secret: files with modes, updated in one step, seen by who holds the directory', async () => {
  const { manager, configMaps, secrets, signal } = setup();
  configMaps.set('cfg', { metadata: { name: 'cfg' }, data: { a: '1', b: '2' }, binaryData: { c: 'AAE=' } });
  secrets.set('sec', { metadata: { name: 'sec' }, data: { key: Buffer.from('s').toString('base64') } });
  const pod = podOf([
    { name: 'cfg', configMap: { name: 'cfg', defaultMode: 0o600 } },
    {
      name: 'sec',
      secret: { secretName: 'sec', items: [{ key: 'key', path: 'deep/er/file', mode: 0o400 }] },
    },
  ]);
  const mounts = await manager.waitForMounts(pod, signal);
  const cfg = mounts.get('cfg')?.hostPath ?? '';
  const sec = mounts.get('sec')?.hostPath ?? '';
  assert.equal(readFileSync(`${cfg}/a`, 'utf8'), '1');
  assert.deepEqual(readFileSync(`${cfg}/c`), Buffer.from([0, 1]));
  assert.equal(statSync(`${cfg}/a`).mode & 0o777, 0o600);
  assert.equal(readlinkSync(`${cfg}/a`), '..data/a');
  assert.equal(readFileSync(`${sec}/deep/er/file`, 'utf8'), 's');
  assert.equal(statSync(`${sec}/deep/er/file`).mode & 0o777, 0o400);
  assert.equal(mountsBelow(sec)[0]?.type, 'tmpfs', 'secrets never touch a disk');
  assert.equal(mounts.get('cfg')?.readOnly, true);
  const before = readlinkSync(`${cfg}/..data`);
  await manager.waitForMounts(pod, signal);
  assert.equal(readlinkSync(`${cfg}/..data`), before, 'unchanged content is not rewritten');
  configMaps.set('cfg', { metadata: { name: 'cfg' }, data: { a: 'new' } });
  await manager.waitForMounts(pod, signal);
  assert.equal(readFileSync(`${cfg}/a`, 'utf8'), 'new');
  assert.deepEqual(
    readdirSync(cfg).filter((name) => !name.startsWith('..')),
    ['a'],
  );
  assert.equal(readdirSync(cfg).length, 3, 'nothing of the old set is left');
  await manager.unmountAll('uid-1', signal);
});

test('what a crash left in a volume is removed', async () => {
  const { manager, configMaps, signal } = setup();
  configMaps.set('cfg', { metadata: { name: 'cfg' }, data: { a: '1' } });
  const pod = podOf([{ name: 'cfg', configMap: { name: 'cfg' } }]);
  const cfg = (await manager.waitForMounts(pod, signal)).get('cfg')?.hostPath ?? '';
  mkdirSync(`${cfg}/..2020_01_01_00_00_00.1`);
  symlinkSync('..2020_01_01_00_00_00.1', `${cfg}/..data_tmp`);
  await manager.waitForMounts(pod, signal);
  assert.equal(readdirSync(cfg).length, 3);
  await manager.unmountAll('uid-1', signal);
});

test('fsGroup gives content to the group, for reading', async () => {
  const { manager, configMaps, signal } = setup();
  configMaps.set('cfg', { metadata: { name: 'cfg' }, data: { a: '1' } });
  const volumes = [{ name: 'cfg', configMap: { name: 'cfg', defaultMode: 0o400 } }];
  const pod = podOf(volumes, { securityContext: { fsGroup: 77 } });
  const cfg = (await manager.waitForMounts(pod, signal)).get('cfg')?.hostPath ?? '';
  assert.equal(statSync(`${cfg}/a`).gid, 77);
  assert.equal(statSync(`${cfg}/a`).mode & 0o777, 0o440);
  await manager.unmountAll('uid-1', signal);
});

test('projected joins its sources; a token needs an API server', async () => {
  const { manager, configMaps, clock, signal } = setup();
  configMaps.set('cfg', { metadata: { name: 'cfg' }, data: { a: '1' } });
  const downward = { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] };
  const sources = [{ configMap: { name: 'cfg' } }, { downwardAPI: downward }];
  const pod = podOf([{ name: 'all', projected: { sources } }]);
  const all = (await manager.waitForMounts(pod, signal)).get('all')?.hostPath ?? '';
  assert.equal(readFileSync(`${all}/labels`, 'utf8'), 'app="web"');
  assert.equal(readFileSync(`${all}/a`, 'utf8'), '1');
  await manager.unmountAll('uid-1', signal);
  const token = podOf([{ name: 't', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } }]);
  const failing = assert.rejects(manager.waitForMounts(token, signal), /needs an API server/);
  await clock.advance(130_000);
  await failing;
});

test('a missing configMap is waited for with growing pauses, then the error names it', async () => {
  const { manager, events, configMaps, clock, signal } = setup();
  const pod = podOf([{ name: 'cfg', configMap: { name: 'late' } }]);
  const failing = assert.rejects(
    manager.waitForMounts(pod, signal),
    /unmounted volumes=\[cfg\].*configmap "late" not found/,
  );
  await clock.advance(3600);
  assert.equal(events.length, 4, 'tried at 0, 0.5, 1.5 and 3.5 seconds');
  assert.match(
    events[0] ?? '',
    /^FailedMount: MountVolume.SetUp failed for volume "cfg" : configmap "late" not found$/,
  );
  await clock.advance(120_000);
  await failing;
  const waiting = manager.waitForMounts(pod, signal);
  configMaps.set('late', { metadata: { name: 'late' }, data: {} });
  await clock.advance(500);
  assert.equal((await waiting).has('cfg'), true);
  await manager.unmountAll('uid-1', signal);
});

test('waiting for volumes ends with the caller', async () => {
  const { manager, clock } = setup();
  const ended = new AbortController();
  const failing = assert.rejects(
    manager.waitForMounts(podOf([{ name: 'cfg', configMap: { name: 'none' } }]), ended.signal),
    /the pod was deleted/,
  );
  await clock.advance(100);
  ended.abort(new Error('the pod was deleted'));
  await failing;
});

test('reconcile removes the volumes of pods that nobody wants, also after a crash', async () => {
  const first = setup();
  const pod = podOf([{ name: 'mem', emptyDir: { medium: 'Memory' } }]);
  await first.manager.waitForMounts(pod, first.signal);
  const second = setup(first.root);
  await second.manager.start();
  assert.equal(await second.manager.hasMounts('uid-1'), true, 'nothing goes before the first reconcile');
  second.manager.reconcile([pod]);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(await second.manager.hasMounts('uid-1'), true);
  second.manager.reconcile([]);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(await second.manager.hasMounts('uid-1'), false);
});

test('hostPath types', async () => {
  const root = makeRoot();
  writeFileSync(`${root}/file`, '');
  const server = createServer().listen(`${root}/sock`);
  await new Promise((resolve) => server.once('listening', resolve));
  try {
    for (const [path, type, fine] of [
      [`${root}/none`, '', true],
      [`${root}/none`, 'Directory', false],
      [`${root}`, 'Directory', true],
      [`${root}/file`, 'Directory', false],
      [`${root}/file`, 'File', true],
      [`${root}/file`, 'DirectoryOrCreate', false],
      [`${root}/sock`, 'Socket', true],
      [`${root}/file`, 'Socket', false],
      ['/dev/null', 'CharDevice', true],
      ['/dev/null', 'BlockDevice', false],
      [`${root}/made/deep`, 'DirectoryOrCreate', true],
      [`${root}/made/file`, 'FileOrCreate', true],
      [`${root}/absent/file`, 'FileOrCreate', false],
      [`${root}`, 'Nonsense', false],
    ] as const) {
      const check = () => checkHostPath(path, type);
      if (fine) assert.doesNotThrow(check, `${path} ${type}`);
      else assert.throws(check, Error, `${path} ${type}`);
    }
    assert.equal(statSync(`${root}/made/deep`).mode & 0o777, 0o755);
    assert.equal(statSync(`${root}/made/file`).mode & 0o777, 0o644);
  } finally {
    server.close();
  }
});

test('sub-paths: directories are made, files and links inside bound, links out refused', async () => {
  const root = makeRoot();
  const paths = podPaths(root, 'u');
  const volumeRoot = `${root}/volume`;
  mkdirSync(volumeRoot, { mode: 0o750 });
  writeFileSync(`${volumeRoot}/file`, 'f');
  symlinkSync('/etc', `${volumeRoot}/out`);
  symlinkSync('file', `${volumeRoot}/link`);
  const bind = (subPath: string, index = 0, create = true) =>
    bindSubPath({ paths, volume: 'v', volumeRoot, container: 'c', index, subPath, create });
  const made = bind('new/dir');
  assert.equal(made, `${root}/pods/u/volume-subpaths/v/c/0`);
  writeFileSync(`${made}/x`, 'through');
  assert.equal(readFileSync(`${volumeRoot}/new/dir/x`, 'utf8'), 'through');
  assert.equal(readFileSync(bind('link', 1), 'utf8'), 'f');
  assert.equal(readFileSync(bind('file', 0), 'utf8'), 'f', 'a second start replaces the bind');
  assert.equal(mountsBelow(made).length, 1);
  for (const bad of ['out/passwd', '../x', '/etc', 'out'])
    assert.throws(() => bind(bad, 2), /leads out|relative|must not contain/, bad);
  assert.throws(() => bind('absent', 3, false), /no such file/);
  assert.equal(lstatSync('/etc').isDirectory(), true);
  const { manager, signal } = setup(root);
  await manager.unmountAll('u', signal);
  assert.equal(
    readFileSync(`${volumeRoot}/file`, 'utf8'),
    'f',
    'what was bound is not deleted with the bind',
  );
  assert.deepEqual(mountsBelow(root), []);
});

test('a mount that somebody hid in a volume is unmounted before anything is deleted', async () => {
  const { root, manager, signal } = setup();
  mkdirSync(`${root}/precious`);
  writeFileSync(`${root}/precious/data`, 'p');
  const disk =
    (await manager.waitForMounts(podOf([{ name: 'd', emptyDir: {} }]), signal)).get('d')?.hostPath ?? '';
  mkdirSync(`${disk}/hidden`);
  mount({ source: `${root}/precious`, target: `${disk}/hidden`, flags: MountFlag.bind });
  await manager.unmountAll('uid-1', signal);
  assert.equal(readFileSync(`${root}/precious/data`, 'utf8'), 'p');
  assert.equal(existsSync(disk), false);
});
