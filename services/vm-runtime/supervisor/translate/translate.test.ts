import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import type { RuntimeSpec, SpecMount } from '#contracts/oci/runtime.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import { mount, unmount, unmountTree } from '#foundation/linux/mount.ts';
import { testSpec } from '../../../../test/vm/pod-fixture.ts';
import { type PodFacts, planContainer } from './index.ts';

const facts: PodFacts = {
  sharePrefix: 'abc-',
  bundle: '/bundle',
  guestPidOf: (pid) => (pid === 77 ? 1234 : undefined),
  sharedPid: false,
};
/** A socket of the host's. */
const socket = `/tmp/skiff-tr-${process.pid}.sock`;

function specWith(change: (spec: RuntimeSpec) => void): RuntimeSpec {
  const spec = testSpec(['true']);
  change(spec);
  return spec;
}

function bind(source: string, destination: string, ...options: string[]): SpecMount {
  return { source, destination, type: 'bind', options };
}

test('roots and volumes become shares, read-only ones on both sides', (t) => {
  const directory = mkdtempSync('/tmp/skiff-tr-');
  t.after(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, 'hosts'), '');
  const spec = specWith((one) => {
    one.root = { path: 'rootfs', readonly: true };
    one.mounts = [
      { destination: '/proc', type: 'proc', source: 'proc' },
      bind(`${directory}/hosts`, '/etc/hosts', 'bind', 'ro'),
      bind(directory, '/data', 'rbind', 'rprivate'),
    ];
  });
  const plan = planContainer(spec, facts);
  assert.deepEqual(plan.shares, [
    {
      name: 'abc-root',
      source: '/bundle/rootfs',
      readOnly: false,
      recursive: true,
      follows: false,
      guestPath: '/run/share/abc-root',
    },
    {
      name: 'abc-m1',
      source: `${directory}/hosts`,
      readOnly: true,
      recursive: false,
      follows: false,
      guestPath: '/run/share/abc-m1',
    },
    {
      name: 'abc-m2',
      source: directory,
      readOnly: false,
      recursive: true,
      follows: false,
      guestPath: '/run/share/abc-m2',
    },
  ]);
  assert.deepEqual(plan.config.root, { path: '/run/share/abc-root', readonly: true });
  assert.deepEqual(
    plan.config.mounts.map(({ source, destination, options }) => [source, destination, options]),
    [
      ['proc', '/proc', undefined],
      ['/run/share/abc-m1', '/etc/hosts', ['bind', 'ro']],
      ['/run/share/abc-m2', '/data', ['rbind', 'rprivate']],
    ],
  );
});

test('a read-only volume is open in the guest where what is mounted below may be written to', (t) => {
  const directory = mkdtempSync('/tmp/skiff-tr-');
  mkdirSync(join(directory, 'below'));
  mount({ source: 'tmpfs', target: join(directory, 'below'), type: 'tmpfs' });
  t.after(() => {
    unmountTree(directory);
    rmSync(directory, { recursive: true });
  });
  const plan = planContainer(
    specWith((one) => {
      one.mounts = [
        bind(directory, '/a', 'rbind', 'rprivate', 'ro'),
        bind(directory, '/b', 'rbind', 'rprivate', 'rro'),
        bind(directory, '/c', 'bind', 'ro'),
        bind(join(directory, 'below'), '/d', 'rbind', 'rslave', 'ro'),
        bind(join(directory, 'below'), '/e', 'rbind', 'rprivate', 'ro'),
      ];
    }),
    facts,
  );
  assert.deepEqual(
    plan.shares.slice(1).map(({ readOnly, follows }) => [readOnly, follows]),
    [
      [true, false],
      ['recursive', false],
      [true, false],
      [true, true],
      [true, false],
    ],
  );
  const access = plan.config.mounts.map(({ options }) => options?.at(-1));
  assert.deepEqual(access, ['rw', 'ro', 'ro', 'rw', 'ro']);
});

