import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import {
  ImageSchema,
  MountPropagation,
  NamespaceMode,
  PodSandboxConfigSchema,
  SecurityProfile_ProfileType,
  Signal,
  SupplementalGroupsPolicy,
} from '#contracts/cri/runtime_pb.ts';
import type { Container, Pod } from '#contracts/kubernetes/types.ts';
import { unmountTree } from '#foundation/linux/mount.ts';
import type { ContainerContext } from '../ports.ts';
import { type BuilderDeps, createContainerConfigBuilder } from './builder.ts';
import { nothingAllocated } from './devices.ts';
import { podDns } from './dns.ts';
import { podNames } from './hostname.ts';
import { findMaskedPaths } from './proc-mount.ts';
import { dotted } from './sandbox.ts';
import { namespaceOptions } from './security.ts';

const roots: string[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) {
    unmountTree(root);
    rmSync(root, { recursive: true, force: true });
  }
});

function setup(changes: Partial<BuilderDeps> = {}) {
  const root = mkdtempSync('/tmp/skiff-cc-');
  roots.push(root);
  mkdirSync(`${root}/pods/u1`, { recursive: true });
  writeFileSync(`${root}/hosts`, '192.0.2.1 node\n');
  writeFileSync(`${root}/resolv`, 'nameserver 192.0.2.53\nsearch lan. .\noptions timeout:1 rotate\n');
  const events: string[] = [];
  const builder = createContainerConfigBuilder({
    kubeletRoot: root,
    hostsFile: `${root}/hosts`,
    dns: { clusterDns: [], clusterDomain: 'cluster.local', resolvConf: `${root}/resolv` },
    security: { kubeletRoot: root, seccompDefault: false, maskedPaths: findMaskedPaths() },
    resources: () => ({
      memoryCapacity: 2 ** 32,
      swapCapacity: 0,
      cgroupVersion: 1,
      enforceCpuLimits: true,
      cpuPeriod: 100_000,
      swapBehavior: 'NoSwap',
      singleProcessOomKill: false,
      hugePageSizes: [],
    }),
    allocatable: () => ({ milliCpu: 2000, memory: 2 ** 32, ephemeralStorage: 0 }),
    cgroups: () => ({ driver: 'cgroupfs', root: ['kubepods'] }),
    namespaces: (pod, target) => namespaceOptions(pod, target),
    recursiveReadOnly: () => false,
    runtimeHandler: async (name) => `handler-of-${name}`,
    objects: { configMap: async () => undefined, secret: async () => undefined },
    services: () => [],
    node: { ips: () => ['192.0.2.1'] },
    devices: async () => nothingAllocated,
    events: { pod: (_pod, _type, reason) => events.push(reason) },
    ...changes,
  });
  return { root, builder, events };
}

function podOf(container: Partial<Container>, spec: Partial<Pod['spec']> = {}): Pod {
  return {
    metadata: { name: 'web', namespace: 'app', uid: 'u1', labels: { a: 'b' }, annotations: { note: 'n' } },
    spec: { ...spec, containers: [{ name: 'c', image: 'img:1', ...container }] },
  };
}

function contextOf(changes: Partial<ContainerContext> = {}): ContainerContext {
  return {
    kind: 'regular',
    attempt: 0,
    sandboxId: 's1',
    sandboxConfig: create(PodSandboxConfigSchema),
    imageRef: 'sha256:1',
    image: create(ImageSchema, { uid: { value: 0n } }),
    podIps: ['10.1.0.5'],
    mounts: new Map(),
    imageVolumes: new Map(),
    labels: { l: '1' },
    annotations: { an: '2' },
    logPath: 'c/0.log',
    ...changes,
  };
}

async function containerOf(
  container: Partial<Container>,
  context: Partial<ContainerContext> = {},
  spec: Partial<Pod['spec']> = {},
) {
  const { builder } = setup();
  const pod = podOf(container, spec);
  const [first] = pod.spec.containers;
  assert.ok(first);
  return builder.containerConfig(pod, first, contextOf(context));
}

