import assert from 'node:assert/strict';
import { closeSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ExecRequest, RuntimeDriver } from '#contracts/oci/runtime-driver.ts';
import { Supervisor } from '#contracts/vm/supervisor_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { createLeanServer } from '#foundation/grpc/lean-server.ts';
import type { Handlers } from '#foundation/grpc/server.ts';
import { createSpawner } from '#foundation/linux/spawn.ts';
import { outputPipe } from '#foundation/linux/spawn-command.ts';
import { directly } from './vm-direct.ts';

/** A container `c` whose pod's supervisor does as told, and a driver that notes what it is asked for. */
async function stage(t: TestContext, handlers: Partial<Handlers<typeof Supervisor>>, endMs = 60_000) {
  const root = mkdtempSync('/tmp/skiff-vd');
  const spawner = createSpawner();
  const pod = join(root, 'pod');
  const stateDirectory = join(root, 'state');
  mkdirSync(pod);
  mkdirSync(join(stateDirectory, 'c'), { recursive: true });
  writeFileSync(join(stateDirectory, 'c', 'state.json'), JSON.stringify({ pod }));
  const asked: string[] = [];
  const driver = Object.fromEntries(
    ['start', 'delete', 'exec', 'update', 'pause', 'resume'].map((verb) => [
      verb,
      async () => void asked.push(verb),
    ]),
  ) as unknown as RuntimeDriver;
  const server = createLeanServer();
  server.add(Supervisor, handlers as Handlers<typeof Supervisor>);
  const serve = () => server.listen(`unix://${join(pod, 'supervisor.sock')}`);
  t.after(async () => {
    await server.close(0);
    spawner[Symbol.dispose]();
    rmSync(root, { recursive: true });
  });
  return {
    asked,
    serve,
    direct: directly({ spawner, stateDirectory, timeoutMs: 60_000, endMs }, driver),
    state: join(stateDirectory, 'c'),
    request(fds: ExecRequest['fds']): ExecRequest {
      writeFileSync(join(root, 'process.json'), '{"args":["x"]}');
      return { id: 'c', processPath: join(root, 'process.json'), pidPath: join(root, 'process.pid'), fds };
    },
  };
}

test('calls go to the supervisor, and to the command line where none answers', async (t) => {
  const heard: string[] = [];
  const hear = (verb: string) => async () => {
    heard.push(verb);
    return {};
  };
  const { direct, asked, serve, state } = await stage(t, {
    startContainer: hear('start'),
    updateContainer: hear('update'),
    pause: hear('pause'),
    resume: hear('resume'),
    deleteContainer: hear('delete'),
  });
  const all = async () => {
    await direct.start('c', {} as never);
    await direct.update('c', {});
    await direct.pause('c');
    await direct.resume('c');
  };
  await all();
  await direct.exec({ id: 'c' } as ExecRequest);
  assert.deepEqual(asked.splice(0), ['start', 'update', 'pause', 'resume', 'exec']);
  await serve();
  await all();
  await direct.delete('c');
  assert.deepEqual(heard, ['start', 'update', 'pause', 'resume', 'delete']);
  assert.deepEqual(asked, []);
  assert.equal(existsSync(state), false);
});

test('what the supervisor refuses to delete is looked at from the host too; other failures have its words', async (t) => {
  const { direct, asked, serve } = await stage(t, {
    deleteContainer: async () => {
      throw new SkiffError('FAILED_PRECONDITION', 'it runs');
    },
    startContainer: async () => {
      throw new SkiffError('NOT_FOUND', 'no such program');
    },
  });
  await serve();
  await assert.rejects(direct.start('c', {} as never), {
    code: 'INTERNAL',
    message: /skiff-vm: .*no such program/,
  });
  await direct.delete('c', { force: true });
  assert.deepEqual(asked, ['delete']);
});

test('a command has the streams that it was given, and its exit code', async (t) => {
  const { direct, serve, request } = await stage(t, {
    exec: async ({ process }) => ({
      carrier: ['/bin/sh', '-c', 'echo "$0"; echo bad >&2; exit 7', process],
    }),
  });
  await serve();
  const [stdout, stderr] = [outputPipe(1000), outputPipe(1000)];
  const asked = request({ 1: stdout.writeFd, 2: stderr.writeFd });
  const session = await direct.exec(asked);
  // As ExecSync does, long before the supervisor has answered.
  closeSync(stdout.writeFd);
  closeSync(stderr.writeFd);
  assert.deepEqual(await session.exited, { code: 7 });
  assert.equal(String(await stdout.untilIdle()), '{"args":["x"]}\n');
  assert.equal(String(await stderr.untilIdle()), 'bad\n');
  assert.ok(Number(readFileSync(asked.pidPath, 'utf8')) > 1);
});

test('a command that is given up has ended in the guest when its caller hears of it', async (t) => {
  const waiting: ((carrier: string[]) => void)[] = [];
  const heard: string[] = [];
  const { direct, serve, request } = await stage(t, {
    exec: async () => ({ carrier: await new Promise<string[]>((resolve) => waiting.push(resolve)) }),
    signal: async ({ id, signal, all }) => {
      heard.push(`signal ${id} ${signal} ${all}`);
      return {};
    },
    wait: async ({ id }) => {
      heard.push(`wait ${id}`);
      return {};
    },
  });
  const until = async (holds: () => boolean) => {
    while (!holds()) await new Promise((wake) => setTimeout(wake, 5));
  };
  await serve();
  const killed = ['signal c 9 true', 'wait c'];
  const early = await direct.exec(request({}));
  await until(() => waiting.length === 1);
  early.kill(9);
  waiting[0]?.(['/bin/false']);
  await assert.rejects(early.exited, { code: 'CANCELLED' });
  assert.deepEqual(heard.splice(0), killed);
  const asked = request({});
  const running = await direct.exec(asked);
  await until(() => waiting.length === 2);
  waiting[1]?.(['/bin/sleep', '1000']);
  await until(() => existsSync(asked.pidPath));
  running.kill(9);
  assert.deepEqual(await running.exited, { code: 137 });
  assert.deepEqual(heard.splice(0), killed);
});

test('a guest that does not answer keeps no command that is given up', async (t) => {
  let began = false;
  const silent = () => new Promise<never>(() => {});
  const exec = () => {
    began = true;
    return silent();
  };
  const { direct, serve, request } = await stage(t, { exec }, 100);
  await serve();
  const session = await direct.exec(request({}));
  while (!began) await new Promise((wake) => setTimeout(wake, 5));
  session.kill(9);
  await assert.rejects(session.exited, { code: 'CANCELLED' });
});