test("memory that containers share is the guest's, with its size and owner", (t) => {
  const directory = mkdtempSync('/tmp/skiff-tr-');
  const volume = join(directory, 'volumes/kubernetes.io~empty-dir/cache');
  mkdirSync(volume, { recursive: true });
  const shm = join(directory, 'shm');
  mkdirSync(shm);
  for (const target of [volume, shm])
    mount({ source: 'tmpfs', target, type: 'tmpfs', data: 'size=1048576,mode=0777,gid=42' });
  t.after(() => {
    for (const target of [volume, shm]) unmount(target);
    rmSync(directory, { recursive: true });
  });
  const spec = specWith((one) => {
    one.mounts = [bind(volume, '/cache', 'rbind'), bind(shm, '/dev/shm', 'rbind')];
  });
  const { tmpfs, shares, config } = planContainer(spec, facts);
  assert.equal(shares.length, 1);
  assert.deepEqual(
    tmpfs.map(({ bytes, mode, gid }) => [bytes, mode, gid]),
    [
      [1048576, 0o777, 42],
      [1048576, 0o777, 42],
    ],
  );
  assert.match(config.mounts[0]?.source ?? '', /^\/run\/pod\/[0-9a-f]{16}$/);
  assert.equal(config.mounts[1]?.source, '/run/pod/shm');
});

test("the pod's namespaces are the guest's; a PID namespace is found by its shim", () => {
  const spec = specWith((one) => {
    one.linux.namespaces = [
      { type: 'network', path: '/run/netns/x' },
      { type: 'ipc', path: '/x' },
      { type: 'uts' },
      { type: 'mount' },
      { type: 'cgroup' },
      { type: 'pid', path: '/proc/77/ns/pid' },
    ];
    one.linux.sysctl = { 'net.core.somaxconn': '100' };
    one.linux.cgroupsPath = '/kubepods/x';
    one.process.apparmorProfile = 'p';
    one.process.selinuxLabel = 'l';
    one.hostname = 'h';
  });
  const { config, sysctls } = planContainer(spec, facts);
  assert.deepEqual(config.linux.namespaces, [
    { type: 'cgroup' },
    { type: 'mount' },
    { type: 'pid', path: '/proc/1234/ns/pid' },
  ]);
  assert.deepEqual(sysctls, { 'net.core.somaxconn': '100' });
  assert.deepEqual(
    [config.linux.sysctl, config.linux.cgroupsPath, config.hostname, config.process.apparmorProfile],
    [undefined, undefined, undefined, undefined],
  );
  const shared = specWith((one) => {
    one.linux.namespaces = one.linux.namespaces.map((namespace) =>
      namespace.type === 'pid' ? { type: 'pid', path: '/run/skiff/ns/pid' } : namespace,
    );
  });
  assert.throws(() => planContainer(shared, facts), /belongs to no container of its pod/);
  assert.deepEqual(planContainer(shared, { ...facts, sharedPid: true }).config.linux.namespaces[1], {
    type: 'pid',
    path: '/run/ns/pid',
  });
});

test('what users, capabilities, seccomp and limits say stays; what only the host knows goes', () => {
  const spec = specWith((one) => {
    Object.assign(one.process, {
      noNewPrivileges: true,
      oomScoreAdj: 5,
      rlimits: [{ type: 'RLIMIT_CORE', soft: 0, hard: 0 }],
    });
    one.linux.seccomp = { defaultAction: 'SCMP_ACT_ERRNO' };
    one.linux.maskedPaths = ['/proc/kcore'];
    one.linux.resources = {
      memory: { limit: 5 },
      cpu: { shares: 3, cpus: '1' },
      pids: { limit: 7 },
      unified: { 'memory.high': '4', 'cpuset.cpus': '1' },
    };
    one.linux.devices = [{ type: 'c', path: '/dev/fuse', major: 10, minor: 229 }];
    one.annotations = { 'run.oci.seccomp_bpf_data': 'x' };
    one.hooks = { startContainer: [{ path: '/hook' }], poststop: [{ path: '/x' }] };
  });
  const { config } = planContainer(spec, facts);
  assert.deepEqual(config.process, spec.process);
  assert.deepEqual([config.linux.seccomp, config.linux.maskedPaths], [spec.linux.seccomp, ['/proc/kcore']]);
  const { devices, ...limits } = config.linux.resources ?? {};
  assert.deepEqual(limits, {
    memory: { limit: 5 },
    cpu: { shares: 3 },
    pids: { limit: 7 },
    unified: { 'memory.high': '4' },
  });
  assert.equal(devices?.[0]?.allow, false);
  assert.deepEqual(config.hooks, { startContainer: [{ path: '/hook' }] });
  assert.deepEqual(config.annotations, {});
});