test('a container: words expanded, files kept, hosts and termination log mounted', async () => {
  const { builder, root } = setup();
  const pod = podOf({
    command: ['sh', '-c', 'echo $(WHO)'],
    args: ['$(NONE)'],
    env: [{ name: 'WHO', value: 'me' }],
    tty: true,
    stdin: true,
    lifecycle: { stopSignal: 'SIGUSR1' },
  });
  const config = await builder.containerConfig(pod, pod.spec.containers[0]!, contextOf());
  assert.deepEqual(config.command, ['sh', '-c', 'echo me']);
  assert.deepEqual(config.args, ['$(NONE)']);
  assert.equal(config.image?.image, 'sha256:1');
  assert.equal(config.image?.userSpecifiedImage, 'img:1');
  assert.equal(config.logPath, 'c/0.log');
  assert.deepEqual([config.tty, config.stdin, config.stdinOnce], [true, true, false]);
  assert.equal(config.stopSignal, Signal.SIGUSR1);
  const [hosts, log] = config.mounts;
  assert.equal(hosts?.containerPath, '/etc/hosts');
  assert.match(
    readFileSync(hosts?.hostPath ?? '', 'utf8'),
    /^# Kubernetes-managed hosts file\.\n127\.0\.0\.1\tlocalhost\n[\s\S]*10\.1\.0\.5\tweb\n$/,
  );
  assert.equal(log?.containerPath, '/dev/termination-log');
  assert.match(log?.hostPath ?? '', new RegExp(`^${root}/pods/u1/containers/c/[0-9a-f]{8}$`));
  assert.equal(statSync(log?.hostPath ?? '').mode & 0o777, 0o666);
});

test('the container’s own mount at /etc/hosts wins', async () => {
  const mounts = new Map([['v', { hostPath: '/tmp', readOnly: false }]]);
  const config = await containerOf({ volumeMounts: [{ name: 'v', mountPath: '/etc/hosts' }] }, { mounts });
  assert.equal(config.mounts.filter((mount) => mount.containerPath === '/etc/hosts').length, 1);
  assert.equal(config.mounts[0]?.hostPath, '/tmp');
});

test('mounts: read-only volumes, propagation, sub-paths by expression, image volumes', async () => {
  const { builder, root } = setup();
  mkdirSync(`${root}/vol`);
  const mounts = new Map([
    ['v', { hostPath: `${root}/vol`, readOnly: false }],
    ['ro', { hostPath: '/usr', readOnly: true }],
    ['img', { hostPath: '', readOnly: true }],
  ]);
  const pod = podOf({
    env: [{ name: 'POD', value: 'web-0' }],
    volumeMounts: [
      { name: 'v', mountPath: '/a', mountPropagation: 'Bidirectional' },
      { name: 'ro', mountPath: '/b' },
      { name: 'v', mountPath: 'relative', subPathExpr: 'x/$(POD)' },
      { name: 'img', mountPath: '/i', subPath: 'etc' },
    ],
  });
  const context = contextOf({ mounts, imageVolumes: new Map([['img', { imageRef: 'sha256:2' }]]) });
  const { mounts: made } = await builder.containerConfig(pod, pod.spec.containers[0]!, context);
  assert.equal(made[0]?.propagation, MountPropagation.PROPAGATION_BIDIRECTIONAL);
  assert.equal(made[1]?.readonly, true);
  assert.equal(made[2]?.containerPath, '/relative');
  assert.equal(made[2]?.hostPath, `${root}/pods/u1/volume-subpaths/v/c/2`);
  assert.equal(statSync(`${root}/vol/x/web-0`).isDirectory(), true);
  assert.equal(made[3]?.image?.image, 'sha256:2');
  assert.equal(made[3]?.imageSubPath, 'etc');
  await builder.release('u1', 'c');
  assert.deepEqual(readdirSync(`${root}/pods/u1/volume-subpaths/v`), []);
});

test('what a failing container took is given back', async () => {
  const { builder, root } = setup();
  mkdirSync(`${root}/vol`);
  const pod = podOf({
    volumeMounts: [
      { name: 'v', mountPath: '/a', subPath: 'x' },
      { name: 'v', mountPath: '/b', subPathExpr: '$(NONE)' },
    ],
  });
  const mounts = new Map([['v', { hostPath: `${root}/vol`, readOnly: false }]]);
  const making = builder.containerConfig(pod, pod.spec.containers[0]!, contextOf({ mounts }));
  await assert.rejects(making, /missing value for "NONE"/);
  assert.deepEqual(readdirSync(`${root}/pods/u1/volume-subpaths/v`), []);
  const unknown = podOf({ volumeMounts: [{ name: 'none', mountPath: '/a' }] });
  const failing = builder.containerConfig(unknown, unknown.spec.containers[0]!, contextOf());
  await assert.rejects(failing, /cannot find volume "none"/);
});

