import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { identify, isRunning, killProcessTree, processTree, signalProcess } from './process.ts';
import { createSpawner, openPipe, pipeStream, signalNumber } from './spawn.ts';
import { outputPipe, runSpawned } from './spawn-command.ts';

const env = { PATH: '/usr/bin:/bin', GREETING: 'hello' };

test('exit codes and signals come back, however many end at once', async () => {
  using spawner = createSpawner();
  const codes = await Promise.all(
    Array.from(
      { length: 30 },
      (_, code) => spawner.spawn({ file: 'sh', args: ['-c', `exit ${code}`], env }).exited,
    ),
  );
  assert.deepEqual(
    codes.map((exit) => exit.code),
    Array.from({ length: 30 }, (_, code) => code),
  );
  const killed = spawner.spawn({ file: 'sleep', args: ['100'], env });
  killed.kill(9);
  assert.deepEqual(await killed.exited, { code: 137, signal: 9 });
  assert.throws(() => spawner.spawn({ file: '/no/such/program', args: [], env }), { code: 'NOT_FOUND' });
  assert.throws(() => spawner.spawn({ file: 'echo', args: ['a\0b'], env }), { code: 'INVALID_ARGUMENT' });
});

test('a child gets only its environment, real pipes, the default of SIGPIPE, and no other descriptor', async () => {
  using spawner = createSpawner();
  const [output, other] = [outputPipe(10_000), openPipe()];
  const script =
    'echo $GREETING > /dev/stdout; env | grep -c . ; grep SigIgn /proc/self/status; ls /proc/self/fd; pwd';
  const child = spawner.spawn({
    file: 'sh',
    args: ['-c', script],
    env,
    fds: { 1: output.writeFd },
    cwd: '/tmp',
  });
  closeSync(output.writeFd);
  assert.equal((await child.exited).code, 0);
  const lines = (await output.complete).toString().split('\n');
  assert.equal(lines[0], 'hello');
  assert.equal(lines[2], 'SigIgn:\t0000000000000000');
  assert.deepEqual(lines.slice(3), ['0', '1', '2', '3', '/tmp', '']);
  for (const fd of Object.values(other)) closeSync(fd);
});

test('a stream writes into a pipe and its end closes it', async () => {
  using spawner = createSpawner();
  const [input, output] = [openPipe(), outputPipe(1_000_000)];
  const child = spawner.spawn({ file: 'cat', args: [], env, fds: { 0: input.read, 1: output.writeFd } });
  closeSync(input.read);
  closeSync(output.writeFd);
  pipeStream(input.write, 'write').end(Buffer.alloc(500_000, 'x'));
  assert.equal((await child.exited).code, 0);
  assert.equal((await output.complete).length, 500_000);
});

test('a command that takes too long is killed with its children; one that leaves a child is not waited for', async () => {
  using spawner = createSpawner();
  const run = (script: string, timeoutMs: number) =>
    runSpawned(spawner, { file: 'sh', args: ['-c', script], env, timeoutMs });
  await assert.rejects(run('sleep 71 & sleep 72', 300), { code: 'DEADLINE_EXCEEDED' });
  assert.equal((await run('sleep 0.3; echo late', 20_000)).stdout, 'late\n');
  const result = await run('echo out; echo err >&2; sleep 1 & exit 3', 20_000);
  assert.deepEqual(result, { exitCode: 3, stdout: 'out\n', stderr: 'err\n' });
});

test('a process is told from a later one of its number, and its tree is found and killed', async () => {
  using spawner = createSpawner();
  const child = spawner.spawn({ file: 'sh', args: ['-c', '(sleep 73 &); sleep 74'], env, newSession: true });
  await sleep(300);
  const identity = identify(child.pid);
  assert.ok(identity !== undefined && isRunning(identity));
  assert.equal(isRunning({ ...identity, startTime: identity.startTime + 1 }), false);
  assert.equal(signalProcess({ ...identity, startTime: 1 }, 9), false);
  // The shell, its child, and the one whose parent has ended.
  assert.equal(processTree(child.pid).length, 3);
  assert.equal(killProcessTree(identity), 3);
  assert.equal((await child.exited).code, 137);
  assert.equal(identify(child.pid), undefined);
});

test('signals by name, number and real-time offset', () => {
  const cases = [
    ['SIGTERM', 15],
    ['term', 15],
    ['9', 9],
    ['SIGRTMIN', 34],
    ['SIGRTMIN+3', 37],
    ['RTMAX-2', 62],
    ['SIGRTMAX', 64],
  ] as const;
  for (const [name, number] of cases) assert.equal(signalNumber(name), number);
  for (const name of ['', 'SIGNOPE', '0', '65', 'SIGRTMIN+31']) assert.equal(signalNumber(name), undefined);
});
