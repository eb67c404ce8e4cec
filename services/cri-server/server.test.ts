import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type CriClient, connectCri } from '#contracts/cri/client.ts';
import { NamespaceMode, PodSandboxState } from '#contracts/cri/runtime_pb.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { unmountTree } from '#foundation/linux/mount.ts';
import { leakCheck } from '../../test/leaks.ts';
import { createCriServer } from './server.ts';

const noPid = { namespaceOptions: { pid: NamespaceMode.CONTAINER } };

async function startServer(t: TestContext) {
  const root = mkdtempSync('/tmp/skiff-cri-');
  chmodSync(root, 0o711); // Root of a user namespace must be able to pass.
  const leaks = leakCheck(root);
  const paths = pathsUnder(root);
  const config = {
    paths,
    version: '0.0.0-test',
    log: silentLogger,
    cni: { configDir: join(paths.etc, 'cni'), binDirs: ['/usr/lib/cni'], writeDefault: true },
  };
  let server = createCriServer(config);
  await server.listen();
  let client = connectCri(server.endpoint);
  t.after(async () => {
    try {
      const { items } = await client.runtime.listPodSandbox({});
      for (const { id } of items) await client.runtime.removePodSandbox({ podSandboxId: id });
    } finally {
      client.close();
      await server.close();
    }
    await leaks.assertClean();
    rmSync(root, { recursive: true });
  });
  return {
    paths,
    client: (): CriClient => client,
    /** @param meanwhile runs between the end and the start. */
    async restart(meanwhile: () => void = () => {}) {
      client.close();
      await server.close();
      meanwhile();
      server = createCriServer(config);
      await server.listen();
      client = connectCri(server.endpoint);
    },
  };
}

const pod = (name: string, extra: object = {}) => ({
  config: {
    metadata: { name, namespace: 'default', uid: `uid-${name}`, attempt: 0 },
    linux: { securityContext: noPid },
    ...extra,
  },
});

const options = (namespaceOptions: object) => ({ linux: { securityContext: { namespaceOptions } } });

test('a sandbox runs with a network of its own, survives a restart, stops and goes without a trace', async (t) => {
  const node = await startServer(t);
  const { runtime } = node.client();
  assert.equal((await runtime.version({})).runtimeName, 'skiff');
  const status = await runtime.status({ verbose: true });
  assert.deepEqual(
    status.status?.conditions.map((condition) => condition.status),
    [true, true],
  );
  const request = pod('a', {
    hostname: 'web',
    labels: { app: 'x' },
    dnsConfig: { servers: ['10.0.0.10'], searches: ['svc'], options: ['ndots:5'] },
  });
  const { podSandboxId: id } = await runtime.runPodSandbox(request);
  assert.match(id, /^[0-9a-f]{64}$/);
  assert.equal((await runtime.runPodSandbox(request)).podSandboxId, id, 'a retry gets the same sandbox');
  const shown = await runtime.podSandboxStatus({ podSandboxId: id.slice(0, 13), verbose: true });
  assert.equal(shown.status?.state, PodSandboxState.SANDBOX_READY);
  assert.match(shown.status?.network?.ip ?? '', /^10\.(8[89]|9[0-5])\.\d+\.\d+$/);
  assert.equal(shown.status?.network?.additionalIps.length, 1);
  assert.equal(
    readFileSync(join(node.paths.run, 'sandboxes', id, 'resolv.conf'), 'utf8'),
    'search svc\nnameserver 10.0.0.10\noptions ndots:5\n',
  );
  await node.restart();
  const again = node.client().runtime;
  const after = await again.podSandboxStatus({ podSandboxId: id });
  assert.deepEqual(after.status, shown.status);
  assert.equal((await again.listPodSandbox({ filter: { labelSelector: { app: 'x' } } })).items.length, 1);
  assert.equal((await again.listPodSandbox({ filter: { labelSelector: { app: 'y' } } })).items.length, 0);
  await again.stopPodSandbox({ podSandboxId: id });
  await again.stopPodSandbox({ podSandboxId: id });
  const stopped = await again.podSandboxStatus({ podSandboxId: id });
  assert.equal(stopped.status?.state, PodSandboxState.SANDBOX_NOTREADY);
  await assert.rejects(again.runPodSandbox(request), { code: 'ALREADY_EXISTS' });
  await again.removePodSandbox({ podSandboxId: id });
  await again.removePodSandbox({ podSandboxId: id });
  await assert.rejects(again.podSandboxStatus({ podSandboxId: id }), { code: 'NOT_FOUND' });
  assert.equal(existsSync(join(node.paths.run, 'sandboxes', id)), false);
  assert.deepEqual(
    readdirSync(join(node.paths.lib, 'cni', 'networks', `skiff-${node.paths.tag}`)).filter(
      (name) => name.includes('.') && !name.startsWith('last'),
    ),
    [],
  );
});