test('security: the container’s word over the pod’s', async () => {
  const config = await containerOf(
    {
      securityContext: {
        runAsUser: 7,
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
        capabilities: { add: ['NET_ADMIN'], drop: ['ALL'] },
        seccompProfile: { type: 'Localhost', localhostProfile: 'p.json' },
        procMount: 'Unmasked',
      },
    },
    {},
    {
      securityContext: {
        runAsUser: 1,
        runAsGroup: 2,
        fsGroup: 3,
        supplementalGroups: [4],
        supplementalGroupsPolicy: 'Strict',
        appArmorProfile: { type: 'Unconfined' },
      },
    },
  );
  const security = config.linux?.securityContext;
  assert.equal(security?.runAsUser?.value, 7n);
  assert.equal(security?.runAsGroup?.value, 2n);
  assert.deepEqual(security?.supplementalGroups, [3n, 4n]);
  assert.equal(security?.supplementalGroupsPolicy, SupplementalGroupsPolicy.Strict);
  assert.equal(security?.noNewPrivs, true);
  assert.equal(security?.readonlyRootfs, true);
  assert.deepEqual(security?.capabilities?.dropCapabilities, ['ALL']);
  assert.match(security?.seccomp?.localhostRef ?? '', /\/seccomp\/p\.json$/);
  assert.equal(security?.apparmor?.profileType, SecurityProfile_ProfileType.Unconfined);
  assert.deepEqual(security?.maskedPaths, []);
  assert.deepEqual(security?.readonlyPaths, []);
});

test('security: the defaults', async () => {
  const security = (await containerOf({})).linux?.securityContext;
  assert.equal(security?.runAsUser?.value, 0n);
  assert.equal(security?.noNewPrivs, false);
  assert.equal(security?.seccomp?.profileType, SecurityProfile_ProfileType.Unconfined);
  assert.equal(security?.apparmor, undefined);
  assert.ok(security?.maskedPaths.includes('/proc/kcore'));
  assert.ok(security?.readonlyPaths.includes('/proc/sys'));
  const named = await containerOf({}, { image: create(ImageSchema, { username: 'www' }) });
  assert.equal(named.linux?.securityContext?.runAsUsername, 'www');
});

const nonRoot = { securityContext: { runAsNonRoot: true } };
for (const [name, container, image, wanted] of [
  [
    'root in the manifest',
    { securityContext: { runAsNonRoot: true, runAsUser: 0 } },
    {},
    /runAsUser breaks non-root policy/,
  ],
  ['root in the image', nonRoot, { uid: { value: 0n } }, /image will run as root/],
  ['no user in the image', nonRoot, {}, /image will run as root/],
  ['a name in the image', nonRoot, { username: 'www' }, /non-numeric user \(www\), cannot verify/],
  ['a number in the image', nonRoot, { uid: { value: 9n } }, undefined],
  ['a number in the manifest', { securityContext: { runAsNonRoot: true, runAsUser: 9 } }, {}, undefined],
] as const)
  test(`runAsNonRoot with ${name}`, async () => {
    const making = containerOf(container, { image: create(ImageSchema, image) });
    if (wanted === undefined) await making;
    else await assert.rejects(making, wanted);
  });

test('namespaces', () => {
  const modes = (spec: Partial<Pod['spec']>, target?: string) => {
    const { network, pid, ipc, targetId } = namespaceOptions(podOf({}, spec), target);
    return [network, pid, ipc, targetId];
  };
  const { POD, CONTAINER, NODE, TARGET } = NamespaceMode;
  assert.deepEqual(modes({}), [POD, CONTAINER, POD, '']);
  assert.deepEqual(modes({ hostNetwork: true, hostPID: true, hostIPC: true }), [NODE, NODE, NODE, '']);
  assert.deepEqual(modes({ shareProcessNamespace: true }), [POD, POD, POD, '']);
  assert.deepEqual(modes({}, 'abc'), [POD, TARGET, POD, 'abc']);
});

test('a sandbox: names, DNS, ports, cgroup, sysctls, overhead beside the rest', async () => {
  const { builder, events } = setup();
  const pod = podOf(
    {
      ports: [
        { containerPort: 80, hostPort: 8080, hostIP: '127.0.0.1' },
        { containerPort: 53, protocol: 'UDP' },
      ],
      resources: { limits: { cpu: '1', memory: '1Mi' } },
    },
    {
      runtimeClassName: 'vm',
      overhead: { cpu: '250m', memory: '1Mi' },
      securityContext: { sysctls: [{ name: 'net/ipv4/tcp_syncookies', value: '0' }] },
    },
  );
  const context = { attempt: 2, labels: { a: 'core' }, annotations: {}, logDirectory: '/var/log/pods/x' };
  const { config, runtimeHandler } = await builder.sandboxConfig(pod, context);
  assert.equal(runtimeHandler, 'handler-of-vm');
  assert.equal(config.hostname, 'web');
  assert.equal(config.metadata?.attempt, 2);
  assert.deepEqual(config.labels, { a: 'core' });
  assert.deepEqual(config.annotations, { note: 'n' });
  assert.deepEqual(config.dnsConfig?.servers, ['192.0.2.53']);
  assert.deepEqual(config.dnsConfig?.searches, ['lan']);
  assert.deepEqual(events, ['MissingClusterDNS']);
  assert.deepEqual(
    config.portMappings.map((port) => [port.containerPort, port.hostPort, port.protocol]),
    [
      [80, 8080, 0],
      [53, 0, 1],
    ],
  );
  assert.equal(config.linux?.cgroupParent, '/kubepods/podu1');
  assert.deepEqual(config.linux?.sysctls, { 'net.ipv4.tcp_syncookies': '0' });
  assert.equal(config.linux?.resources?.memoryLimitInBytes, 2n ** 20n);
  assert.equal(config.linux?.overhead?.cpuQuota, 25_000n);
  assert.equal(
    config.linux?.securityContext?.seccomp?.profileType,
    SecurityProfile_ProfileType.RuntimeDefault,
  );
  const host = await builder.sandboxConfig(podOf({}, { hostNetwork: true }), context);
  assert.equal(host.config.hostname, '');
  assert.deepEqual(host.config.portMappings, []);
});

