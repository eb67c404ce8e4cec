import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSkiffError } from '#foundation/base/errors.ts';
import { runCommand, tryCommand } from './command.ts';

test('input, outputs and exit code come through', async () => {
  const lines: string[] = [];
  const result = await tryCommand({
    file: 'sh',
    args: ['-c', 'cat; echo oops >&2; exit 3'],
    input: 'hello',
    onErrorLine: (line) => lines.push(line),
  });
  assert.deepEqual([result.exitCode, result.stdout.toString(), result.stderr], [3, 'hello', 'oops\n']);
  assert.deepEqual(lines, ['oops']);
});

test('a signal death is 128 + n; a missing program, a late one and a cancelled one are told apart', async () => {
  const killed = await tryCommand({ file: 'sh', args: ['-c', 'kill -9 $$'] });
  assert.equal(killed.exitCode, 137);
  await assert.rejects(tryCommand({ file: '/no/such' }), (error) => isSkiffError(error, 'NOT_FOUND'));
  const late = tryCommand({ file: 'sleep', args: ['60'], timeoutMs: 20 });
  await assert.rejects(late, (error) => isSkiffError(error, 'DEADLINE_EXCEEDED'));
  const cancelled = tryCommand({ file: 'sleep', args: ['60'], signal: AbortSignal.timeout(20) });
  await assert.rejects(cancelled, (error) => isSkiffError(error, 'CANCELLED'));
});

test('a failing command is an error with its words; endless output is cut, not kept', async () => {
  await assert.rejects(
    runCommand({ file: 'sh', args: ['-c', 'echo because >&2; exit 1'] }),
    /sh exited with 1: because/,
  );
  const flood = await tryCommand({
    file: 'sh',
    args: ['-c', 'head -c 100000 /dev/zero'],
    maxOutputBytes: 10,
  });
  assert.equal(flood.stdout.length, 10);
});
