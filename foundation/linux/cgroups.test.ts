import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  cgroupDirectory,
  cgroupLayout,
  cgroupProcesses,
  parseFlatKeyed,
  readCgroup,
  removeCgroup,
} from './cgroups.ts';
import { parseMountLine } from './mount.ts';

const v1 = (controllers: string, target: string) =>
  parseMountLine(`30 20 0:26 / ${target} rw - cgroup cgroup rw,${controllers}`);
const v2 = (target: string) => parseMountLine(`31 20 0:27 / ${target} rw - cgroup2 cgroup2 rw`);

test('the layout is told from the mounts', () => {
  const legacy = cgroupLayout([
    v1('cpu,cpuacct', '/c/cpu'),
    v1('memory', '/c/memory'),
    v1('xattr,name=systemd', '/c/systemd'),
  ]);
  assert.deepEqual(
    [legacy.mode, legacy.v1.get('cpuacct'), legacy.v1.get('name=systemd')],
    ['legacy', '/c/cpu', '/c/systemd'],
  );
  assert.equal(cgroupDirectory(legacy, 'memory', '/pod/a'), '/c/memory/pod/a');
  assert.equal(cgroupDirectory(legacy, 'pids', '/pod/a'), undefined);
  assert.equal(cgroupLayout([v1('memory', '/c/memory'), v2('/c/unified')]).mode, 'hybrid');
  const unified = cgroupLayout([v2('/c')]);
  assert.deepEqual([unified.mode, cgroupDirectory(unified, 'memory', '/a')], ['unified', '/c/a']);
  assert.throws(() => cgroupLayout([]), { code: 'FAILED_PRECONDITION' });
});

test('files are read; what is not there is undefined', (t) => {
  const directory = mkdtempSync('/tmp/skiff-cg-');
  t.after(() => rmSync(directory, { recursive: true }));
  mkdirSync(`${directory}/a/b`, { recursive: true });
  writeFileSync(`${directory}/a/memory.events`, 'low 0\noom_kill 3\n');
  writeFileSync(`${directory}/a/cgroup.procs`, '12\n');
  writeFileSync(`${directory}/a/b/cgroup.procs`, '13\n0\n');
  const layout = cgroupLayout([v2(directory)]);
  assert.equal(parseFlatKeyed(readCgroup(layout, 'memory', '/a', 'memory.events') ?? '').get('oom_kill'), 3n);
  assert.equal(readCgroup(layout, 'memory', '/x', 'memory.events'), undefined);
  assert.deepEqual(cgroupProcesses(layout, '/a'), [12, 13]);
});

test('a group of this machine is removed with those below it; an absent one is success', async () => {
  const layout = cgroupLayout();
  const mount = layout.v1.get('memory') ?? layout.v2 ?? '';
  const path = `/skiff-test-${process.pid}`;
  mkdirSync(`${mount}${path}/below`, { recursive: true });
  await removeCgroup(layout, path);
  assert.throws(() => rmSync(`${mount}${path}`), { code: 'ENOENT' });
  await removeCgroup(layout, path);
});
