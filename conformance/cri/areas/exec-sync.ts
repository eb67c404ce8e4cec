/** ExecSync: outputs, exit codes, time-outs, limits. */
import assert from 'node:assert/strict';
import type { Context } from '../context.ts';
import { fails } from '../expect.ts';
import { area } from '../rule.ts';

/** A time limit that is not what a rule is about. */
const seconds = ({ patience }: Pick<Context, 'patience'>, usual: number) =>
  BigInt(Math.ceil(usual * patience));

export const execSync = area('exec-sync', (rule) => {
  rule('outputs come apart, byte for byte, with the exit code', async (t) => {
    const { id: containerId } = await t.running();
    const cmd = ['sh', '-c', 'printf "\\000\\377out"; echo err >&2; exit 3'];
    const answer = await t.cri.runtime.execSync({ containerId, cmd, timeout: seconds(t, 10) });
    assert.deepEqual(Buffer.from(answer.stdout), Buffer.from([0, 255, 111, 117, 116]));
    assert.equal(Buffer.from(answer.stderr).toString(), 'err\n');
    assert.equal(answer.exitCode, 3);
  });

  rule("the command sees the container's environment and working directory", async (t) => {
    const envs = [{ key: 'OWN', value: Buffer.from('x') }];
    const { id } = await t.running({ envs, workingDir: '/tmp' });
    assert.equal(await t.output(id, 'echo $OWN $FROM_IMAGE $(pwd)'), 'x yes /tmp');
  });

  rule('megabytes of output arrive whole', async (t) => {
    const { id: containerId } = await t.running();
    const answer = await t.cri.runtime.execSync({
      containerId,
      cmd: ['head', '-c', '3000000', '/dev/zero'],
      timeout: seconds(t, 20),
    });
    assert.equal(answer.stdout.length, 3_000_000);
  });

  rule('too much output is cut without failing the command', async (t) => {
    const { id: containerId } = await t.running();
    const cmd = ['sh', '-c', 'head -c 40000000 /dev/zero; exit 4'];
    const answer = await t.cri.runtime
      .execSync({ containerId, cmd, timeout: seconds(t, 30) })
      .catch((error: Error) => error.message);
    // 16 MiB fill a gRPC message, so a client with kubelet's limits may refuse the answer; the server must not.
    if (typeof answer === 'string') assert.match(answer, /larger than max|message size/i);
    else {
      assert.equal(answer.exitCode, 4);
      assert.ok(answer.stdout.length <= 16 * 1024 * 1024);
    }
    assert.equal(await t.output(containerId, 'echo fine'), 'fine');
  });

  rule('a command that takes too long is killed with its children before the answer', async (t) => {
    const { id: containerId } = await t.running();
    const cmd = ['sh', '-c', 'sleep 4444 & sleep 4444'];
    const start = performance.now();
    const answer = await t.cri.runtime
      .execSync({ containerId, cmd, timeout: 1n })
      .catch((error: unknown) => error);
    assert.ok(performance.now() - start < 20_000 * t.patience, 'it took far too long');
    const message = answer instanceof Error ? answer.message : '';
    if (answer instanceof Error) assert.match(message, /time|deadline|killed/i);
    else assert.equal((answer as { exitCode: number }).exitCode, -1);
    assert.equal(await t.output(containerId, 'ps | grep -v grep | grep -c "sleep 4444" || true'), '0');
  });

  rule('a time-out is DEADLINE_EXCEEDED', async (t) => {
    const { id: containerId } = await t.running();
    const call = t.cri.runtime.execSync({ containerId, cmd: ['sleep', '100'], timeout: 1n });
    await fails(call, 'DEADLINE_EXCEEDED');
  });

  rule('a program that is not there fails', async (t) => {
    const { id: containerId } = await t.running();
    const answer = await t.cri.runtime
      .execSync({ containerId, cmd: ['/no/such'], timeout: seconds(t, 10) })
      .catch((error: Error) => ({ exitCode: -1, error }));
    assert.notEqual(answer.exitCode, 0);
  });

  rule('an unknown container is NOT_FOUND; one that does not run fails', async (t) => {
    const { runtime } = t.cri;
    await fails(runtime.execSync({ containerId: '0'.repeat(64), cmd: ['true'] }), 'NOT_FOUND');
    const containerId = await t.create(await t.pod());
    await fails(runtime.execSync({ containerId, cmd: ['true'] }));
    const ended = await t.start(await t.pod(), { command: ['true'] });
    await t.exited(ended);
    await fails(runtime.execSync({ containerId: ended, cmd: ['true'] }));
  });
});
