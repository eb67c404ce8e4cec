/** RunPodSandbox, StopPodSandbox, RemovePodSandbox, PodSandboxStatus, ListPodSandbox. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { ContainerState, NamespaceMode, PodSandboxState } from '#contracts/cri/runtime_pb.ts';
import type { Context } from '../context.ts';
import { fails } from '../expect.ts';
import { area } from '../rule.ts';

const nothing = '0'.repeat(64);

async function statusOf({ cri }: Context, podSandboxId: string) {
  const { status } = await cri.runtime.podSandboxStatus({ podSandboxId });
  assert.ok(status !== undefined);
  return status;
}

export const sandboxes = area('sandboxes', (rule) => {
  rule('a new sandbox is READY and echoes its metadata, labels and annotations', async (t) => {
    const labels = { app: 'x', 'io.kubernetes.pod.name': 'y' };
    const annotations = { 'example.com/a': 'b\nc "d"' };
    const before = BigInt(Date.now() - 2000) * 1_000_000n;
    const { id, config } = await t.pod({ labels, annotations });
    const status = await statusOf(t, id);
    assert.equal(status.state, PodSandboxState.SANDBOX_READY);
    assert.equal(status.metadata?.name, config.metadata?.name);
    assert.equal(status.metadata?.namespace, 'conformance');
    assert.equal(status.metadata?.uid, config.metadata?.uid);
    assert.equal(status.metadata?.attempt, 0);
    assert.deepEqual(status.labels, labels);
    assert.deepEqual(status.annotations, annotations);
    assert.ok(status.createdAt > before && status.createdAt < BigInt(Date.now() + 2000) * 1_000_000n);
  });

  rule('ids are 64 hexadecimal digits, and a unique prefix finds the sandbox', async (t) => {
    const { id } = await t.pod();
    assert.match(id, /^[0-9a-f]{64}$/);
    assert.equal((await statusOf(t, id.slice(0, 13))).id, id);
    const { items } = await t.cri.runtime.listPodSandbox({ filter: { id: id.slice(0, 13) } });
    assert.deepEqual(
      items.map((each) => each.id),
      [id],
    );
  });

  rule('PodSandboxStatus of an unknown id is NOT_FOUND', async ({ cri }) => {
    await fails(cri.runtime.podSandboxStatus({ podSandboxId: nothing }), 'NOT_FOUND');
  });

  rule('ListPodSandbox joins its filters with AND; no match is an empty list', async (t) => {
    const label = { group: t.unique('group') };
    const one = await t.pod({ labels: { ...label, n: '1' } });
    const two = await t.pod({ labels: { ...label, n: '2' } });
    const list = async (filter: object) =>
      (await t.cri.runtime.listPodSandbox({ filter })).items.map((each) => each.id).sort();
    assert.deepEqual(await list({ labelSelector: label }), [one.id, two.id].sort());
    assert.deepEqual(await list({ labelSelector: { ...label, n: '2' } }), [two.id]);
    assert.deepEqual(await list({ id: one.id, labelSelector: { ...label, n: '2' } }), []);
    assert.deepEqual(await list({ id: nothing }), []);
    await t.cri.runtime.stopPodSandbox({ podSandboxId: two.id });
    const ready = { state: PodSandboxState.SANDBOX_READY };
    assert.deepEqual(await list({ labelSelector: label, state: ready }), [one.id]);
    const { items } = await t.cri.runtime.listPodSandbox({});
    assert.ok(
      items.some((each) => each.id === two.id),
      'no filter must list all',
    );
  });

  rule('a sandbox with a network has an address; one with the host network has none', async (t) => {
    const { id } = await t.pod();
    const status = await statusOf(t, id);
    assert.ok(isIP(status.network?.ip ?? '') !== 0, `not an address: ${status.network?.ip}`);
    assert.ok(!status.network?.additionalIps.some((each) => each.ip === status.network?.ip));
    assert.equal(status.linux?.namespaces?.options?.network, NamespaceMode.POD);
    const onHost = await t.pod({
      linux: { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } },
    });
    const hostStatus = await statusOf(t, onHost.id);
    assert.equal(hostStatus.network?.ip ?? '', '');
    assert.equal(hostStatus.linux?.namespaces?.options?.network, NamespaceMode.NODE);
  });

  rule('the namespace options are echoed', async (t) => {
    const namespaceOptions = { pid: NamespaceMode.POD, ipc: NamespaceMode.NODE, network: NamespaceMode.POD };
    const { id } = await t.pod({ linux: { securityContext: { namespaceOptions } } });
    const options = (await statusOf(t, id)).linux?.namespaces?.options;
    assert.equal(options?.pid, NamespaceMode.POD);
    assert.equal(options?.ipc, NamespaceMode.NODE);
  });

  rule('a stopped sandbox is NOTREADY, and stopping it again succeeds', async (t) => {
    const { id } = await t.pod();
    await t.cri.runtime.stopPodSandbox({ podSandboxId: id });
    assert.equal((await statusOf(t, id)).state, PodSandboxState.SANDBOX_NOTREADY);
    await t.cri.runtime.stopPodSandbox({ podSandboxId: id });
  });

  rule('stopping a sandbox kills its containers, which stay and say how they ended', async (t) => {
    const { pod, id } = await t.running();
    await t.cri.runtime.stopPodSandbox({ podSandboxId: pod.id });
    const status = await t.status(id);
    assert.equal(status.state, ContainerState.CONTAINER_EXITED);
    assert.equal(status.exitCode, 137);
  });

  rule('stopping or removing an unknown sandbox succeeds', async ({ cri }) => {
    await cri.runtime.stopPodSandbox({ podSandboxId: nothing });
    await cri.runtime.removePodSandbox({ podSandboxId: nothing });
  });

  rule('removing a sandbox that runs stops it and takes its containers along', async (t) => {
    const { pod, id } = await t.running();
    await t.cri.runtime.removePodSandbox({ podSandboxId: pod.id });
    await fails(t.cri.runtime.podSandboxStatus({ podSandboxId: pod.id }), 'NOT_FOUND');
    await fails(t.cri.runtime.containerStatus({ containerId: id }), 'NOT_FOUND');
    await t.cri.runtime.removePodSandbox({ podSandboxId: pod.id });
  });

  rule('no container can be created in a stopped sandbox', async (t) => {
    const pod = await t.pod();
    await t.cri.runtime.stopPodSandbox({ podSandboxId: pod.id });
    await fails(t.create(pod));
  });

  rule('an unknown runtime handler fails and leaves no sandbox', async (t) => {
    const config = t.podConfig({ labels: { group: t.unique('group') } });
    await fails(t.cri.runtime.runPodSandbox({ config, runtimeHandler: 'no-such-handler' }));
    const { items } = await t.cri.runtime.listPodSandbox({ filter: { labelSelector: config.labels } });
    assert.deepEqual(items, []);
  });

  rule('the hostname is the one asked for', async (t) => {
    const { id } = await t.running({}, { hostname: 'a-name' });
    assert.equal(await t.output(id, 'hostname'), 'a-name');
    assert.equal(await t.output(id, 'cat /etc/hostname'), 'a-name');
    assert.equal(await t.output(id, 'echo $HOSTNAME'), 'a-name');
  });

  rule('resolv.conf holds searches, servers and options in this order', async (t) => {
    const dnsConfig = {
      servers: ['10.1.2.3', '10.4.5.6'],
      searches: ['a.example', 'b.example'],
      options: ['ndots:3'],
    };
    const { id } = await t.running({}, { dnsConfig });
    const lines = (await t.output(id, 'cat /etc/resolv.conf')).split('\n').filter(Boolean);
    assert.deepEqual(lines, [
      'search a.example b.example',
      'nameserver 10.1.2.3',
      'nameserver 10.4.5.6',
      'options ndots:3',
    ]);
  });

  rule("without a DNS configuration resolv.conf is the host's", async (t) => {
    const { id } = await t.running();
    const expected = readFileSync('/etc/resolv.conf', 'utf8').trim();
    assert.equal((await t.output(id, 'cat /etc/resolv.conf')).trim(), expected);
  });

  rule('sysctls are set in the pod, and only there', async (t) => {
    const path = '/proc/sys/kernel/shm_rmid_forced';
    const before = readFileSync(path, 'utf8');
    const sysctls = { 'kernel.shm_rmid_forced': '1', 'net.ipv4.ip_local_port_range': '2048 4096' };
    const { id } = await t.running({}, { linux: { sysctls } });
    assert.equal(await t.output(id, `cat ${path}`), '1');
    assert.match(await t.output(id, 'cat /proc/sys/net/ipv4/ip_local_port_range'), /^2048\s+4096$/);
    assert.equal(readFileSync(path, 'utf8'), before);
  });

  rule('a sysctl that does not exist fails and leaves no sandbox', async (t) => {
    const config = t.podConfig({
      labels: { group: t.unique('group') },
      linux: { sysctls: { 'net.no.such': '1' } },
    });
    const failed = await fails(t.cri.runtime.runPodSandbox({ config, runtimeHandler: t.handler }));
    assert.match(failed, /no[./]such/);
    const { items } = await t.cri.runtime.listPodSandbox({ filter: { labelSelector: config.labels } });
    for (const { id } of items) await t.cri.runtime.removePodSandbox({ podSandboxId: id });
    assert.ok(items.every((each) => each.state === PodSandboxState.SANDBOX_NOTREADY));
  });

  rule('/dev/shm is a tmpfs of 64 MiB, mode 1777, shared by the pod', async (t) => {
    const { pod, id } = await t.running();
    const line = await t.output(id, 'grep " /dev/shm " /proc/mounts');
    assert.match(line, /tmpfs/);
    assert.match(line, /nosuid.*nodev.*noexec/);
    assert.match(line, /size=65536k/);
    assert.equal(await t.output(id, 'stat -c %a /dev/shm'), '1777');
    await t.output(id, 'echo shared > /dev/shm/f');
    const other = await t.start(pod);
    assert.equal(await t.output(other, 'cat /dev/shm/f'), 'shared');
  });

  rule('a verbose status has info in JSON, an ordinary one has none', async (t) => {
    const { id } = await t.pod();
    const verbose = await t.cri.runtime.podSandboxStatus({ podSandboxId: id, verbose: true });
    assert.equal(typeof JSON.parse(verbose.info.info ?? 'null'), 'object');
    assert.deepEqual((await t.cri.runtime.podSandboxStatus({ podSandboxId: id })).info, {});
  });

  rule('a sandbox that wants what it may not have is refused: bad metadata, names, sysctls', async (t) => {
    await fails(t.cri.runtime.runPodSandbox({}));
    await fails(t.cri.runtime.runPodSandbox({ config: {} }));
  });
});
