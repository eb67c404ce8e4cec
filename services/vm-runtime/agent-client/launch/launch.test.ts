/**
 * Containers that programs start are what crun makes of the same configuration: each case runs both ways in one guest, and
 * what the container sees of itself must be the same.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { ProcessSpec, RuntimeSpec } from '#contracts/oci/runtime.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import { bootGuest, testConfig, textOf } from '../../../../test/guest-vm.ts';
import { launcher } from './index.ts';

const vm = await bootGuest();
const { agent } = vm;
after(() => vm.stop());

/** An annotation that only crun understands, so that it starts the container. */
const byCrun = { 'run.oci.keep_original_groups': '0' };

const capabilities = ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'KILL', 'SETGID', 'SETUID', 'NET_BIND_SERVICE'].map(
  (name) => `CAP_${name}`,
);
const sets = { bounding: capabilities, effective: capabilities, permitted: capabilities };
const safe = ['nosuid', 'noexec', 'nodev'];

/** A container as the kubelet wants most. */
function podLike(change: (spec: RuntimeSpec) => void = () => {}): RuntimeSpec {
  const spec = JSON.parse(testConfig(['sh', '-c', report])) as RuntimeSpec;
  Object.assign(spec.process, {
    ...{ capabilities: sets, noNewPrivileges: true, oomScoreAdj: 500, env: ['PATH=/bin', 'A=b c'] },
    rlimits: [
      { type: 'RLIMIT_NOFILE', soft: 500, hard: 1000 },
      { type: 'RLIMIT_CORE', soft: 0, hard: 4096 },
    ],
  });
  spec.mounts.push(
    { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: [...safe, 'mode=1777', 'size=65536k'] },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: safe },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...safe, 'ro'] },
    { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: [...safe, 'relatime', 'ro'] },
    { destination: '/tmp', type: 'bind', source: '/run/given', options: ['rbind', 'rprivate', 'ro'] },
    { destination: '/etc/given/name', type: 'bind', source: '/run/given/name', options: ['bind', 'nosuid'] },
  );
  spec.linux.namespaces.push({ type: 'cgroup' }, { type: 'ipc' });
  spec.linux.resources = {
    memory: { limit: 64 * 1024 * 1024, swap: 96 * 1024 * 1024, reservation: 1024 * 1024 },
    cpu: { shares: 512, quota: 900_000, period: 100_000 },
    pids: { limit: 77 },
    unified: { 'memory.high': '60000000' },
    devices: [
      { allow: false, access: 'rwm' },
      { allow: true, type: 'c', major: 1, minor: 3, access: 'rwm' },
      { allow: true, type: 'c', major: 1, minor: 5, access: 'r' },
      { allow: true, type: 'c', major: 5, access: 'rw' },
    ],
  };
  spec.linux.maskedPaths = ['/proc/kcore', '/proc/acpi', '/proc/nothing', '/sys/firmware'];
  spec.linux.readonlyPaths = ['/proc/sys', '/proc/irq', '/proc/none'];
  spec.linux.seccomp = {
    ...{ defaultAction: 'SCMP_ACT_ALLOW', architectures: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'] },
    syscalls: [
      { names: ['sethostname', 'no_such_call'], action: 'SCMP_ACT_ERRNO', errnoRet: 95 },
      { names: ['personality'], action: 'SCMP_ACT_ERRNO', args: [{ index: 0, value: 8, op: 'SCMP_CMP_EQ' }] },
    ],
  };
  change(spec);
  return spec;
}

/** What a container says of itself; a line that differs names what does. */
const report = `
cd .; pwd; ls -ldn .; umask; echo "$HOME $A $PATH"
cat /proc/self/status | grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp)'
cat /proc/self/limits /proc/self/oom_score_adj /proc/self/cgroup /proc/self/personality /proc/self/mountinfo
cat /proc/kcore /tmp/name /etc/given/name
tty; stty size; ls -ln /dev /dev/pts /proc/acpi /sys/firmware
cd /sys/fs/cgroup; cat memory.max memory.swap.max memory.low memory.high cpu.max cpu.weight pids.max
cd /dev; mknod new c 1 3; mknod block b 8 0; mknod port c 1 4; mknod tun c 10 200; mknod fuse c 10 229
for i in block port tun fuse null zero full random; do true <$i; echo x >$i; done
echo x >/tmp/new; echo x >/new && rm /new; hostname new; echo 1 >/proc/sys/kernel/sysrq
ls /proc/self/fd /proc/self/ns
echo ended >&2`;

/**
 * Without what is another at each start, and what launch does better: mounted anew, a volume keeps what its mount forbade
 * before, and so does the terminal; what hides a file or directory is written otherwise; /dev/null stays root's.
 */