/** Runs a command in pinned namespaces of a sandbox. */
function inPod(paths: { run: string }, id: string, kinds: string[], ...command: string[]): string {
  const joins = kinds.map((kind) => `--${kind}=${join(paths.run, 'sandboxes', id, 'ns', kind)}`);
  return execFileSync('nsenter', [...joins, ...command], { encoding: 'utf8' });
}

test('a pod on the network of the host has no network, host name or IPC of its own', async (t) => {
  const { client, paths } = await startServer(t);
  const { runtime } = client();
  const { podSandboxId: id } = await runtime.runPodSandbox(
    pod('host', {
      hostname: 'ignored',
      ...options({ network: NamespaceMode.NODE, pid: NamespaceMode.NODE, ipc: NamespaceMode.NODE }),
    }),
  );
  const { status } = await runtime.podSandboxStatus({ podSandboxId: id });
  assert.equal(status?.network?.ip, '');
  assert.equal(status?.linux?.namespaces?.options?.network, NamespaceMode.NODE);
  assert.deepEqual(readdirSync(join(paths.run, 'sandboxes', id, 'ns')), []);
  assert.equal(existsSync(join(paths.run, 'sandboxes', id, 'shm', 'x')), false);
  assert.equal(
    readFileSync(join(paths.run, 'sandboxes', id, 'hosts'), 'utf8'),
    readFileSync('/etc/hosts', 'utf8'),
  );
});

test('a shared PID namespace is held by a process that is confined and found again after a restart', async (t) => {
  const node = await startServer(t);
  const { podSandboxId: id } = await node
    .client()
    .runtime.runPodSandbox(pod('shared', { hostname: 'shared', ...options({ pid: NamespaceMode.POD }) }));
  const show = async () => {
    const { info } = await node.client().runtime.podSandboxStatus({ podSandboxId: id, verbose: true });
    return JSON.parse(info.info ?? '') as { pid: number; namespaces: { pid: string } };
  };
  const { pid, namespaces } = await show();
  assert.equal(statSync(namespaces.pid).ino, statSync(`/proc/${pid}/ns/pid`).ino);
  assert.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /^NSpid:\s+\d+\s+1$/m);
  assert.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /^CapEff:\s+0+$/m);
  assert.notEqual(readlinkSync(`/proc/${pid}/ns/mnt`), readlinkSync('/proc/self/ns/mnt'));
  assert.deepEqual(readdirSync(`/proc/${pid}/root`).toSorted(), ['dev', 'pause', 'proc', 'sys']);
  await node.restart();
  assert.equal((await show()).pid, pid);
  const { items } = await node
    .client()
    .runtime.listPodSandbox({ filter: { state: { state: PodSandboxState.SANDBOX_READY } } });
  assert.equal(items.length, 1);
  process.kill(pid, 'SIGKILL');
  await new Promise((resolve) => setTimeout(resolve, 200));
  await node.restart();
  const { status } = await node.client().runtime.podSandboxStatus({ podSandboxId: id });
  assert.equal(status?.state, PodSandboxState.SANDBOX_NOTREADY, 'without it the pod has ended');
});

