import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { RuntimeSpec } from '#contracts/oci/runtime.ts';
import { ociStage, until } from '../../../test/vm/oci-stage.ts';

const inPod = (pod: string) => (spec: RuntimeSpec) => {
  spec.annotations = {
    'io.kubernetes.cri.container-type': 'container',
    'io.kubernetes.cri.sandbox-id': pod,
  };
};
const bootId = '/proc/sys/kernel/random/boot_id';

test('conmon runs containers of one pod in one VM: logs, commands, streams, signals, limits', async (t) => {
  const stage = ociStage(t);
  const first = await stage.conmon(
    'c1',
    stage.bundle(
      'c1',
      `cat ${bootId}; echo err >&2; trap "exit 5" TERM; while :; do sleep 0.1; done`,
      inPod('p'),
    ),
  );
  const state = JSON.parse(stage.vm('state', 'c1').out);
  assert.deepEqual([state.status, state.pid, state.bundle], ['created', first.pid, first.bundle]);
  assert.equal(stage.vm('start', 'c1').code, 0);
  assert.match(stage.vm('start', 'c1').err, /cannot start a container in the running state/);
  // The two streams are two connections: their lines come in any order.
  const written = [/stdout F [0-9a-f-]{36}\n/, /stderr F err\n/];
  await until(() => written.every((line) => line.test(first.log())), 'the output', first.log);
  const [, ownId = ''] = /stdout F ([0-9a-f-]{36})/.exec(first.log()) ?? [];

  const second = stage.vm('run', '-b', stage.bundle('c2', `cat ${bootId}; exit 3`, inPod('p')), 'c2');
  assert.deepEqual([second.code, second.out.trim()], [3, ownId]);
  assert.notEqual(readFileSync(bootId, 'utf8').trim(), ownId);
  assert.equal(stage.pods().length, 1);

  const bytes = randomBytes(8 * 1024 * 1024);
  const echoed = stage.vmWith(bytes, 'exec', 'c1', 'cat');
  const digest = (data: Buffer) => createHash('sha256').update(data).digest('hex');
  assert.deepEqual([echoed.code, digest(echoed.bytes)], [0, digest(bytes)]);
  const command = stage.vm(
    'exec',
    '-u',
    '1000:1001',
    '-e',
    'A=b',
    '--cwd',
    '/tmp',
    'c1',
    'sh',
    '-c',
    'id -u; id -g; echo $A; pwd; exit 42',
  );
  assert.deepEqual([command.code, command.out], [42, '1000\n1001\nb\n/tmp\n']);
  assert.equal(stage.vm('exec', 'c1', 'sh', '-c', 'kill -9 $$').code, 137);
  const missing = stage.vm(
    '--log-format',
    'json',
    '--log',
    join(stage.root, 'log'),
    'exec',
    'c1',
    'nothing-there',
  );
  assert.equal(missing.code, 255);
  assert.equal(JSON.parse(readFileSync(join(stage.root, 'log'), 'utf8').trim()).level, 'error');

  const stats = JSON.parse(stage.vm('events', '--stats', 'c1').out);
  assert.ok(stats.data.cpu.usage.total > 0 && stats.data.memory.usage.usage > 0);
  assert.match(stage.vm('ps', 'c1').out, /UID\s+PID\s+PPID\s+CMD\n/);
  assert.equal(stage.vm('update', '--memory', '67108864', 'c1').code, 0);
  assert.equal(JSON.parse(stage.vm('events', '--stats', 'c1').out).data.memory.usage.limit, 67108864);
  stage.vm('pause', 'c1');
  assert.equal(JSON.parse(stage.vm('list', '-f', 'json').out)[0].status, 'paused');
  stage.vm('resume', 'c1');
  assert.match(stage.vm('delete', 'c1').err, /not stopped: running/);
  // The host's process stands for the guest's: a signal to it is one to that.
  process.kill(first.pid, 'SIGTERM');
  assert.equal(await first.exit(), 5);
  assert.equal(JSON.parse(stage.vm('state', 'c1').out).status, 'stopped');
  assert.equal(stage.vm('delete', 'c1').code, 0);
  assert.deepEqual(readdirSync(join(stage.root, '.pods')), []);
});

