import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { leakCheck } from '../../../test/leaks.ts';
import { patientMs, runInGuest, testShape, vmStage } from '../testing/vm-stage.ts';

/** Where a share differs from a local file system, and why it must. */
const known: Record<string, string> = {};

/** As a privileged container has them. */
const capabilities = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'SETFCAP',
  'SETGID',
  'SETUID',
];

/** Runs the checks in a VM of a factory. */
async function check(t: TestContext, kind: 'direct' | 'template'): Promise<void> {
  const { root, factory, atEnd } = await vmStage(t, leakCheck);
  const vms = factory(kind);
  const directory = join(root, 'p');
  atEnd(async () => {
    await vms.release(directory);
    await vms.drain();
  });
  const box = join(root, 'box');
  for (const name of ['proc', 'dev', 'data']) mkdirSync(join(box, name), { recursive: true });
  const source = fileURLToPath(new URL('fs-checks.c', import.meta.url));
  execFileSync('gcc', ['-static', '-O1', '-Wall', '-Wextra', '-Werror', '-o', join(box, 'checks'), source]);
  await vms.refill();
  const pod = await vms.acquire({
    ...{ id: 'fs', directory, ...testShape, sharing: 'virtiofs', deadlineMs: patientMs },
  });
  assert.equal(pod.origin, kind);
  const guestRoot = pod.share?.add({ name: 'box', source: box }) ?? '';
  const { output } = await runInGuest(pod.agent, ['/checks', '/data'], {
    root: guestRoot,
    capabilities: capabilities.map((name) => `CAP_${name}`),
    newPrivileges: true,
  });
  pod.agent.close();
  judge(output);
}

function judge(output: string): void {
  const lines = output.split('\n');
  const count = Number(/^checks (\d+)$/m.exec(output)?.[1]);
  assert.ok(count >= 150, output);
  const bad = lines.filter((line) => line.startsWith('bad '));
  const unexpected = bad.filter((line) => known[line.split(/[ :]/)[1] ?? ''] === undefined);
  assert.deepEqual(unexpected, []);
  // A difference that is none any more is no longer to be excused.
  const fine = Object.keys(known).filter((name) => lines.includes(`ok ${name}`));
  assert.deepEqual(fine, []);
  assert.equal(lines.filter((line) => line.startsWith('ok ')).length + bad.length, count);
}

test('a share behaves in the guest as a file system must: at least 150 checks', (t) => check(t, 'direct'));

test('the same holds in a clone, whose memory the file server does not see', (t) => check(t, 'template'));