for (const [name, wanted] of [
  ['kernel.shm_rmid_forced', 'kernel.shm_rmid_forced'],
  ['net/ipv4/conf/eth0.1/forwarding', 'net.ipv4.conf.eth0/1.forwarding'],
  ['net.ipv4.conf.eth0/1.forwarding', 'net.ipv4.conf.eth0/1.forwarding'],
] as const)
  test(`sysctl ${name}`, () => assert.equal(dotted(name), wanted));

test('DNS policies', () => {
  const { root } = setup();
  const settings = {
    clusterDns: ['10.0.0.10'],
    clusterDomain: 'cluster.local',
    resolvConf: `${root}/resolv`,
  };
  const of = (spec: Partial<Pod['spec']>) => podDns(podOf({}, spec), settings).dns;
  assert.deepEqual(of({}), {
    servers: ['10.0.0.10'],
    searches: ['app.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'lan'],
    options: ['ndots:5'],
  });
  assert.deepEqual(of({ dnsPolicy: 'Default' }).options, ['timeout:1', 'rotate']);
  assert.deepEqual(of({ hostNetwork: true }).servers, ['192.0.2.53']);
  assert.deepEqual(of({ hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }).servers, ['10.0.0.10']);
  const own = {
    nameservers: ['1.1.1.1', '10.0.0.10'],
    searches: ['x'],
    options: [{ name: 'ndots', value: '2' }, { name: 'edns0' }],
  };
  assert.deepEqual(of({ dnsPolicy: 'None', dnsConfig: own }), {
    servers: own.nameservers,
    searches: ['x'],
    options: ['ndots:2', 'edns0'],
  });
  assert.deepEqual(of({ dnsConfig: own }).servers, ['10.0.0.10', '1.1.1.1']);
  assert.deepEqual(of({ dnsConfig: own }).options, ['ndots:2', 'edns0']);
  const many = { nameservers: ['1.1.1.1', '1.1.1.2', '1.1.1.3'] };
  const { dns, warnings } = podDns(podOf({}, { dnsConfig: many }), settings);
  assert.equal(dns.servers.length, 3);
  assert.equal(warnings[0]?.reason, 'DNSConfigForming');
});

test('hostnames', () => {
  const names = (spec: Partial<Pod['spec']>, name = 'web') =>
    podNames({ ...podOf({}, spec), metadata: { name, namespace: 'app' } }, 'cluster.local');
  assert.equal(names({}, `${'x'.repeat(62)}.-y`).hostname, 'x'.repeat(62));
  assert.equal(names({ hostname: 'h', subdomain: 's' }).domain, 's.app.svc.cluster.local');
  assert.equal(
    names({ hostname: 'h', subdomain: 's', setHostnameAsFQDN: true }).kernelName,
    'h.s.app.svc.cluster.local',
  );
  assert.throws(() => names({ subdomain: 's'.repeat(60), setHostnameAsFQDN: true }), /is too long/);
  assert.deepEqual(names({ hostnameOverride: 'o', subdomain: 's' }), {
    hostname: 'o',
    domain: '',
    kernelName: 'o',
  });
});

test('a host-network pod gets the machine’s hosts file and its aliases', async () => {
  const config = await containerOf(
    {},
    {},
    { hostNetwork: true, hostAliases: [{ ip: '1.2.3.4', hostnames: ['x', 'y'] }] },
  );
  const hosts = config.mounts.find((mount) => mount.containerPath === '/etc/hosts');
  assert.equal(
    readFileSync(hosts?.hostPath ?? '', 'utf8'),
    '# Kubernetes-managed hosts file (host network).\n192.0.2.1 node\n\n# Entries added by HostAliases.\n1.2.3.4\tx\ty\n',
  );
});