const without = (type: string) => (spec: RuntimeSpec) => {
  spec.linux.namespaces = spec.linux.namespaces.filter((namespace) => namespace.type !== type);
};
const withMount = (mounted: SpecMount) => (spec: RuntimeSpec) => {
  spec.mounts = [mounted];
};

const refusals: { what: string; change: (spec: RuntimeSpec) => void; message: RegExp }[] = [
  { what: 'host network', change: without('network'), message: /the host's network namespace/ },
  { what: 'host PIDs', change: without('pid'), message: /the host's PID namespace/ },
  { what: 'host IPC', change: without('ipc'), message: /the host's IPC namespace/ },
  {
    what: 'a host device',
    change: (spec) => {
      spec.linux.devices = [{ type: 'b', path: '/dev/sda', major: 8, minor: 0 }];
    },
    message: /the device \/dev\/sda/,
  },
  {
    what: 'sockets',
    change: withMount(bind(socket, '/s')),
    message: /its server is on the host/,
  },
  {
    what: '/sys of the host',
    change: withMount(bind('/sys/kernel', '/s')),
    message: /shows the host's kernel/,
  },
  { what: 'shared propagation', change: withMount(bind('/tmp', '/s', 'rshared')), message: /bidirectional/ },
  {
    what: 'block file systems',
    change: withMount({ destination: '/x', type: 'ext4' }),
    message: /type "ext4"/,
  },
  {
    what: 'mapped ids',
    change: withMount({ ...bind('/tmp', '/s'), uidMappings: [{ containerID: 0, hostID: 1, size: 1 }] }),
    message: /mapped ids/,
  },
  {
    what: 'createContainer hooks',
    change: (spec) => {
      spec.hooks = { createContainer: [{ path: '/x' }] };
    },
    message: /createContainer hooks/,
  },
  {
    what: 'seccomp listeners',
    change: (spec) => {
      spec.linux.seccomp = { defaultAction: 'SCMP_ACT_NOTIFY', listenerPath: '/x' };
    },
    message: /seccomp listener/,
  },
  {
    what: 'huge pages',
    change: (spec) => {
      spec.linux.resources = { hugepageLimits: [{ pageSize: '2MB', limit: 1 }] };
    },
    message: /huge pages/,
  },
];

for (const { what, change, message } of refusals)
  test(`${what}: refused, with what to do instead`, async (t) => {
    const server = createServer().listen(socket);
    t.after(() => server.close());
    assert.throws(
      () => planContainer(specWith(change), facts),
      (error) =>
        isSkiffError(error, 'FAILED_PRECONDITION') &&
        message.test(error.message) &&
        /runtimeClassName: plain/.test(error.message),
    );
  });

test('a mount source that is not there is named', () => {
  const spec = specWith(withMount(bind('/tmp/not-there', '/s')));
  assert.throws(() => planContainer(spec, facts), /cannot mount \/tmp\/not-there on \/s: there is no such/);
});

test('links and mounts that lead into the kernel of the host are refused, others are not', (t) => {
  const directory = mkdtempSync('/tmp/skiff-tr');
  const link = (name: string, target: string) => {
    symlinkSync(target, `${directory}/${name}`);
    return `${directory}/${name}`;
  };
  const doors = ['/proc', '/proc/version', '/sys/kernel', '/dev', '/proc/self/ns/net'];
  const links = doors.map((target, index) => link(`door${index}`, target));
  const mounted = `${directory}/mounted`;
  mkdirSync(mounted);
  mount({ source: 'proc', target: mounted, type: 'proc' });
  t.after(() => {
    unmountTree(directory);
    rmSync(directory, { recursive: true });
  });
  const planned = (source: string) => planContainer(specWith(withMount(bind(source, '/s'))), facts);
  for (const path of [...links, link('over', links[0] ?? ''), `${links[0]}/sys`, mounted])
    assert.throws(
      () => planned(path),
      (error) => isSkiffError(error, 'FAILED_PRECONDITION') && /shows the host's kernel/.test(error.message),
      path,
    );
  mkdirSync(`${directory}/plain`);
  const { shares } = planned(link('fine', `${directory}/plain`));
  assert.equal(shares.at(-1)?.source, `${directory}/fine`);
});
