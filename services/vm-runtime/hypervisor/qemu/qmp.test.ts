import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connectQmp, type QmpEvent } from './qmp.ts';

/** Something that speaks QMP, or anything else. `answer` gets each line after the greeting. */
async function fakeQemu(
  t: TestContext,
  answer: (line: { execute: string; id: number }, socket: Socket) => void,
  greeting = '{"QMP": {"version": {}, "capabilities": []}}\n',
): Promise<string> {
  const directory = mkdtempSync('/tmp/skiff-qmp');
  const path = join(directory, 'q');
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.write(greeting);
    let rest = '';
    socket.on('data', (chunk) => {
      const lines = (rest + String(chunk)).split('\n');
      rest = lines.pop() ?? '';
      for (const text of lines) {
        const line = JSON.parse(text) as { execute: string; id: number };
        if (line.execute === 'qmp_capabilities') socket.write(`{"return": {}, "id": ${line.id}}\n`);
        else answer(line, socket);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
    rmSync(directory, { recursive: true });
  });
  return path;
}

test('answers reach those who asked, in whatever order and pieces they come; events reach the listeners', async (t) => {
  const held: (() => void)[] = [];
  const path = await fakeQemu(t, ({ execute, id }, socket) => {
    if (execute === 'later') held.push(() => socket.write(`{"return": "late", "id": ${id}}\r\n`));
    else {
      socket.write('{"event": "STOP", "data": {"a": 1}}\n{"ret');
      setTimeout(() => {
        socket.write(`urn": "soon", "id": ${id}}\n`);
        for (const each of held) each();
      }, 10);
    }
  });
  const qmp = await connectQmp(path);
  const events: QmpEvent[] = [];
  qmp.onEvent((event) => events.push(event));
  const both = await Promise.all([qmp.execute('later'), qmp.execute('now')]);
  assert.deepEqual(both, ['late', 'soon']);
  assert.deepEqual(events, [{ event: 'STOP', data: { a: 1 } }]);
  qmp.close();
  await qmp.closed;
  await assert.rejects(qmp.execute('now'), { code: 'UNAVAILABLE' });
});

test("a refusal carries QEMU's words, silence ends with the deadline and the connection goes on", async (t) => {
  const path = await fakeQemu(t, ({ execute, id }, socket) => {
    if (execute === 'bad')
      socket.write(`{"error": {"class": "GenericError", "desc": "no such thing"}, "id": ${id}}\n`);
    if (execute === 'good') socket.write(`{"return": 5, "id": ${id}}\n`);
  });
  const qmp = await connectQmp(path);
  await assert.rejects(qmp.execute('bad'), {
    code: 'FAILED_PRECONDITION',
    message: 'QEMU refused bad: no such thing',
  });
  await assert.rejects(qmp.execute('silent', {}, { deadlineMs: 30 }), { code: 'DEADLINE_EXCEEDED' });
  const stop = new AbortController();
  const waiting = qmp.execute('silent', {}, { signal: stop.signal });
  stop.abort();
  await assert.rejects(waiting, { code: 'CANCELLED' });
  assert.equal(await qmp.execute('good'), 5);
  qmp.close();
});

test('a QEMU that somebody took over cannot make us believe or keep everything', async (t) => {
  for (const garbage of ['no json at all\n', 'x'.repeat(3 * 1024 * 1024), '{"return": \n']) {
    const path = await fakeQemu(t, (_, socket) => socket.write(garbage));
    const qmp = await connectQmp(path);
    await assert.rejects(qmp.execute('anything'), { code: 'DATA_LOSS' });
    await qmp.closed;
  }
  // Answers that nobody asked for, and values of the wrong kind.
  const path = await fakeQemu(t, ({ id }, socket) => {
    socket.write('{"return": {}, "id": 4711}\n[]\n7\nnull\n{"event": 5}\n{"error": 7, "id": 99}\n');
    socket.write(`{"return": "fine", "id": ${id}}\n`);
  });
  const qmp = await connectQmp(path);
  assert.equal(await qmp.execute('anything'), 'fine');
  qmp.close();
});

test('an end without a greeting, and a path without a listener, are told', async (t) => {
  const path = await fakeQemu(t, () => {}, 'hello\n');
  await assert.rejects(connectQmp(path), { code: 'DATA_LOSS' });
  await assert.rejects(connectQmp('/nonexistent/qmp'), { code: 'NOT_FOUND' });
});

test('descriptors go along with a command', async (t) => {
  let line = '';
  const path = await fakeQemu(t, ({ execute, id }, socket) => {
    line = execute;
    socket.write(`{"return": {}, "id": ${id}}\n`);
  });
  const qmp = await connectQmp(path);
  const fd = openSync('/dev/null', 'r');
  await qmp.execute('getfd', { fdname: 'x' }, { fds: [fd] });
  assert.equal(line, 'getfd');
  await assert.rejects(qmp.execute('getfd', {}, { fds: [9999] }), { errno: 'EBADF' });
  closeSync(fd);
  qmp.close();
});
