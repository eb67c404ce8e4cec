import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { type RotationDeps, rotateAll } from './rotation.ts';

const roots: string[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true });
});

function setup(reopen: (path: string) => void) {
  const root = mkdtempSync('/tmp/skiff-rot-');
  roots.push(root);
  const path = `${root}/0.log`;
  const clock = fakeClock();
  const deps: RotationDeps = {
    cri: {
      listContainers: async () => ({ containers: [{ id: 'c' }] }),
      containerStatus: async () => ({ status: { logPath: path } }),
      reopenContainerLog: async () => reopen(path),
    } as never,
    clock,
    log: silentLogger,
    maxSize: 10,
    maxFiles: 3,
    workers: 2,
    intervalMs: 10_000,
  };
  const round = () => rotateAll(deps, new Map(), new AbortController().signal);
  const files = () => readdirSync(root).sort();
  return { root, path, clock, round, files };
}

test('a large log is renamed, older ones compressed, the oldest deleted', async () => {
  const { root, path, clock, round, files } = setup((file) => writeFileSync(file, ''));
  writeFileSync(path, 'small');
  await round();
  assert.deepEqual(files(), ['0.log']);
  const seen: string[] = [];
  for (let turn = 0; turn < 4; turn++) {
    writeFileSync(path, `contents of turn ${turn}`);
    await round();
    seen.push(files().find((name) => /\d$/.test(name)) ?? '');
    await clock.advance(60_000);
  }
  assert.equal(files().length, 3, 'the written one, the last rotated, one compressed');
  assert.deepEqual(files(), ['0.log', `${seen[2]}.gz`, seen[3]]);
  assert.equal(gunzipSync(readFileSync(`${root}/${seen[2]}.gz`)).toString(), 'contents of turn 2');
  assert.match(seen[3] ?? '', /^0\.log\.\d{8}-\d{6}$/);
});

test('a runtime that does not reopen the log gets it back', async () => {
  const { path, round, files } = setup(() => {
    throw new Error('the runtime is away');
  });
  writeFileSync(path, 'more than ten bytes');
  await round();
  assert.deepEqual(files(), ['0.log']);
  assert.equal(readFileSync(path, 'utf8'), 'more than ten bytes');
});

test('what a crash left half-compressed is cleaned up', async () => {
  const { root, path, round, files } = setup((file) => writeFileSync(file, ''));
  writeFileSync(path, 'more than ten bytes');
  writeFileSync(`${root}/0.log.20200101-000000`, 'twice');
  writeFileSync(`${root}/0.log.20200101-000000.gz`, 'done');
  writeFileSync(`${root}/0.log.20200102-000000.gz.tmp`, 'half');
  await round();
  assert.deepEqual(
    files().filter((name) => name.includes('2020')),
    ['0.log.20200101-000000.gz'],
  );
});
