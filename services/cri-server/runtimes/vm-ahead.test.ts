import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type VmAhead, vmsAhead } from './vm-ahead.ts';

const size = (mib: number) => ({ vcpus: 1, memoryBytes: mib * 1024 * 1024 });

/** Notes what `skiff-vm` is run for; each refill lasts until it is let go. */
function stage(t: TestContext, ahead?: VmAhead) {
  const stateDirectory = mkdtempSync('/tmp/skiff-va');
  mkdirSync(join(stateDirectory, '.cache'));
  t.after(() => rmSync(stateDirectory, { recursive: true }));
  const commands: string[] = [];
  const going: { end(error?: Error): void }[] = [];
  const vms = vmsAhead({
    stateDirectory,
    restMs: 1,
    ...(ahead === undefined ? {} : { ahead }),
    run: async (args, signal) => {
      commands.push(args.join(' '));
      if (args[1] === 'refill')
        await new Promise<void>((resolve, reject) => {
          going.push({ end: (error) => (error === undefined ? resolve() : reject(error)) });
          signal?.addEventListener('abort', () => reject(signal.reason));
        });
      return '';
    },
  });
  const started = async (count: number) => {
    while (going.length < count) await new Promise((wake) => setTimeout(wake, 2));
  };
  return { vms, commands, going, started };
}

test('where nothing is wanted, what an earlier process left is taken away', async (t) => {
  const { vms, commands } = stage(t);
  vms.used(size(512));
  await vms.close();
  assert.deepEqual(commands, ['factory drain']);
});

test('a template is made after the first pod of a size; of the last two sizes, one refill at a time', async (t) => {
  const { vms, commands, going, started } = stage(t, { kind: 'template', waiting: 1 });
  vms.used(size(512));
  await started(1);
  vms.used(size(512));
  vms.used(size(256));
  vms.used(size(1024));
  assert.equal(going.length, 1);
  going[0]?.end();
  await started(2);
  going[1]?.end();
  vms.used(size(1024));
  await vms.close();
  assert.deepEqual(commands, [
    'factory refill --kind template --waiting 1 --shape 1x512',
    'factory refill --kind template --waiting 1 --shape 1x256 --shape 1x1024',
    'factory drain',
  ]);
});

test('a waiting VM that was taken is replaced; the end stops what is being made and drains', async (t) => {
  const { vms, commands, going, started } = stage(t, { kind: 'cache', waiting: 3 });
  const refill = 'factory refill --kind cache --waiting 3 --shape 1x512';
  vms.used(size(512));
  await started(1);
  vms.used(size(512));
  going[0]?.end();
  await started(2);
  await vms.close();
  vms.used(size(512));
  assert.deepEqual(commands, [refill, refill, 'factory drain']);
});

test('a refill that fails is tried again after the next pod', async (t) => {
  const { vms, going, started } = stage(t, { kind: 'template', waiting: 1 });
  vms.used(size(512));
  await started(1);
  going[0]?.end(new Error('no room'));
  while (going.length < 2) {
    vms.used(size(512));
    await new Promise((wake) => setTimeout(wake, 2));
  }
  await vms.close();
});
