import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeBusyboxRoot } from '../../../test/containers-fixture.ts';
import { leakCheck } from '../../../test/leaks.ts';
import { patientMs, skiffVm, until } from '../../../test/vm/oci-stage.ts';

test('podman from Debian runs, execs in, stops and removes a container with this runtime', async (t) => {
  const root = mkdtempSync('/tmp/skiff-vp-');
  const leaks = leakCheck(root);
  const state = join(root, 's');
  // podman's clean-up after a container's end knows of no flags for the runtime: its root is set here.
  const runtime = join(root, 'vm');
  writeFileSync(runtime, `#!/bin/sh\nexec ${skiffVm} --root ${state} "$@"\n`, { mode: 0o755 });
  const globals = [
    '--root', join(root, 'root'), '--runroot', join(root, 'run'), '--storage-driver', 'vfs',
    '--cgroup-manager', 'cgroupfs', '--events-backend', 'file', '--runtime', runtime,
  ]; // biome-ignore format: options stand beside their values
  const podman = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync('podman', [...globals, ...args], {
      encoding: 'utf8',
      timeout: patientMs,
    });
    return { code: status ?? 255, out: stdout, err: stderr };
  };
  t.after(async () => {
    podman('rm', '-f', '-a');
    rmSync(root, { recursive: true, force: true });
    await leaks.assertClean(10_000);
  });
  makeBusyboxRoot(join(root, 'image'));
  execFileSync('tar', ['-C', join(root, 'image'), '-cf', join(root, 'image.tar'), '.']);
  assert.equal(podman('import', join(root, 'image.tar'), 'busybox:1').code, 0);
  const options = ['--network', 'none', '--log-driver', 'k8s-file'];
  const ran = podman('run', '--rm', ...options, 'busybox:1', 'sh', '-c', 'cat /proc/version; exit 4');
  assert.equal(ran.code, 4, ran.err);
  assert.match(ran.out, /^Linux version 6\.1\..*cloud-amd64/);
  assert.equal(
    podman('run', '-d', '--name', 'w', ...options, 'busybox:1', 'sh', '-c', 'echo up; sleep 1000').code,
    0,
  );
  const exec = podman('exec', 'w', 'sh', '-c', 'echo from exec; exit 6');
  assert.deepEqual([exec.code, exec.out], [6, 'from exec\n'], exec.err);
  assert.equal(podman('logs', 'w').out, 'up\n');
  assert.equal(podman('stop', '-t', '1', 'w').code, 0);
  assert.equal(podman('inspect', '-f', '{{.State.ExitCode}}', 'w').out.trim(), '137');
  assert.equal(podman('rm', 'w').code, 0);
  // podman's own clean-up, which runs beside, may delete it first.
  await until(() => readdirSync(join(state, '.pods')).length === 0, 'the end of the VM');
});
