import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { launcher, runLauncher } from './harness.ts';

test('a second start is quick and says the versions', async () => {
  await runLauncher(['version']);
  const start = performance.now();
  const { code, stdout } = await runLauncher(['version', '--json']);
  const milliseconds = performance.now() - start;
  assert.equal(code, 0);
  assert.equal((JSON.parse(stdout) as { node: string }).node.split('.')[0], 'v26');
  assert.ok(milliseconds < 1000, `${milliseconds} ms`);
});

test('wrong usage exits with 64 and says what is wrong', async () => {
  const unknown = await runLauncher(['frobnicate']);
  assert.equal(unknown.code, 64);
  assert.match(unknown.stderr, /unknown command 'frobnicate'/);
  const missing = await runLauncher(['up']);
  assert.equal(missing.code, 64);
  assert.match(missing.stderr, /missing required argument 'manifest'/);
});

test('without root a verb says what it needs root for', () => {
  const script = `{ "${launcher}" ps; echo "code $?"; } 2>&1`;
  const output = execFileSync(
    'setpriv',
    ['--reuid=65534', '--regid=65534', '--clear-groups', 'sh', '-c', script],
    {
      encoding: 'utf8',
      cwd: '/',
    },
  );
  assert.match(output, /`skiff ps` needs root to use the node's socket: run `sudo skiff ps/);
  assert.match(output, /code 77/);
});

test('without a node a verb says how to start one', async () => {
  const { code, stderr } = await runLauncher(['--root', '/tmp/skiff-no-such-root', 'ps']);
  assert.equal(code, 69);
  assert.match(
    stderr,
    /no node runs here .* start one with `skiff --root \/tmp\/skiff-no-such-root up MANIFEST`/,
  );
});

test('doctor gives every line that is not fine a remedy', async () => {
  const { stdout } = await runLauncher(['doctor', '--json']);
  const findings = JSON.parse(stdout) as { name: string; verdict: string; detail: string; remedy?: string }[];
  for (const name of ['kernel', 'cgroups', 'conmon', 'cni plugins', 'overlayfs', 'disk', 'ports', 'kvm']) {
    assert.ok(
      findings.some((each) => each.name === name),
      name,
    );
  }
  for (const each of findings)
    if (each.verdict !== 'ok') assert.ok((each.remedy ?? '').length > 10, each.name);
});