function plain(text: string, id: string): string[] {
  return text
    .replace(/^.*(\/given\S* \/\S+ .*)$/gm, (line) => line.replace(/(nodev|nosuid),/g, ''))
    .replace(/^.* \/dev\/console \S+ /gm, '/dev/console ')
    .replace(/^(crw-rw-rw-) .* (null)/gm, '$1 $2')
    .replace(/^.* (\/proc\/kcore|\/proc\/acpi|\/sys\/firmware) .* - (\w+) .*$/gm, '$1 hidden by $2')
    .replaceAll(id, 'ID')
    .split('\n')
    .map((line) => line.replace(/^\d+ \d+ \d+:\d+ /, '').replace(/ \w{3} +\d+ +\d+:\d+ /g, ' '))
    .map((line) => line.replace(/(shared|master):\d+/g, '$1'));
}

interface Outcome {
  main: string[];
  code: number;
  exec: string[];
}

/** Runs a configuration, and the report in it once more as a process of its own. */
async function run(id: string, spec: RuntimeSpec, exec: ProcessSpec): Promise<Outcome> {
  const terminal = spec.process.terminal === true;
  const args = ['sh', '-c', `${report}; exec sleep 1000`];
  // A working directory that is not there yet is made, each time another.
  const cwd = spec.process.cwd.replace('OWN', id);
  const config = JSON.stringify({ ...spec, process: { ...spec.process, args, cwd } });
  const main = await agent.createContainer({ id, config, terminal, noInput: !terminal });
  const said: Buffer[] = [];
  const output = (async () => {
    for await (const part of main.stdout) said.push(part);
  })();
  const errors = textOf(main.stderr);
  await agent.startContainer(id);
  // Both say the same only if they do not meet.
  for (let waited = 0; waited < 3000 && !(await sleeps(id)); waited += 1) await pause(50);
  const size = { columns: 91, rows: 37 };
  const process = JSON.stringify({ ...exec, cwd });
  const one = await agent.exec({ containerId: id, process, terminal: exec.terminal === true, size });
  const [out, err] = await Promise.all([textOf(one.stdout), textOf(one.stderr)]);
  await agent.signalContainer(id, 9, true);
  const { code } = await main.exited;
  await output;
  const text = Buffer.concat(said).toString() + (await errors);
  await agent.deleteContainer(id);
  assert.match(text, /ended/);
  return { main: plain(text, id), code, exec: plain(out + err, id) };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function sleeps(id: string): Promise<boolean> {
  const processes = await agent.listProcesses(id);
  return processes.some(({ command }) => command[0] === 'sleep');
}

/** Runs it both ways. */
async function same(name: string, spec: RuntimeSpec, exec: Partial<ProcessSpec> = {}): Promise<Outcome> {
  assert.ok(launcher().container(spec, `/pod/${name}`) !== undefined, 'launch does not start it');
  // crun gives processes that are added no score at all.
  const { oomScoreAdj: _, ...process } = { ...spec.process, ...exec, args: ['sh', '-c', report] };
  const ours = await run(`${name}-launch`, spec, process);
  const theirs = await run(`${name}-crun`, { ...spec, annotations: byCrun }, process);
  assert.deepEqual(ours, theirs);
  return ours;
}

test('prepares files for the mounts', async () => {
  await agent.writeFile({ path: '/run/given/name', data: Buffer.from('given\n') });
});

function withDirectory(spec: RuntimeSpec): void {
  spec.process.cwd = '/made/OWN/here';
}

test('a container as pods have them is the same, started either way', async () => {
  const { main } = await same('pod', podLike(withDirectory), { user: { uid: 7, gid: 8 } });
  const text = main.join('\n');
  // That both lack what they should have would be no difference.
  assert.match(text, /^\/made\/ID\/here$/m);
  assert.match(text, /CapEff:\t00000000000004eb/);
  assert.match(text, /Seccomp:\t2/);
  assert.match(text, /Max open files +500 +1000/);
  assert.match(text, /67108864\n33554432\n1048576\n\d+\n900000 100000\n20\n77/);
});

test('so is one of another user, with a terminal, a read-only root and capabilities to give on', async () => {
  const spec = podLike((one) => {
    const own = ['CAP_NET_ADMIN', 'CAP_SYS_ADMIN', 'CAP_MKNOD', 'CAP_CHOWN'];
    Object.assign(one.process, {
      user: { uid: 1000, gid: 2000, umask: 0o027, additionalGids: [3000, 4000] },
      ...{ noNewPrivileges: false, terminal: true, consoleSize: { height: 33, width: 99 }, cwd: '/etc' },
      capabilities: {
        bounding: own,
        effective: own,
        permitted: own,
        inheritable: own,
        ambient: own.slice(0, 1),
      },
    });
    one.root.readonly = true;
    one.linux.rootfsPropagation = 'rslave';
    one.linux.devices = [
      { type: 'c', path: '/dev/mine', major: 1, minor: 3, fileMode: 0o600, uid: 5, gid: 6 },
    ];
  });
  const { main } = await same('other', spec, { capabilities: sets });
  assert.match(main.join('\n'), /Uid:\t1000\t1000[\s\S]*CapAmb:\t0000000000001000[\s\S]*33 99/);
});

test('what is unusual is left to crun', () => {
  const launch = launcher();
  const changes: ((spec: RuntimeSpec) => void)[] = [
    (spec) => void spec.linux.namespaces.push({ type: 'user' }),
    (spec) => void Object.assign(spec, { hooks: { startContainer: [{ path: '/hook' }] } }),
    (spec) => void Object.assign(spec.linux, { intelRdt: { closID: 'x' } }),
    (spec) => void spec.mounts.push({ destination: '/x', type: 'tmpfs', options: ['tmpcopyup'] }),
    (spec) => void spec.mounts.push({ destination: '/x', type: 'bind', source: '/y', options: ['rro'] }),
    (spec) => void Object.assign(spec.linux.seccomp ?? {}, { defaultAction: 'SCMP_ACT_NOTIFY' }),
    (spec) => void Object.assign(spec.linux.resources ?? {}, { blockIO: { weight: 5 } }),
    (spec) => {
      spec.process.args = ['a\0b'];
    },
  ];
  assert.ok(launch.container(podLike(), '/pod/x'));
  for (const change of changes) assert.equal(launch.container(podLike(change), '/pod/x'), undefined);
  const withoutLibrary = launcher(() => undefined);
  assert.equal(withoutLibrary.container(podLike(), '/pod/x'), undefined);
});

test('a link of the image leads nowhere but into the image', async () => {
  const links = `ln -sfn /run/share /way-out; ln -sfn /not/yet/there /pending`;
  const prepared = podLike((spec) => {
    spec.process.args = ['sh', '-c', links];
    delete spec.linux.seccomp;
  });
  const first = await agent.createContainer({
    ...{ id: 'links', terminal: false, noInput: true },
    config: JSON.stringify(prepared),
  });
  await agent.startContainer('links');
  assert.equal((await first.exited).code, 0);
  await agent.deleteContainer('links');
  const spec = podLike((one) => {
    one.process.args = ['sh', '-c', 'ls /not/yet/there; ls -d /run/share/in; rm /way-out /pending'];
    one.mounts.push(
      { destination: '/way-out/in', type: 'bind', source: '/run/given', options: ['bind'] },
      { destination: '/pending', type: 'bind', source: '/run/given', options: ['bind'] },
    );
  });
  const main = await agent.createContainer({
    ...{ id: 'follow', terminal: false, noInput: true },
    config: JSON.stringify(spec),
  });
  await agent.startContainer('follow');
  assert.equal(await textOf(main.stdout), 'name\n/run/share/in\n');
  await agent.deleteContainer('follow');
});

test('says why a container or a process cannot be started, as crun does', async () => {
  const failing: [change: (spec: RuntimeSpec) => void, message: RegExp, code: string][] = [
    [
      (spec) => {
        spec.process.args = ['none'];
      },
      /executable file `none` not found in \$PATH/,
      'NOT_FOUND',
    ],
    [
      (spec) => {
        spec.process.args = ['/etc/none'];
      },
      /No such file or directory/,
      'NOT_FOUND',
    ],
    [
      (spec) => {
        spec.process.args = ['/etc'];
      },
      /Permission denied/,
      'PERMISSION_DENIED',
    ],
    [
      (spec) => {
        spec.process.cwd = '/proc/none';
      },
      /chdir to `\/proc\/none`: No such file/,
      'NOT_FOUND',
    ],
    [
      (spec) =>
        void spec.mounts.push({ destination: '/x', type: 'bind', source: '/none', options: ['bind'] }),
      /mount `\/none` to `\/x`: No such file/,
      'NOT_FOUND',
    ],
  ];
  for (const [change, message, code] of failing) {
    const config = JSON.stringify(podLike(change));
    await assert.rejects(agent.createContainer({ id: 'bad', config, terminal: false }), (error) => {
      assert.match(String(error), message);
      return isSkiffError(error, code as 'NOT_FOUND');
    });
  }
  const main = await agent.createContainer({
    ...{ id: 'good', terminal: false, noInput: true },
    config: JSON.stringify(
      podLike((spec) => {
        spec.process.args = ['sleep', '1000'];
      }),
    ),
  });
  await agent.startContainer('good');
  const process = JSON.stringify({ ...podLike().process, args: ['none'] });
  await assert.rejects(agent.exec({ containerId: 'good', process, terminal: false }), /not found in \$PATH/);
  await agent.deleteContainer('good');
  assert.equal((await main.exited).code, 137);
});
