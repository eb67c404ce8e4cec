/** Pods whose users are not those of the host. */
import assert from 'node:assert/strict';
import { chownSync, mkdirSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { NamespaceMode } from '#contracts/cri/runtime_pb.ts';
import type { Context } from '../context.ts';
import { area } from '../rule.ts';

const { POD, CONTAINER, NODE, TARGET } = NamespaceMode;

function options(namespaceOptions: object) {
  return { linux: { securityContext: { namespaceOptions } } };
}

/** Whether the default handler has them. */
async function announced(t: Context): Promise<boolean> {
  const { runtimeHandlers } = await t.cri.runtime.status({});
  return runtimeHandlers.find((each) => each.name === t.handler)?.features?.userNamespaces === true;
}

export const userNamespaces = area('user-namespaces', (rule) => {
  rule('ids are mapped as asked for', async (t) => {
    if (!(await announced(t))) t.skip('the runtime does not announce user namespaces');
    const mapping = [{ hostId: 200_000, containerId: 0, length: 65_536 }];
    const usernsOptions = { mode: POD, uids: mapping, gids: mapping };
    const { id } = await t.running(options({ usernsOptions }), options({ usernsOptions }));
    assert.match(await t.output(id, 'cat /proc/self/uid_map'), /^\s*0\s+200000\s+65536$/);
    assert.equal(await t.output(id, 'id -u'), '0');
    assert.equal(await t.output(id, 'touch /root/f && stat -c %u /root/f'), '0');
    assert.notEqual(await t.output(id, 'readlink /proc/self/ns/user'), readlinkSync('/proc/self/ns/user'));
  });

  rule('files of the image, of its volumes and of mapped mounts keep their owners', async (t) => {
    if (!(await announced(t))) t.skip('the runtime does not announce user namespaces');
    const mapping = [{ hostId: 300_000, containerId: 0, length: 65_536 }];
    const usernsOptions = { mode: POD, uids: mapping, gids: mapping };
    const source = join(t.directory, 'volume');
    mkdirSync(source);
    writeFileSync(join(source, 'file'), 'x');
    chownSync(join(source, 'file'), 1000, 2000);
    const mounts = [
      { hostPath: source, containerPath: '/mnt/volume', uidMappings: mapping, gidMappings: mapping },
    ];
    const fields = { ...options({ usernsOptions }), image: { image: t.images.layered ?? '' }, mounts };
    const { id } = await t.running(fields, options({ usernsOptions }));
    assert.equal(await t.output(id, 'stat -c "%u %g" / /bin/busybox /opt/kept'), '0 0\n0 0\n1000 2000');
    assert.equal(await t.output(id, 'stat -c "%u %g" /mnt/volume/file'), '1000 2000');
    await t.output(id, 'chown 33:34 /opt/kept && touch /mnt/volume/new && mkdir /opt/mine');
    assert.equal(await t.output(id, 'stat -c "%u %g" /opt/kept /opt/mine'), '33 34\n0 0');
    assert.equal(statSync(join(source, 'new')).uid, 0, "a file in a mapped mount is root's on the host");
  });

  rule('an image volume can be read, and a VOLUME written to', async (t) => {
    if (!(await announced(t))) t.skip('the runtime does not announce user namespaces');
    const mapping = [{ hostId: 400_000, containerId: 0, length: 65_536 }];
    const usernsOptions = { mode: POD, uids: mapping, gids: mapping };
    const mounts = [
      { image: { image: t.images.layered ?? '' }, containerPath: '/mnt/layered', readonly: true },
      { image: { image: t.images.base ?? '' }, containerPath: '/mnt/base', readonly: true },
    ];
    const fields = { ...options({ usernsOptions }), image: { image: t.images.named ?? '' }, mounts };
    const pod = await t.pod(options({ usernsOptions }));
    const id = await t.start(pod, fields).catch((error: unknown) => {
      if (/image/.test(String(error)) && t.runtime.name !== 'skiff') t.skip(`no image volumes: ${error}`);
      throw error;
    });
    assert.equal(await t.output(id, 'id -u'), '1000');
    assert.equal(
      await t.output(id, 'stat -c "%u %g" /mnt/layered/opt/kept /mnt/base/bin/busybox'),
      '1000 2000\n0 0',
    );
    assert.equal(await t.output(id, 'stat -c "%u" /var/volume'), '0');
  });

  rule('root of the namespace has no power over the host', async (t) => {
    if (!(await announced(t))) t.skip('the runtime does not announce user namespaces');
    const mapping = [{ hostId: 500_000, containerId: 0, length: 65_536 }];
    const usernsOptions = { mode: POD, uids: mapping, gids: mapping };
    const source = join(t.directory, 'secret');
    mkdirSync(source, { mode: 0o700 });
    writeFileSync(join(source, 'file'), 'x', { mode: 0o600 });
    const mounts = [{ hostPath: source, containerPath: '/mnt/secret' }];
    const shared = options({ usernsOptions, pid: POD });
    const { securityContext } = shared.linux;
    const capabilities = { addCapabilities: ['SYS_ADMIN'] };
    const fields = { linux: { securityContext: { ...securityContext, capabilities } }, mounts };
    const { id } = await t.running(fields, shared);
    assert.notEqual((await t.sh(id, 'cat /mnt/secret/file')).exitCode, 0, "unmapped, the folder is nobody's");
    assert.equal(await t.output(id, 'hostname x && hostname'), 'x', 'but the namespaces are its own');
    assert.notEqual(
      (await t.sh(id, 'mknod /tmp/disk b 254 0')).exitCode,
      0,
      "devices are the host's to make",
    );
    const pid = Number(
      JSON.parse((await t.cri.runtime.containerStatus({ containerId: id, verbose: true })).info.info ?? '{}')
        .pid,
    );
    if (pid > 0) assert.equal(statSync(`/proc/${pid}`).uid, 500_000, 'its processes are no root on the host');
  });

  rule('bad mappings and modes are refused', async (t) => {
    const mapping = [{ hostId: 200_000, containerId: 0, length: 65_536 }];
    if (!(await announced(t))) t.skip('the runtime does not announce user namespaces');
    const bad = [
      { mode: NODE, uids: mapping, gids: mapping },
      { mode: POD },
      { mode: POD, uids: mapping },
      { mode: POD, uids: [...mapping, ...mapping], gids: mapping },
      { mode: CONTAINER, uids: mapping, gids: mapping },
      { mode: TARGET, uids: mapping, gids: mapping },
    ];
    for (const usernsOptions of bad) {
      const config = t.podConfig(options({ usernsOptions }));
      const answer = await t.cri.runtime
        .runPodSandbox({ config, runtimeHandler: t.handler })
        .catch(() => undefined);
      if (answer !== undefined) await t.cri.runtime.removePodSandbox({ podSandboxId: answer.podSandboxId });
      assert.equal(answer, undefined, `accepted: ${JSON.stringify(usernsOptions)}`);
    }
  });
});
