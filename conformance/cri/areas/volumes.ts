/** Mounts: order, read-only, propagation, missing paths, image volumes. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MountPropagation } from '#contracts/cri/runtime_pb.ts';
import type { Context } from '../context.ts';
import { fails } from '../expect.ts';
import { area } from '../rule.ts';

const { PROPAGATION_PRIVATE, PROPAGATION_HOST_TO_CONTAINER, PROPAGATION_BIDIRECTIONAL } = MountPropagation;

/** A directory that is a mount of its own, with a propagation of its own. */
function mountDirectory(t: Context, propagation: 'shared' | 'private'): string {
  const path = join(t.directory, t.unique('mount'));
  mkdirSync(path);
  execFileSync('mount', ['--bind', path, path]);
  execFileSync('mount', [`--make-${propagation}`, path]);
  t.defer(() => execFileSync('umount', ['-l', path]));
  return path;
}

function mountInside(t: Context, path: string): void {
  mkdirSync(path, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', 'x', path]);
  writeFileSync(join(path, 'inside'), 'seen');
  t.defer(() => execFileSync('umount', ['-l', path]));
}

async function handlerHas(t: Context, feature: 'recursiveReadOnlyMounts'): Promise<boolean> {
  const { runtimeHandlers } = await t.cri.runtime.status({});
  return runtimeHandlers.find((each) => each.name === t.handler)?.features?.[feature] ?? false;
}

export const volumes = area('volumes', (rule) => {
  rule('a host directory is mounted for reading and writing', async (t) => {
    const { id } = await t.running({ mounts: [{ hostPath: t.directory, containerPath: '/mnt' }] });
    await t.output(id, 'echo written > /mnt/f');
    assert.equal(readFileSync(join(t.directory, 'f'), 'utf8'), 'written\n');
  });

  rule('a read-only mount refuses writes', async (t) => {
    const { id } = await t.running({
      mounts: [{ hostPath: t.directory, containerPath: '/mnt', readonly: true }],
    });
    assert.notEqual((await t.sh(id, 'echo x > /mnt/f')).exitCode, 0);
  });

  rule('a single file can be mounted, over one of the image too', async (t) => {
    const hostPath = join(t.directory, 'file');
    writeFileSync(hostPath, 'from the host');
    const mounts = [
      { hostPath, containerPath: '/etc/passwd' },
      { hostPath, containerPath: '/new/place' },
    ];
    const { id } = await t.running({ mounts });
    assert.equal(await t.output(id, 'cat /etc/passwd /new/place'), 'from the hostfrom the host');
  });

  rule('a symbolic link on the host is followed', async (t) => {
    mkdirSync(join(t.directory, 'real'));
    writeFileSync(join(t.directory, 'real', 'f'), 'real');
    symlinkSync(join(t.directory, 'real'), join(t.directory, 'link'));
    const { id } = await t.running({
      mounts: [{ hostPath: join(t.directory, 'link'), containerPath: '/mnt' }],
    });
    assert.equal(await t.output(id, 'cat /mnt/f'), 'real');
  });

  rule('a missing host path is made as a directory', async (t) => {
    const hostPath = join(t.directory, 'not', 'there');
    await t.running({ mounts: [{ hostPath, containerPath: '/mnt' }] });
    assert.ok(statSync(hostPath).isDirectory());
  });

  rule('mounts within mounts work in any order of the request', async (t) => {
    for (const name of ['outer', 'inner']) {
      mkdirSync(join(t.directory, name));
      writeFileSync(join(t.directory, name, 'f'), name);
    }
    mkdirSync(join(t.directory, 'outer', 'deep'));
    const mounts = [
      { hostPath: join(t.directory, 'inner'), containerPath: '/mnt/deep' },
      { hostPath: join(t.directory, 'outer'), containerPath: '/mnt' },
    ];
    const { id } = await t.running({ mounts });
    assert.equal(await t.output(id, 'cat /mnt/f /mnt/deep/f'), 'outerinner');
  });

  rule('a mount of the request replaces the own /etc/hosts, /etc/resolv.conf and /dev/shm', async (t) => {
    const hostPath = join(t.directory, 'hosts');
    writeFileSync(hostPath, 'own');
    mkdirSync(join(t.directory, 'shm'));
    const mounts = [
      { hostPath, containerPath: '/etc/hosts' },
      { hostPath, containerPath: '/etc/resolv.conf' },
      { hostPath: join(t.directory, 'shm'), containerPath: '/dev/shm' },
    ];
    const { id } = await t.running({ mounts });
    assert.equal(await t.output(id, 'cat /etc/hosts /etc/resolv.conf'), 'ownown');
    await t.output(id, 'touch /dev/shm/f');
    assert.ok(existsSync(join(t.directory, 'shm', 'f')));
  });

  rule('a private mount sees nothing that is mounted on the host later', async (t) => {
    const path = mountDirectory(t, 'shared');
    const mounts = [{ hostPath: path, containerPath: '/mnt', propagation: PROPAGATION_PRIVATE }];
    const { id } = await t.running({ mounts });
    mountInside(t, join(path, 'sub'));
    assert.notEqual((await t.sh(id, 'cat /mnt/sub/inside')).exitCode, 0);
  });

  rule(
    'a host-to-container mount sees what is mounted on the host later, and gives nothing back',
    async (t) => {
      const path = mountDirectory(t, 'shared');
      const mounts = [{ hostPath: path, containerPath: '/mnt', propagation: PROPAGATION_HOST_TO_CONTAINER }];
      const securityContext = { privileged: true };
      const { id } = await t.running({ mounts, linux: { securityContext } }, { linux: { securityContext } });
      mountInside(t, join(path, 'sub'));
      assert.equal(await t.output(id, 'cat /mnt/sub/inside'), 'seen');
      await t.output(id, 'mkdir /mnt/back && mount -t tmpfs x /mnt/back && touch /mnt/back/f');
      assert.ok(!existsSync(join(path, 'back', 'f')));
    },
  );

  rule('an ordinary container too sees what comes to a host-to-container mount later', async (t) => {
    const path = mountDirectory(t, 'shared');
    const mounts = [{ hostPath: path, containerPath: '/mnt', propagation: PROPAGATION_HOST_TO_CONTAINER }];
    const { id } = await t.running({ mounts });
    mountInside(t, join(path, 'sub'));
    await t.eventually('the mount', async () => {
      const { stdout } = await t.sh(id, 'cat /mnt/sub/inside');
      return stdout === 'seen' || undefined;
    });
  });

  rule('a bidirectional mount gives back what the container mounts', async (t) => {
    const path = mountDirectory(t, 'shared');
    const mounts = [{ hostPath: path, containerPath: '/mnt', propagation: PROPAGATION_BIDIRECTIONAL }];
    const securityContext = { privileged: true };
    const { id } = await t.running({ mounts, linux: { securityContext } }, { linux: { securityContext } });
    await t.output(id, 'mkdir /mnt/back && mount -t tmpfs x /mnt/back && touch /mnt/back/f');
    const seen = existsSync(join(path, 'back', 'f'));
    await t.output(id, 'umount /mnt/back');
    assert.ok(seen);
  });

  rule('bidirectional needs a shared source, host-to-container a shared or slave one', async (t) => {
    const hostPath = mountDirectory(t, 'private');
    for (const propagation of [PROPAGATION_BIDIRECTIONAL, PROPAGATION_HOST_TO_CONTAINER]) {
      const pod = await t.pod({ linux: { securityContext: { privileged: true } } });
      const mounts = [{ hostPath, containerPath: '/mnt', propagation }];
      await fails(t.start(pod, { mounts, linux: { securityContext: { privileged: true } } }));
    }
  });

  rule('read-only alone leaves mounts below writable', async (t) => {
    const path = mountDirectory(t, 'private');
    mountInside(t, join(path, 'sub'));
    const { id } = await t.running({ mounts: [{ hostPath: path, containerPath: '/mnt', readonly: true }] });
    assert.notEqual((await t.sh(id, 'touch /mnt/f')).exitCode, 0);
    await t.output(id, 'touch /mnt/sub/f');
  });

  rule('recursive read-only makes mounts below read-only too', async (t) => {
    if (!(await handlerHas(t, 'recursiveReadOnlyMounts')))
      t.skip('the runtime does not announce recursive_read_only');
    const path = mountDirectory(t, 'private');
    mountInside(t, join(path, 'sub'));
    const mount = { hostPath: path, containerPath: '/mnt', readonly: true, recursiveReadOnly: true };
    const { id } = await t.running({ mounts: [mount] });
    assert.notEqual((await t.sh(id, 'touch /mnt/sub/f')).exitCode, 0);
    const pod = await t.pod();
    await fails(t.start(pod, { mounts: [{ ...mount, readonly: false }] }));
    await fails(t.start(pod, { mounts: [{ ...mount, propagation: PROPAGATION_HOST_TO_CONTAINER }] }));
  });

  rule('an image volume shows the image, read-only but executable', async (t) => {
    const image = { image: t.images.layered ?? '' };
    const { id } = await t.running({ mounts: [{ containerPath: '/image', image, readonly: true }] });
    assert.equal(await t.output(id, 'cat /image/opt/kept'), 'second');
    assert.equal(await t.output(id, '/image/bin/busybox echo runs'), 'runs');
    assert.notEqual((await t.sh(id, 'touch /image/f')).exitCode, 0);
  });

  rule('the status of an image volume tells which image it is', async (t) => {
    const image = { image: t.images.layered ?? '' };
    const { id } = await t.running({ mounts: [{ containerPath: '/image', image, readonly: true }] });
    const found = await t.cri.images.imageStatus({ image });
    const [mount] = (await t.status(id)).mounts;
    assert.equal(mount?.image?.image, image.image);
    assert.equal(mount?.image?.imageRef, found.image?.id);
  });

  rule('an image volume can be a directory of the image, which must exist and stay inside', async (t) => {
    const image = { image: t.images.layered ?? '' };
    const mount = { containerPath: '/image', image, readonly: true };
    const { id } = await t.running({ mounts: [{ ...mount, imageSubPath: 'opt' }] });
    assert.equal(await t.output(id, 'cat /image/kept'), 'second');
    const pod = await t.pod();
    for (const imageSubPath of ['missing', '../../etc', 'opt/../../..']) {
      await fails(t.start(pod, { mounts: [{ ...mount, imageSubPath }] }));
    }
  });
});