test('lineage 18 and 19: volumes, users, capabilities and read-only roots are as the host has them', async (t) => {
  const stage = ociStage(t);
  const volume = join(stage.root, '..', 'volume');
  mkdirSync(volume, { recursive: true });
  writeFileSync(join(volume, 'given'), 'from the host\n');
  const script = [
    'cat /data/given',
    'echo to the host > /data/made',
    'echo x > /ro/given && echo WRITTEN',
    'echo x > /there && echo WRITTEN',
    'busybox chown 5:5 /data/made 2>/dev/null && echo CHOWNED',
    'id -u',
    'grep CapEff /proc/self/status',
    'grep -c . /sys/fs/cgroup/memory.max; cat /sys/fs/cgroup/memory.max',
    'ulimit -n',
    'grep Seccomp: /proc/self/status',
    'chmod 700 /tmp && echo CHMODDED',
  ].join('\n');
  const bundle = stage.bundle('c1', script, (spec) => {
    spec.root.readonly = true;
    spec.mounts.push(
      { destination: '/data', type: 'bind', source: volume, options: ['rbind', 'rw'] },
      { destination: '/ro', type: 'bind', source: volume, options: ['rbind', 'ro'] },
      { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['ro'] },
      { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: ['ro'] },
    );
    const set = ['CAP_NET_BIND_SERVICE', 'CAP_DAC_OVERRIDE'];
    Object.assign(spec.process, {
      capabilities: { bounding: set, effective: set, permitted: set },
      rlimits: [{ type: 'RLIMIT_NOFILE', soft: 77, hard: 77 }],
      noNewPrivileges: true,
    });
    spec.linux.resources = { memory: { limit: 100 * 1024 * 1024 } };
    spec.linux.seccomp = {
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [{ names: ['chmod', 'fchmodat'], action: 'SCMP_ACT_ERRNO' }],
    };
  });
  const { out, err } = stage.vm('run', '-b', bundle, 'c1');
  const lines = out.split('\n');
  assert.equal(lines[0], 'from the host', err);
  assert.doesNotMatch(out, /WRITTEN|CHOWNED|CHMODDED/);
  assert.match(out, /CapEff:\t0000000000000402\n1\n104857600\n77\nSeccomp:\t2\n/);
  assert.equal(readFileSync(join(volume, 'made'), 'utf8'), 'to the host\n');
  assert.equal(readFileSync(join(volume, 'given'), 'utf8'), 'from the host\n');
});

test('lineage 23: a killed supervisor is replaced by itself; a killed VM ends its containers, and nothing is left', async (t) => {
  const stage = ociStage(t);
  const container = await stage.conmon(
    'c1',
    stage.bundle('c1', 'i=0; while :; do echo $i; i=$((i+1)); sleep 0.05; done'),
  );
  stage.vm('start', 'c1');
  await until(() => /F 5\n/.test(container.log()), 'some output');
  const [pod] = stage.pods();
  assert.ok(pod !== undefined);
  process.kill(pod.supervisorPid, 'SIGKILL');
  await until(() => {
    const [now] = stage.pods();
    return now?.state === 'READY' && now.supervisorPid !== pod.supervisorPid;
  }, 'another supervisor');
  const seen = container.log().split('\n').length;
  await until(() => container.log().split('\n').length > seen + 5, 'more output');
  const numbers = [...container.log().matchAll(/F (\d+)$/gm)].map(([, number]) => Number(number));
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => index),
  );
  assert.equal(stage.vm('exec', 'c1', 'sh', '-c', 'exit 9').code, 9);
  process.kill(stage.pods()[0]?.vmmPid ?? 0, 'SIGKILL');
  assert.equal(await container.exit(), 137);
  assert.match(stage.vm('exec', 'c1', 'true').err, /stopped state|not running/);
  assert.equal(stage.vm('delete', 'c1').code, 0);
  assert.equal(existsSync(pod.socket), false);
});

test('lineage 10: a VM that does not start fails the create with the reason, and leaves nothing', (t) => {
  const stage = ociStage(t);
  const bundle = stage.bundle('c1', 'true', (spec) => {
    // More than any machine can promise.
    spec.linux.resources = { memory: { limit: 2 ** 52 } };
  });
  const { code, err } = stage.vm('create', '-b', bundle, 'c1');
  assert.equal(code, 1);
  assert.match(err, /VM could not be started: /);
  assert.deepEqual([stage.pods(), existsSync(join(stage.root, 'c1'))], [[], false]);
});

test('what cannot be in a VM is refused before one is made', (t) => {
  const stage = ociStage(t);
  const refused = (change: (spec: RuntimeSpec) => void, message: RegExp) => {
    const { code, err } = stage.vm('create', '-b', stage.bundle('c1', 'true', change), 'c1');
    assert.equal(code, 1);
    assert.match(err, message);
    assert.equal(existsSync(join(stage.root, '.pods')), false);
    assert.equal(existsSync(join(stage.root, 'c1')), false);
  };
  refused((spec) => {
    spec.linux.namespaces = spec.linux.namespaces.filter(({ type }) => type !== 'network');
  }, /host's network namespace: .*runtimeClassName: plain/);
  refused((spec) => {
    spec.hooks = { createContainer: [{ path: '/x' }] };
  }, /createContainer hooks/);
  assert.match(stage.vm('state', 'c1').err, /does not exist/);
  assert.equal(stage.vm('delete', '--force', 'c1').code, 0);
  assert.match(stage.vm('checkpoint', 'c1').err, /cannot be checkpointed/);
  assert.match(stage.vm('create', '../x').err, /config.json|invalid container id/);
  assert.match(stage.vm('frobnicate').err, /no command "frobnicate"/);
});
