import assert from 'node:assert/strict';
import { closeSync, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { createSpawner } from './spawn.ts';
import { connectUnix, listenUnix, sendDescriptors } from './unix-fds.ts';

test('a program gets a listening socket without a path, and one that is connected before anybody accepts', async (t) => {
  const directory = mkdtempSync('/tmp/skiff-uf');
  const spawner = createSpawner();
  t.after(() => {
    spawner[Symbol.dispose]();
    rmSync(directory, { recursive: true });
  });
  const path = join(directory, 's');
  const listening = listenUnix(path);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.throws(() => listenUnix(path), { errno: 'EADDRINUSE' });
  const early = connectUnix(path);
  const script = "require('net').createServer((s) => s.end('served')).listen({ fd: 3 });";
  const child = spawner.spawn({
    file: process.execPath,
    args: ['-e', script],
    env: {},
    fds: { 3: listening },
  });
  closeSync(listening);
  const late = connect(path);
  const said = await new Promise<string>((resolve) => late.once('data', (data) => resolve(String(data))));
  assert.equal(said, 'served');
  late.destroy();
  child.kill(9);
  await child.exited;
  closeSync(early);
  assert.throws(() => connectUnix(path), { errno: 'ECONNREFUSED' });
  assert.throws(() => connectUnix(join(directory, 'none')), { code: 'NOT_FOUND' });
  assert.throws(() => listenUnix(join(directory, 'x'.repeat(200))), { code: 'INVALID_ARGUMENT' });
  assert.equal(existsSync(join(directory, 'none')), false);
});

test('descriptors are sent only over a socket that is open and has nothing else to send', async (t) => {
  const directory = mkdtempSync('/tmp/skiff-uf');
  const peers: Socket[] = [];
  const server = createServer((socket) => void peers.push(socket.pause()));
  await new Promise<void>((resolve) => server.listen(join(directory, 's'), resolve));
  const socket = connect(join(directory, 's'));
  await new Promise((resolve) => socket.once('connect', resolve));
  t.after(() => {
    for (const each of [socket, ...peers]) each.destroy();
    server.close();
    rmSync(directory, { recursive: true });
  });
  sendDescriptors(socket, 'fine', [0]);
  socket.write(Buffer.alloc(8 * 1024 * 1024));
  assert.throws(() => sendDescriptors(socket, 'busy', [0]), { code: 'FAILED_PRECONDITION' });
  socket.destroy();
  assert.throws(() => sendDescriptors(socket, 'closed', [0]), { code: 'FAILED_PRECONDITION' });
});
