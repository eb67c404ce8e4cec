import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { afterEach, test } from 'node:test';
import { systemClock } from '#foundation/base/time.ts';
import { parseLogLine } from './cri-line.ts';
import { type LogOptions, readLog } from './reader.ts';
import { tailOffset } from './tail.ts';

const roots: string[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true });
});

function makeLog(text: string): string {
  const root = mkdtempSync('/tmp/skiff-logs-');
  roots.push(root);
  writeFileSync(`${root}/0.log`, text);
  return `${root}/0.log`;
}

const entry = (second: number, text: string, stream = 'stdout', tag = 'F') =>
  `2026-01-01T00:00:${String(second).padStart(2, '0')}.123456789Z ${stream} ${tag} ${text}\n`;

const some =
  entry(1, 'one') +
  entry(2, 'two', 'stderr') +
  entry(3, 'thr', 'stdout', 'P') +
  entry(4, 'ee') +
  entry(5, '');

async function read(path: string, options: LogOptions, running = async () => false): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of readLog(
    path,
    options,
    { clock: systemClock, running },
    new AbortController().signal,
  ))
    chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

for (const [name, options, wanted] of [
  ['all', {}, 'one\ntwo\nthree\n\n'],
  ['one stream', { stream: 'stderr' }, 'two\n'],
  ['the last lines', { tailLines: 2 }, 'ee\n\n'],
  ['no lines', { tailLines: 0 }, ''],
  ['more lines than there are', { tailLines: 99 }, 'one\ntwo\nthree\n\n'],
  ['since a time', { since: Date.parse('2026-01-01T00:00:03Z') }, 'three\n\n'],
  ['a limit', { limitBytes: 6 }, 'one\ntw'],
  [
    'times, once for a line in parts',
    { timestamps: true, stream: 'stdout', tailLines: 3 },
    '2026-01-01T00:00:03.123456789Z three\n2026-01-01T00:00:05.123456789Z \n',
  ],
] as [string, LogOptions, string][])
  test(`reading ${name}`, async () => assert.equal(await read(makeLog(some), options), wanted));

test('what is no entry is left out, and a last line without end waits', async () => {
  assert.equal(
    await read(makeLog(`garbage\n${entry(1, 'fine')}2026-01-01T00:00:09Z stdout F cut`), {}),
    'fine\n',
  );
  assert.equal(parseLogLine(Buffer.from('2026 stdout P:x text'))?.partial, true);
  assert.equal(parseLogLine(Buffer.from('2026 stdout F'))?.content.toString(), '\n');
  assert.equal(parseLogLine(Buffer.from('2026 other F x')), undefined);
});

test('following goes on across a rotation and ends with the container, everything read', async () => {
  const path = makeLog(entry(1, 'before'));
  let running = true;
  const reading = read(path, { follow: true }, async () => running);
  await new Promise((resolve) => setTimeout(resolve, 50));
  appendFileSync(path, entry(2, 'later'));
  await new Promise((resolve) => setTimeout(resolve, 50));
  renameSync(path, `${path}.20260101-000003`);
  appendFileSync(`${path}.20260101-000003`, entry(3, 'last of the old'));
  await new Promise((resolve) => setTimeout(resolve, 50));
  writeFileSync(path, entry(4, 'first of the new'));
  await new Promise((resolve) => setTimeout(resolve, 50));
  running = false;
  appendFileSync(path, entry(5, 'end'));
  assert.equal(await reading, 'before\nlater\nlast of the old\nfirst of the new\nend\n');
});

test('following ends when the client leaves', async () => {
  const client = new AbortController();
  const reading = readLog(
    makeLog(some),
    { follow: true },
    { clock: systemClock, running: async () => true },
    client.signal,
  );
  await reading.next();
  const waiting = reading.next();
  setTimeout(() => client.abort(), 20);
  assert.equal((await waiting).done, true);
});

test('the tail of a large file is found across blocks', async () => {
  const path = makeLog(Array.from({ length: 5000 }, (_, index) => `${'x'.repeat(40)}${index}\n`).join(''));
  await using file = await open(path);
  const offset = await tailOffset(file, 3000);
  const { buffer } = await file.read(Buffer.alloc(60), 0, 60, offset);
  assert.match(buffer.toString(), /^x{40}2000\n/);
});
