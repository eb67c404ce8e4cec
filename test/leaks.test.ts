import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { test } from 'node:test';
import { pathsUnder } from '#foundation/base/paths.ts';
import { mount, unmount } from '#foundation/linux/mount.ts';
import { leakCheck } from './leaks.ts';

test('each kind of leftover is seen and named, and nothing else', async (t) => {
  const root = mkdtempSync('/tmp/skiff-leaks-');
  const { tag } = pathsUnder(root);
  const leaks = leakCheck(root);
  const cgroup = `/sys/fs/cgroup/unified/skiff-${tag}`;
  let child: ChildProcess | undefined;
  const undo = () => {
    unmount(`${root}/m`);
    for (const [file, ...args] of [
      ['ip', 'link', 'delete', `sk${tag}`],
      ['nft', 'delete', 'table', 'ip', `skiff-${tag}`],
      ['rmdir', cgroup],
    ] as [string, ...string[]][])
      try {
        execFileSync(file, args, { stdio: 'ignore' });
      } catch {}
    child?.kill('SIGKILL');
  };
  t.after(() => {
    undo();
    rmSync(root, { recursive: true });
  });
  assert.deepEqual(leaks.left(), []);
  mkdirSync(`${root}/m`);
  mount({ source: 'x', target: `${root}/m`, type: 'tmpfs' });
  execFileSync('ip', ['link', 'add', `sk${tag}`, 'type', 'bridge']);
  execFileSync('nft', ['add', 'table', 'ip', `skiff-${tag}`]);
  mkdirSync(cgroup);
  child = spawn('sleep', ['60'], { argv0: `sleep-${root}` });
  await once(child, 'spawn');
  const kinds = leaks.left().map((line) => line.split(' ')[0]);
  assert.deepEqual(kinds, ['mount', 'interface', 'cgroup', 'rule', 'process']);
  await assert.rejects(leaks.assertClean(10), /mount tmpfs/);
  undo();
  await once(child, 'exit');
  await leaks.assertClean();
});