test('a pod with a user namespace owns its network, and its root is nobody on the host', async (t) => {
  const { client, paths } = await startServer(t);
  const { runtime } = client();
  const mapping = { containerId: 0, hostId: 200_000, length: 65_536 };
  const usernsOptions = { mode: NamespaceMode.POD, uids: [mapping], gids: [mapping] };
  const { podSandboxId: id } = await runtime.runPodSandbox(
    pod('user', { hostname: 'mapped', ...options({ pid: NamespaceMode.CONTAINER, usernsOptions }) }),
  );
  assert.match(
    inPod(paths, id, ['user', 'net', 'uts'], 'cat', '/proc/self/uid_map'),
    /^\s*0\s+200000\s+65536/,
  );
  // Only the owner of a network namespace may change it: root of the user namespace can.
  inPod(paths, id, ['user', 'net'], 'ip', 'link', 'set', 'eth0', 'mtu', '1400');
  assert.equal(inPod(paths, id, ['user', 'uts'], 'hostname').trim(), 'mapped');
  assert.equal(statSync(join(paths.run, 'sandboxes', id, 'shm')).uid, 200_000);
  const { status } = await runtime.podSandboxStatus({ podSandboxId: id });
  assert.equal(status?.linux?.namespaces?.options?.usernsOptions?.uids[0]?.hostId, 200_000);
  const { podSandboxId: both } = await runtime.runPodSandbox(
    pod('both', options({ pid: NamespaceMode.POD, usernsOptions })),
  );
  const { info } = await runtime.podSandboxStatus({ podSandboxId: both, verbose: true });
  const { pid } = JSON.parse(info.info ?? '') as { pid: number };
  assert.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /^Uid:\s+265534\s/m);
});

test('after a reboot sandboxes are not ready, their addresses are free, and they can be removed', async (t) => {
  const node = await startServer(t);
  const { runtime } = node.client();
  const ports = [{ hostPort: 20_000 + (process.pid % 10_000), containerPort: 80 }];
  await runtime.runPodSandbox(pod('web', { portMappings: ports }));
  await runtime.runPodSandbox(
    pod('host', options({ network: NamespaceMode.NODE, pid: NamespaceMode.NODE, ipc: NamespaceMode.NODE })),
  );
  await runtime.runPodSandbox(pod('pid', options({ pid: NamespaceMode.POD })));
  const leases = join(node.paths.lib, 'cni', 'networks', `skiff-${node.paths.tag}`);
  assert.equal(readdirSync(leases).filter((name) => /^10\./.test(name)).length, 2);
  const { items } = await runtime.listPodSandbox({});
  const verbose = await Promise.all(
    items.map(({ id }) => runtime.podSandboxStatus({ podSandboxId: id, verbose: true })),
  );
  await node.restart(() => {
    for (const { info } of verbose) {
      const { pid } = JSON.parse(info.info ?? '') as { pid: number };
      if (pid !== 0) process.kill(pid, 'SIGKILL');
    }
    unmountTree(join(node.paths.run, 'sandboxes'));
    rmSync(node.paths.run, { recursive: true });
    execFileSync('nft', ['delete', 'table', 'ip', `skiff-${node.paths.tag}`]);
  });
  const after = await node.client().runtime.listPodSandbox({});
  assert.deepEqual(
    after.items.map(({ state }) => state),
    [1, 1, 1],
  );
  assert.deepEqual(
    readdirSync(leases).filter((name) => /^10\./.test(name)),
    [],
  );
  const again = pod('web', { portMappings: ports });
  again.config.metadata.attempt = 1;
  await node.client().runtime.runPodSandbox(again);
});

test('updated resources of a pod are remembered', async (t) => {
  const node = await startServer(t);
  const { podSandboxId } = await node.client().runtime.runPodSandbox(pod('r'));
  await node.client().runtime.updatePodSandboxResources({ podSandboxId, overhead: { cpuShares: 7n } });
  await node.restart();
  const { info } = await node.client().runtime.podSandboxStatus({ podSandboxId, verbose: true });
  assert.match(info.info ?? '', /"overhead":\{"cpuShares":"7"\}/);
  await node.client().runtime.stopPodSandbox({ podSandboxId });
  await assert.rejects(node.client().runtime.updatePodSandboxResources({ podSandboxId }), {
    code: 'FAILED_PRECONDITION',
  });
  await assert.rejects(node.client().runtime.updatePodSandboxResources({ podSandboxId: 'x' }), {
    code: 'NOT_FOUND',
  });
});

test('sysctls of the pod are set, those of the machine refused', async (t) => {
  const { client, paths } = await startServer(t);
  const { runtime } = client();
  const sysctls = { 'net.core.somaxconn': '77', 'kernel.shm_rmid_forced': '1', 'fs.mqueue.msg_max': '13' };
  const { podSandboxId: id } = await runtime.runPodSandbox(
    pod('s', { linux: { sysctls, securityContext: noPid } }),
  );
  const read = (name: string) => inPod(paths, id, ['net', 'ipc'], 'cat', `/proc/sys/${name}`).trim();
  assert.equal(read('net/core/somaxconn'), '77');
  assert.equal(read('net/ipv4/ip_unprivileged_port_start'), '0');
  assert.equal(read('kernel/shm_rmid_forced'), '1');
  assert.equal(read('fs/mqueue/msg_max'), '13');
  for (const [name, value, message] of [
    ['kernel.panic', '1', /would change the whole machine/],
    ['net.core.nonsense', '1', /Cannot set the sysctl/],
    ['net/../kernel/panic', '1', /cannot be set for a pod/],
  ] as const)
    await assert.rejects(
      runtime.runPodSandbox(pod('bad', { linux: { sysctls: { [name]: value }, securityContext: noPid } })),
      { code: 'INVALID_ARGUMENT', message },
    );
});

