import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import type { PodVm } from '../factory/types.ts';
import { openFilesOf } from '../storage/open-files.ts';
import type { Core } from './core.ts';
import { limitOpenFiles } from './open-files.ts';

/** Opens 60 files, waits for a signal, closes them, and goes on. */
const script = `
  const { openSync, closeSync } = require('node:fs');
  let fds = Array.from({ length: 60 }, () => openSync('/dev/null'));
  process.on('SIGUSR2', () => { for (const fd of fds.splice(0)) closeSync(fd); });
  setInterval(() => {}, 1000);
  console.log('ready');
`;

async function server(limit: number): Promise<ChildProcess & { pid: number }> {
  const args = ['-c', `ulimit -n ${limit}; exec "$0" -e "$1"`, process.execPath, script];
  const child = spawn('/bin/sh', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout ?? child, 'data');
  assert.ok(child.pid !== undefined);
  return child as ChildProcess & { pid: number };
}

test('a file server with a low limit has its guest forget in time; one with a high limit is left alone', async (t) => {
  const [low, high] = await Promise.all([server(128), server(600)]);
  t.after(() => {
    for (const child of [low, high]) child.kill('SIGKILL');
  });
  const said: string[] = [];
  const core = {
    life: { phase: 'ready' },
    say: (message: string) => void said.push(message),
  } as unknown as Core;
  const dropped: number[] = [];
  const pod = (child: { pid: number; kill(signal: NodeJS.Signals): boolean }) =>
    ({
      share: { pid: child.pid },
      agent: {
        dropCaches: async () => {
          dropped.push(child.pid);
          child.kill('SIGUSR2');
        },
      },
    }) as unknown as PodVm;
  assert.deepEqual(openFilesOf(low.pid)?.limit, 128);
  const before = openFilesOf(low.pid)?.open ?? 0;
  assert.ok(before >= 60, String(before));
  const watching = [limitOpenFiles(core, pod(low)), limitOpenFiles(core, pod(high))];
  while ((openFilesOf(low.pid)?.open ?? 0) > before - 60) await new Promise((wake) => setTimeout(wake, 10));
  assert.deepEqual([...new Set(dropped)], [low.pid]);
  assert.ok(said.every((line) => line === 'the file server of the VM may open few files'));
  core.life = { phase: 'ended', reason: 'enough' };
  await Promise.all(watching);
  assert.equal(openFilesOf(2 ** 30), undefined);
});
