/** Every kind of adjustment, what removes it, and who may not set it twice. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromJson, type JsonValue } from '@bufbuild/protobuf';
import { ContainerAdjustmentSchema } from '#contracts/nri/nri_pb.ts';
import type { RuntimeSpec } from '#contracts/oci/runtime.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import { type ClaimTable, claimTable } from './claims.ts';
import { adjustSpec } from './index.ts';

const base = (): RuntimeSpec => ({
  ociVersion: '1.0.2',
  process: {
    user: { uid: 0, gid: 0 },
    args: ['run', 'me'],
    cwd: '/',
    env: ['A=1', 'B=2'],
    rlimits: [{ type: 'RLIMIT_CORE', soft: 1, hard: 2 }],
  },
  root: { path: '/r' },
  annotations: { kept: 'k', gone: 'g' },
  mounts: [
    { destination: '/proc', type: 'proc', source: 'proc' },
    { destination: '/old', type: 'bind', source: '/o' },
  ],
  hooks: { poststop: [{ path: '/first' }] },
  linux: {
    namespaces: [{ type: 'mount' }, { type: 'ipc', path: '/ipc' }],
    cgroupsPath: '/a/b',
    sysctl: { 'net.a': '1', 'net.b': '2' },
    devices: [{ path: '/dev/old', type: 'c', major: 1, minor: 1 }],
    resources: { memory: { limit: 10, swap: 10 }, devices: [{ allow: false, access: 'rwm' }] },
  },
});

const host = { swapLimits: true, clampOomScore: (score: number) => Math.max(score, -10) };

function adjust(
  adjustment: JsonValue,
  {
    plugin = 'one',
    claims = claimTable('c'),
    spec = base(),
  }: Partial<{ plugin: string; claims: ClaimTable; spec: RuntimeSpec }> = {},
): RuntimeSpec {
  return adjustSpec(spec, fromJson(ContainerAdjustmentSchema, adjustment), claims.by(plugin), host);
}

test('process: arguments, environment, limits, OOM score', () => {
  const { process } = adjust({
    args: ['other'],
    env: [{ key: 'B', value: '3' }, { key: '-A' }, { key: 'C', value: '' }],
    rlimits: [
      { type: 'RLIMIT_CORE', soft: '5', hard: '6' },
      { type: 'RLIMIT_NOFILE', soft: '7', hard: '8' },
    ],
    linux: { oomScoreAdj: '-500' },
  });
  assert.deepEqual(process.args, ['other']);
  assert.deepEqual(process.env, ['B=3', 'C=']);
  assert.deepEqual(process.rlimits, [
    { type: 'RLIMIT_CORE', soft: 5, hard: 6 },
    { type: 'RLIMIT_NOFILE', soft: 7, hard: 8 },
  ]);
  assert.equal(process.oomScoreAdj, -10, 'as far as the machine allows');
});

test('annotations and sysctls are set, and removed by a leading dash', () => {
  const spec = adjust({
    annotations: { '-gone': '', added: 'a' },
    linux: { sysctl: { '-net.a': '', 'net.b': '9', 'net.c': '3' } },
  });
  assert.deepEqual(spec.annotations, { kept: 'k', added: 'a' });
  assert.deepEqual(spec.linux.sysctl, { 'net.b': '9', 'net.c': '3' });
});

test('mounts replace, go, and come parents first; propagation reaches the root', () => {
  const bind = (destination: string, ...options: string[]) => ({
    destination,
    type: 'bind',
    source: '/s',
    options,
  });
  const spec = adjust({
    mounts: [bind('/deep/er/est'), bind('/deep', 'rslave'), { destination: '-/old' }, bind('/proc', 'ro')],
  });
  assert.deepEqual(
    spec.mounts.map(({ destination }) => destination),
    ['/deep', '/proc', '/deep/er/est'],
  );
  assert.equal(spec.linux.rootfsPropagation, 'rslave');
  assert.equal(adjust({ mounts: [bind('/x', 'rshared')] }).linux.rootfsPropagation, 'rshared');
});

test('devices come with the right to use them, and go', () => {
  const { linux } = adjust({
    linux: {
      devices: [
        { path: '-/dev/old' },
        { path: '/dev/ro', type: 'b', major: '8', minor: '1', fileMode: 0o440, uid: 5, gid: 6 },
        { path: '/dev/any', type: 'c', major: '1', minor: '5' },
      ],
    },
  });
  assert.deepEqual(linux.devices, [
    { path: '/dev/ro', type: 'b', major: 8, minor: 1, fileMode: 0o440, uid: 5, gid: 6 },
    { path: '/dev/any', type: 'c', major: 1, minor: 5 },
  ]);
  assert.deepEqual(linux.resources?.devices?.slice(1), [
    { allow: true, type: 'b', major: 8, minor: 1, access: 'rm' },
    { allow: true, type: 'c', major: 1, minor: 5, access: 'rwm' },
  ]);
});

test('namespaces, cgroup, seccomp and hooks', () => {
  const { linux, hooks } = adjust({
    hooks: {
      poststop: [{ path: '/second', args: ['a'], env: ['X=1'], timeout: '3' }],
      createRuntime: [{ path: '/c' }],
    },
    linux: {
      namespaces: [{ type: '-ipc' }, { type: 'network', path: '/net' }],
      cgroupsPath: '/elsewhere',
      seccompPolicy: {
        defaultAction: 'SCMP_ACT_ERRNO',
        defaultErrno: 1,
        architectures: ['SCMP_ARCH_X86_64'],
        syscalls: [
          { names: ['read'], action: 'SCMP_ACT_ALLOW', args: [{ index: 1, value: '2', op: 'SCMP_CMP_EQ' }] },
        ],
      },
    },
  });
  assert.deepEqual(linux.namespaces, [{ type: 'mount' }, { type: 'network', path: '/net' }]);
  assert.equal(linux.cgroupsPath, '/elsewhere');
  assert.equal(linux.seccomp?.defaultErrnoRet, 1);
  assert.deepEqual(linux.seccomp?.syscalls?.[0]?.args, [
    { index: 1, value: 2, valueTwo: 0, op: 'SCMP_CMP_EQ' },
  ]);
  assert.deepEqual(hooks, {
    poststop: [{ path: '/first' }, { path: '/second', args: ['a'], env: ['X=1'], timeout: 3 }],
    createRuntime: [{ path: '/c' }],
  });
});

test('I/O priority, scheduler and network devices, in the words of config.json', () => {
  const { process, linux } = adjust({
    linux: {
      ioPriority: { class: 'IOPRIO_CLASS_BE', priority: 6 },
      scheduler: {
        policy: 'SCHED_DEADLINE',
        flags: ['SCHED_FLAG_RECLAIM'],
        runtime: '10000000',
        deadline: '20000000',
        period: '30000000',
      },
      netDevices: { eth7: { name: 'net1' }, eth8: {} },
    },
  });
  assert.deepEqual(process.ioPriority, { class: 'IOPRIO_CLASS_BE', priority: 6 });
  assert.deepEqual(process.scheduler, {
    policy: 'SCHED_DEADLINE',
    nice: 0,
    priority: 0,
    flags: ['SCHED_FLAG_RECLAIM'],
    runtime: 10_000_000,
    deadline: 20_000_000,
    period: 30_000_000,
  });
  assert.deepEqual(linux.netDevices, { eth7: { name: 'net1' }, eth8: {} });
  const taken = adjust({ linux: { netDevices: { '-eth7': {} } } }, { spec: { ...base(), linux } });
  assert.deepEqual(taken.linux.netDevices, { eth8: {} });
});

test('limits of every kind; a memory limit sets that of swap unless told', () => {
  const resources = (wanted: JsonValue) => adjust({ linux: { resources: wanted } }).linux.resources;
  const all = resources({
    cpu: {
      shares: '1',
      quota: '2',
      period: '3',
      realtimeRuntime: '4',
      realtimePeriod: '5',
      cpus: '0-1',
      mems: '0',
    },
    memory: {
      limit: '100',
      reservation: '50',
      kernel: '7',
      kernelTcp: '8',
      swappiness: '9',
      disableOomKiller: true,
      useHierarchy: true,
    },
    pids: { limit: '11' },
    hugepageLimits: [{ pageSize: '2MB', limit: '12' }],
    unified: { 'memory.high': '13' },
  });
  assert.deepEqual(all?.cpu, {
    shares: 1,
    quota: 2,
    period: 3,
    realtimeRuntime: 4,
    realtimePeriod: 5,
    cpus: '0-1',
    mems: '0',
  });
  assert.deepEqual(all?.memory, {
    limit: 100,
    swap: 100,
    reservation: 50,
    kernel: 7,
    kernelTCP: 8,
    swappiness: 9,
    disableOOMKiller: true,
    useHierarchy: true,
  });
  assert.deepEqual(all?.pids, { limit: 11 });
  assert.deepEqual(all?.hugepageLimits, [{ pageSize: '2MB', limit: 12 }]);
  assert.deepEqual(all?.unified, { 'memory.high': '13' });
  assert.deepEqual(resources({ memory: { limit: '100', swap: '300' } })?.memory, { limit: 100, swap: 300 });
  assert.deepEqual(resources({ memory: { limit: '0' } })?.memory, { limit: 10, swap: 10 }, '0 is no limit');
});

test('what this node cannot do is refused by name', () => {
  const refused: [JsonValue, RegExp][] = [
    [{ linux: { rdt: {} } }, /sets rdt/],
    [{ linux: { memoryPolicy: {} } }, /sets memoryPolicy/],
    [{ linux: { scheduler: { policy: 99 } } }, /LinuxSchedulerPolicy to 99/],
    [{ linux: { resources: { blockioClass: 'slow' } } }, /block I\/O class "slow"/],
    [{ linux: { resources: { rdtClass: 'gold' } } }, /RDT class "gold"/],
    [{ linux: { namespaces: [{ type: 'time-machine' }] } }, /unknown kind of namespace: "time-machine"/],
  ];
  for (const [adjustment, message] of refused) assert.throws(() => adjust(adjustment), message);
});

test('two plugins must not set the same, whatever it is; one that removes it first may', () => {
  const same: JsonValue[] = [
    { args: ['x'] },
    { env: [{ key: 'N', value: '1' }] },
    { annotations: { n: '1' } },
    { mounts: [{ destination: '/n', type: 'bind', source: '/s' }] },
    { rlimits: [{ type: 'RLIMIT_CORE', soft: '1', hard: '1' }] },
    { CDIDevices: [{ name: 'v.x/c=1' }] },
    { linux: { oomScoreAdj: '1' } },
    { linux: { cgroupsPath: '/x' } },
    { linux: { ioPriority: { class: 'IOPRIO_CLASS_BE' } } },
    { linux: { scheduler: { policy: 'SCHED_BATCH' } } },
    { linux: { netDevices: { eth7: {} } } },
    { linux: { sysctl: { n: '1' } } },
    { linux: { devices: [{ path: '/dev/n', type: 'c' }] } },
    { linux: { namespaces: [{ type: 'ipc' }] } },
    { linux: { seccompPolicy: { defaultAction: 'SCMP_ACT_LOG' } } },
    { linux: { resources: { cpu: { shares: '1' } } } },
    { linux: { resources: { cpu: { cpus: '1' } } } },
    { linux: { resources: { memory: { limit: '1' } } } },
    { linux: { resources: { memory: { disableOomKiller: true } } } },
    { linux: { resources: { pids: { limit: '1' } } } },
    { linux: { resources: { hugepageLimits: [{ pageSize: '2MB', limit: '1' }] } } },
    { linux: { resources: { unified: { n: '1' } } } },
  ];
  for (const adjustment of same) {
    const claims = claimTable('c');
    adjust(adjustment, { plugin: 'one', claims });
    adjust(adjustment, { plugin: 'one', claims });
    assert.throws(
      () => adjust(adjustment, { plugin: 'two', claims }),
      (error) => isSkiffError(error, 'FAILED_PRECONDITION') && /"one" and "two" both set/.test(error.message),
      JSON.stringify(adjustment),
    );
  }
  const takingOver: [JsonValue, JsonValue][] = [
    [{ env: [{ key: 'N', value: '1' }] }, { env: [{ key: '-N' }, { key: 'N', value: '2' }] }],
    [{ args: ['x'] }, { args: ['', 'y'] }],
    [{ annotations: { n: '1' } }, { annotations: { '-n': '', n: '2' } }],
    [
      { mounts: [{ destination: '/n', type: 'bind', source: '/s' }] },
      { mounts: [{ destination: '-/n' }, { destination: '/n', type: 'bind', source: '/t' }] },
    ],
    [
      { linux: { devices: [{ path: '/dev/n', type: 'c' }] } },
      { linux: { devices: [{ path: '-/dev/n' }, { path: '/dev/n', type: 'b' }] } },
    ],
  ];
  for (const [first, second] of takingOver) {
    const claims = claimTable('c');
    const spec = adjust(first, { plugin: 'one', claims });
    adjust(second, { plugin: 'two', claims, spec });
  }
});
