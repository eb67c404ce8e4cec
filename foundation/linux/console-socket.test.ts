import assert from 'node:assert/strict';
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { listenForTerminal } from './console-socket.ts';
import { openTerminal } from './terminal.ts';
import { sendDescriptors } from './unix-fds.ts';

function place(t: { after(done: () => void): void }): string {
  const directory = mkdtempSync('/tmp/skiff-console-');
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, 'console.sock');
}

test('a terminal that is sent can be read, written and resized', async (t) => {
  const path = place(t);
  using socket = await listenForTerminal(path);
  const own = openTerminal();
  const program = openSync(own.path, 'r+');
  const sender = connect(path);
  await new Promise((resolve) => sender.once('connect', resolve));
  const fd = (own.stream as unknown as { _handle: { fd: number } })._handle.fd;
  sendDescriptors(sender, 'the name of the terminal', [fd]);
  sender.end();
  const terminal = await socket.terminal;
  own.stream.pause();
  writeSync(program, 'hello');
  const [chunk] = await Promise.all([new Promise((resolve) => terminal.stream.once('data', resolve))]);
  assert.equal(String(chunk), 'hello');
  terminal.resize({ width: 100, height: 30 });
  terminal.stream.destroy();
  own.stream.destroy();
  closeSync(program);
});

test('one that sends something else is refused, and the path is gone in the end', async (t) => {
  const path = place(t);
  const socket = await listenForTerminal(path);
  connect(path).end('not a descriptor');
  await assert.rejects(socket.terminal, { code: 'FAILED_PRECONDITION' });
  socket[Symbol.dispose]();
  assert.ok(!existsSync(path));
});
