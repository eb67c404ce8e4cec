/** Which namespaces containers of a pod share. */
import assert from 'node:assert/strict';
import { readFileSync, readlinkSync } from 'node:fs';
import { NamespaceMode } from '#contracts/cri/runtime_pb.ts';
import type { Context } from '../context.ts';
import { area } from '../rule.ts';

const { POD, CONTAINER, NODE, TARGET } = NamespaceMode;

/** A namespace's number is one of its kernel. */
const boot = '/proc/sys/kernel/random/boot_id';
const inside = (t: Context, id: string, kind: string) =>
  t.output(id, `echo $(cat ${boot}) $(readlink /proc/self/ns/${kind})`);
const host = (kind: string) =>
  `${readFileSync(boot, 'utf8').trim()} ${readlinkSync(`/proc/self/ns/${kind}`)}`;

function options(namespaceOptions: object) {
  return { linux: { securityContext: { namespaceOptions } } };
}

export const namespaces = area('namespaces', (rule) => {
  rule('PID CONTAINER: the first process is the own one, and others are not seen', async (t) => {
    const { pod, id } = await t.running(options({ pid: CONTAINER }), options({ pid: CONTAINER }));
    const other = await t.start(pod, options({ pid: CONTAINER }));
    assert.match(await t.output(id, "tr '\\0' ' ' < /proc/1/cmdline"), /^sleep 3600/);
    assert.notEqual(await inside(t, id, 'pid'), await inside(t, other, 'pid'));
  });

  rule('PID POD: containers of the pod see each other, and only each other', async (t) => {
    const { pod, id } = await t.running(options({ pid: POD }), options({ pid: POD }));
    const marker = 'sleep 12345';
    const other = await t.start(pod, { ...options({ pid: POD }), command: marker.split(' ') });
    assert.equal(await inside(t, id, 'pid'), await inside(t, other, 'pid'));
    assert.match(await t.output(id, 'ps'), new RegExp(marker));
    assert.notEqual(await inside(t, id, 'pid'), host('pid'));
    assert.doesNotMatch(await t.output(id, "tr '\\0' ' ' < /proc/1/cmdline"), /^sleep 3600/);
  });

  rule("PID NODE: the host's processes", async (t) => {
    const { id } = await t.running(options({ pid: NODE }), options({ pid: NODE }));
    assert.equal(await inside(t, id, 'pid'), host('pid'));
  });

  rule("PID TARGET: another container's processes", async (t) => {
    const { pod, id } = await t.running(options({ pid: CONTAINER }), options({ pid: CONTAINER }));
    const debug = await t.start(pod, options({ pid: TARGET, targetId: id }));
    assert.equal(await inside(t, debug, 'pid'), await inside(t, id, 'pid'));
    assert.match(await t.output(debug, "tr '\\0' ' ' < /proc/1/cmdline"), /^sleep 3600/);
  });

  rule(
    'a stopped container with host PIDs leaves no process behind',
    async (t) => {
      const { id: containerId } = await t.running(
        { ...options({ pid: NODE }), command: ['sh', '-c', 'sleep 54321 & sleep 54321 & wait'] },
        options({ pid: NODE }),
      );
      const watcher = (await t.running(options({ pid: NODE }), options({ pid: NODE }))).id;
      await t.eventually(
        'the processes to start',
        async () => /54321/.test(await t.output(watcher, 'ps')) || undefined,
      );
      await t.cri.runtime.stopContainer({ containerId, timeout: 0n });
      await t.cri.runtime.removeContainer({ containerId });
      await t.eventually('the processes to end', async () => {
        const list = await t.output(watcher, 'ps | grep -v grep | grep -c "sleep 54321" || true');
        return list === '0' ? true : undefined;
      });
    },
    { alone: true },
  );

  rule('network, IPC and UTS are shared by the pod, and not with other pods or the host', async (t) => {
    const { pod, id } = await t.running();
    const same = await t.start(pod);
    const other = (await t.running()).id;
    for (const kind of ['net', 'ipc', 'uts']) {
      const name = await inside(t, id, kind);
      assert.equal(await inside(t, same, kind), name, kind);
      assert.notEqual(await inside(t, other, kind), name, kind);
      assert.notEqual(name, host(kind), kind);
    }
    assert.notEqual(await inside(t, id, 'mnt'), await inside(t, same, 'mnt'));
  });

  rule("IPC NODE and network NODE are the host's", async (t) => {
    const hosts = options({ ipc: NODE, network: NODE });
    const { id } = await t.running(hosts, hosts);
    assert.equal(await inside(t, id, 'ipc'), host('ipc'));
    assert.equal(await inside(t, id, 'net'), host('net'));
    assert.equal(await inside(t, id, 'uts'), host('uts'));
  });

  rule('a message queue is seen by the pod only', async (t) => {
    const { pod, id } = await t.running();
    const other = await t.start(pod);
    assert.equal(await t.output(id, 'cat /proc/sysvipc/shm | wc -l'), '1');
    assert.equal(await t.output(other, 'cat /proc/sysvipc/shm | wc -l'), '1');
  });
});
