import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandLine } from './exec.ts';

test("options before the command are exec's, those after it the command's", () => {
  const plain = { container: undefined, stdin: false, tty: false };
  assert.deepEqual(commandLine(['ls', '-l', '-c', 'x'], {}), { ...plain, cmd: ['ls', '-l', '-c', 'x'] });
  assert.deepEqual(commandLine(['-c', 'web', '--', 'ls', '-i'], {}), {
    ...plain,
    cmd: ['ls', '-i'],
    container: 'web',
  });
  assert.deepEqual(commandLine(['-it', '--container=web', 'sh'], {}), {
    cmd: ['sh'],
    container: 'web',
    stdin: true,
    tty: true,
  });
  assert.deepEqual(commandLine(['--', '-x'], { tty: true, container: 'a' }), {
    cmd: ['-x'],
    container: 'a',
    stdin: false,
    tty: true,
  });
  assert.throws(() => commandLine(['-i'], {}), /say which command to run/);
  assert.throws(() => commandLine(['--frob', 'ls'], {}), /has no option --frob/);
});
