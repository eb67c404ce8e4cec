import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { MountFlag, mount, unmount } from '#foundation/linux/mount.ts';
import { openFixture } from '../../../test/containers-fixture.ts';

test('bind mounts: read-only, by link, missing directories, nested, in place of given ones', async (t) => {
  const fixture = await openFixture(t);
  const dir = (name: string) => join(fixture.root, 'vol', name);
  mkdirSync(dir('a'), { recursive: true });
  writeFileSync(join(dir('a'), 'file'), 'in a\n');
  symlinkSync(dir('a'), dir('link'));
  writeFileSync(dir('hosts'), 'my hosts\n');
  const id = await fixture.run('sleep 100', {
    mounts: [
      { containerPath: '/data/deep', hostPath: dir('new/made') },
      { containerPath: '/data', hostPath: dir('link') },
      { containerPath: '/ro', hostPath: dir('a'), readonly: true },
      { containerPath: '/etc/hosts', hostPath: dir('hosts') },
    ],
  } as never);
  const { stdout, stderr } = await fixture.exec(
    id,
    'cat /data/file /etc/hosts; touch /data/deep/x && ls /data/deep; touch /ro/x; cat /etc/resolv.conf; touch /dev/shm/x && echo shm',
  );
  assert.equal(stdout, 'in a\nmy hosts\nx\nresolv\nshm\n');
  assert.match(stderr, /\/ro\/x: Read-only/);
  const status = (await fixture.status(id)) as unknown as { mounts: { containerPath: string }[] };
  assert.deepEqual(
    status.mounts.map((one) => one.containerPath),
    ['/data/deep', '/data', '/ro', '/etc/hosts'],
  );
});

test('bad mounts are refused by name', async (t) => {
  const fixture = await openFixture(t);
  const bad = (mounts: object[], message: RegExp) =>
    assert.rejects(fixture.create({ command: ['true'], mounts } as never), message);
  await bad([{ containerPath: '', hostPath: '/tmp' }], /no container_path/);
  await bad([{ containerPath: '/x/../..', hostPath: '/tmp' }], /would hide the container/);
  await bad([{ containerPath: '/x', hostPath: 'relative' }], /is not absolute/);
  await bad([{ containerPath: '/x' }], /neither host_path nor image/);
  await bad([{ containerPath: '/x', hostPath: '/tmp', recursiveReadOnly: true }], /must be readonly as well/);
  await bad([{ containerPath: '/x', hostPath: '/proc/1/x/y' }], /Cannot make the directory/);
});

test('propagation: private, from the host, both ways; a private host mount cannot', async (t) => {
  const fixture = await openFixture(t, {
    sandbox: { linux: { securityContext: { privileged: true } } } as never,
  });
  const volume = join(fixture.root, 'vol');
  mkdirSync(volume);
  mount({ source: volume, target: volume, flags: MountFlag.bind });
  t.after(() => unmount(volume, { lazy: true }));
  mount({ source: 'none', target: volume, flags: MountFlag.private });
  const create = (propagation: number) =>
    fixture.run('sleep 100', { mounts: [{ containerPath: '/v', hostPath: volume, propagation }] } as never);
  await assert.rejects(
    create(1),
    /which is no shared or slave mount; make it one with: mount --make-rshared/,
  );
  await assert.rejects(create(2), /which is no shared mount/);
  mount({ source: 'none', target: volume, flags: MountFlag.shared });
  const [alone, slave] = [await create(0), await create(1)];
  const both = await fixture.run('sleep 100', {
    linux: { securityContext: { privileged: true } },
    mounts: [{ containerPath: '/v', hostPath: volume, propagation: 2 }],
  } as never);
  mkdirSync(join(volume, 'sub'));
  mount({ source: 'x', target: join(volume, 'sub'), type: 'tmpfs' });
  writeFileSync(join(volume, 'sub/seen'), '');
  const sees = async (id: string, path = '/v/sub/seen') =>
    (await fixture.exec(id, `test -e ${path}`)).exitCode === 0;
  assert.deepEqual([await sees(alone), await sees(slave), await sees(both)], [false, true, true]);
  assert.equal(
    (await fixture.exec(both, 'mkdir /v/up && mount -t tmpfs x /v/up && touch /v/up/seen')).exitCode,
    0,
  );
  assert.deepEqual([await sees(alone, '/v/up/seen'), await sees(slave, '/v/up/seen')], [false, true]);
  unmount(join(volume, 'up'));
  unmount(join(volume, 'sub'));
});

test('read-only mounts leave submounts writable unless they are recursive', async (t) => {
  const fixture = await openFixture(t);
  const volume = join(fixture.root, 'vol');
  mkdirSync(join(volume, 'sub'), { recursive: true });
  mount({ source: 'x', target: join(volume, 'sub'), type: 'tmpfs' });
  t.after(() => unmount(join(volume, 'sub'), { lazy: true }));
  const id = await fixture.run('sleep 100', {
    mounts: [
      { containerPath: '/ro', hostPath: volume, readonly: true },
      { containerPath: '/rro', hostPath: volume, readonly: true, recursiveReadOnly: true },
    ],
  } as never);
  const { stdout } = await fixture.exec(
    id,
    'for f in /ro/x /ro/sub/x /rro/x /rro/sub/x; do touch $f 2>/dev/null && echo $f; done; true',
  );
  assert.equal(stdout, '/ro/sub/x\n');
});

test('image volumes are read-only and may hold programs; sub-paths stay inside', async (t) => {
  const fixture = await openFixture(t);
  const volume = (more: object = {}) =>
    ({ mounts: [{ containerPath: '/v', readonly: true, image: { image: 'busybox' }, ...more }] }) as never;
  const id = await fixture.run('sleep 100', volume());
  const { stdout, stderr } = await fixture.exec(id, '/v/bin/echo runs; touch /v/x');
  assert.equal(stdout, 'runs\n');
  assert.match(stderr, /Read-only/);
  const sub = await fixture.run('sleep 100', volume({ imageSubPath: 'etc' }));
  assert.match((await fixture.exec(sub, 'cat /v/passwd')).stdout, /ana/);
  const bad = (more: object, message: RegExp) =>
    assert.rejects(fixture.create({ command: ['true'], ...(volume(more) as object) }), message);
  await bad({ imageSubPath: 'nothere' }, /ImageVolumeMountFailed.*not in the image/);
  await bad({ imageSubPath: '../../etc' }, /ImageVolumeMountFailed.*stay inside/);
  await bad({ readonly: false }, /not readonly/);
  await bad({ image: { image: 'absent' } }, /"absent".*pull it/);
});

test('each VOLUME of the image is a fresh directory unless a mount covers it', async (t) => {
  const fixture = await openFixture(t, { image: { Volumes: { '/data': {}, '/cache/': {} } } });
  const mine = join(fixture.root, 'mine');
  mkdirSync(mine);
  writeFileSync(join(mine, 'f'), '');
  const id = await fixture.run('sleep 100', {
    mounts: [{ containerPath: '/data', hostPath: mine }],
  } as never);
  assert.equal(
    (await fixture.exec(id, 'ls /data; grep -c " /cache " /proc/mounts; touch /cache/x && echo ok')).stdout,
    'f\n1\nok\n',
  );
});
