import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createSpawner } from '#foundation/linux/spawn.ts';
import { findAcceleration, judgeKvm, tscParameter } from './acceleration.ts';

/** A stand-in for QEMU, as a shell script that also counts how often it was started. */
function stage(t: TestContext, script: string) {
  const directory = mkdtempSync('/tmp/skiff-kvm');
  const program = join(directory, 'qemu');
  const count = join(directory, 'count');
  writeFileSync(program, `#!/bin/sh\necho x >>${count}\n${script}\n`);
  chmodSync(program, 0o755);
  const spawner = createSpawner();
  t.after(() => {
    spawner[Symbol.dispose]();
    rmSync(directory, { recursive: true });
  });
  const deps = { spawner, program, cacheDirectory: join(directory, 'cache'), device: '/dev/null' };
  return { deps, starts: () => readFileSync(count, 'utf8').length / 2 };
}

test('KVM is believed if a guest answers with its number, and asked once for each boot of the host', async (t) => {
  const { deps, starts } = stage(t, 'exit 85');
  assert.equal(await findAcceleration(deps), 'kvm');
  assert.equal(await findAcceleration(deps), 'kvm');
  assert.equal(starts(), 1);
  // The first whole guest does not come up after all.
  assert.equal(judgeKvm(deps.cacheDirectory, false), 'tcg');
  assert.equal(await findAcceleration(deps), 'tcg');
  assert.equal(judgeKvm(deps.cacheDirectory, true), 'tcg');
  // The verdict of an earlier boot does not count, nor does a broken one.
  const path = join(deps.cacheDirectory, 'acceleration.json');
  for (const stale of [JSON.stringify({ version: 1, bootId: 'other', kvm: false }), '{"vers'] as const) {
    writeFileSync(path, stale);
    assert.equal(await findAcceleration(deps), 'kvm');
  }
  // Once one came up, a later one that does not is not KVM's fault.
  assert.equal(judgeKvm(deps.cacheDirectory, true), 'kvm');
  assert.equal(judgeKvm(deps.cacheDirectory, false), 'kvm');
  assert.equal(await findAcceleration(deps), 'kvm');
});

test('no device, a failure, and a guest that hangs are no KVM, and the hanging one is ended', async (t) => {
  const none = stage(t, 'exit 85');
  assert.equal(await findAcceleration({ ...none.deps, device: '/nonexistent' }), 'tcg');
  assert.equal(await findAcceleration(stage(t, 'exit 1').deps), 'tcg');
  const before = performance.now();
  assert.equal(await findAcceleration(stage(t, 'exec sleep 1000').deps), 'tcg');
  assert.ok(performance.now() - before < 60_000);
  const missing = stage(t, '');
  assert.equal(await findAcceleration({ ...missing.deps, program: '/nonexistent/qemu' }), 'tcg');
});

test("the counter's rate is the host's", () => {
  assert.deepEqual(tscParameter('processor : 0\ncpu MHz\t\t: 2596.136\n'), [
    'tsc_early_khz=2596136',
    'tsc=reliable',
  ]);
  assert.deepEqual(tscParameter('nothing'), []);
});