test('bad requests are refused with the field and leave nothing', async (t) => {
  const { client } = await startServer(t);
  const { runtime } = client();
  const mapping = { containerId: 5, hostId: 200_000, length: 10 };
  const cases: [object, RegExp][] = [
    [{}, /config is missing/],
    [{ config: { metadata: { name: 'x' } } }, /metadata needs a name/],
    [{ ...pod('x'), runtimeHandler: 'nonsense' }, /no runtime handler "nonsense"/],
    [pod('x', { hostname: 'a'.repeat(65) }), /hostname is longer/],
    [pod('x', { hostname: 'a/b' }), /hostname/],
    [pod('x', { logDirectory: 'relative' }), /not an absolute path/],
    [pod('x', { logDirectory: '/var/log/../../etc' }), /".." in it/],
    [pod('x', { portMappings: [{ hostPort: 70_000, containerPort: 1 }] }), /70000 is not a port/],
    [pod('x', { portMappings: [{ hostPort: 7000, containerPort: 1, hostIp: 'here' }] }), /not an IP address/],
    [pod('x', { annotations: { 'kubernetes.io/ingress-bandwidth': 'fast' } }), /not a rate/],
    [pod('x', options({ network: NamespaceMode.CONTAINER })), /network must be POD or NODE/],
    [pod('x', options({ usernsOptions: { mode: NamespaceMode.POD } })), /exactly one mapping/],
    [
      pod('x', options({ usernsOptions: { mode: NamespaceMode.POD, uids: [mapping], gids: [mapping] } })),
      /container id 0/,
    ],
  ];
  for (const [request, message] of cases) await assert.rejects(runtime.runPodSandbox(request), { message });
  assert.deepEqual((await runtime.listPodSandbox({})).items, []);
});

test('the network status follows the directory of configuration', async (t) => {
  const { client, paths } = await startServer(t);
  const { runtime } = client();
  const file = join(paths.etc, 'cni', '10-skiff.conflist');
  const text = readFileSync(file, 'utf8');
  const network = async () =>
    (await runtime.status({})).status?.conditions.find(({ type }) => type === 'NetworkReady');
  rmSync(file);
  assert.equal((await network())?.reason, 'NetworkPluginNotReady');
  await assert.rejects(runtime.runPodSandbox(pod('x')), {
    code: 'UNAVAILABLE',
    message: /pod network is not ready/,
  });
  writeFileSync(file, '{ "cniVersion": ');
  assert.match((await network())?.message ?? '', /10-skiff.conflist/);
  writeFileSync(file, text);
  assert.equal((await network())?.status, true);
});

test('fifty clients at once, on different pods and on the same', async (t) => {
  const { client } = await startServer(t);
  const { runtime } = client();
  const clients = Array.from({ length: 50 }, (_, at) => at);
  const ids = await Promise.all(
    clients.map(async (at) => (await runtime.runPodSandbox(pod(`p${at}`))).podSandboxId),
  );
  assert.equal(new Set(ids).size, 50);
  const same = await Promise.all(
    clients.map(async () => (await runtime.runPodSandbox(pod('one'))).podSandboxId),
  );
  assert.equal(new Set(same).size, 1, 'all get the same sandbox');
  const podSandboxId = same[0] ?? '';
  await Promise.all(
    clients.map((at) =>
      at % 2 === 0 ? runtime.stopPodSandbox({ podSandboxId }) : runtime.removePodSandbox({ podSandboxId }),
    ),
  );
  await assert.rejects(runtime.podSandboxStatus({ podSandboxId }), { code: 'NOT_FOUND' });
  await Promise.all(ids.map((id) => runtime.removePodSandbox({ podSandboxId: id })));
  assert.deepEqual((await runtime.listPodSandbox({})).items, []);
});
