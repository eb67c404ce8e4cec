/**
 * Boots VMs, one after another, each as a pod gets it, and runs a container in it:
 *
 *     node test/vm/boots.ts [--count N] [--at-once N] [--patience SECONDS]
 *
 * A guest that does not answer within the patience hangs: what its console said is shown, and the next one is booted.
 * Exit status 1 if any did. As root; a busy machine wants more patience, a lost boot none.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { messageOf } from '#foundation/base/errors.ts';
import { prepareNamespaces } from '#foundation/linux/namespaces.ts';
import { createSpawner } from '#foundation/linux/spawn.ts';
import { connectAgent } from '#services/vm-runtime/agent-client/connect.ts';
import { createVmFactory } from '#services/vm-runtime/factory/index.ts';
import { guestImage } from '#services/vm-runtime/guest-image/build.ts';
import { createQemu } from '#services/vm-runtime/hypervisor/qemu/driver.ts';
import { busyboxRoot, runInGuest } from '#services/vm-runtime/testing/vm-stage.ts';
import { testImages } from '../guest-vm.ts';

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '200' },
    'at-once': { type: 'string', default: '1' },
    patience: { type: 'string', default: '120' },
  },
});
const count = Number(values.count);
const deadlineMs = Number(values.patience) * 1000;
const root = mkdtempSync('/tmp/skiff-vb-');
const spawner = createSpawner();
await prepareNamespaces();
const hypervisor = createQemu({ spawner, cacheDirectory: join(root, 'q') });
const image = await guestImage({ directory: testImages });
const factory = createVmFactory('direct', {
  ...{ hypervisor, spawner, connectAgent, image: async () => image },
  ...{ directory: join(root, 'd'), shapes: [] },
});
const box = join(root, 'box');
mkdirSync(box);
await busyboxRoot(box);

/** Boots one and ends it. @returns milliseconds until the agent answered. */
async function boot(number: number): Promise<number> {
  const directory = join(root, String(number));
  const start = performance.now();
  try {
    const shape = { vcpus: 1, memoryBytes: 256 * 1024 * 1024 };
    const pod = await factory.acquire({
      ...{ id: `boot-${number}`, directory, ...shape, sharing: 'virtiofs', deadlineMs },
    });
    const ready = performance.now() - start;
    try {
      const { code, output } = await runInGuest(pod.agent, ['echo', 'alive'], {
        root: pod.share?.add({ name: 'box', source: box }) ?? '',
      });
      if (code !== 0 || output !== 'alive\n') throw new Error(`its container ended with ${code}: ${output}`);
      return ready;
    } finally {
      pod.agent.close();
    }
  } finally {
    await factory.release(directory);
  }
}

const times: number[] = [];
let begun = 0;
let failed = 0;
async function work(): Promise<void> {
  while (begun < count) {
    begun += 1;
    const number = begun;
    try {
      times.push(await boot(number));
    } catch (error) {
      failed += 1;
      console.log(`boot ${number}: ${messageOf(error)}`);
    }
    const done = times.length + failed;
    if (done % 10 === 0) console.log(`${done} boots, ${failed} failed`);
  }
}
await Promise.all(Array.from({ length: Number(values['at-once']) }, work));
spawner[Symbol.dispose]();
rmSync(root, { recursive: true });
const [middle = 0, slowest = 0] = [0.5, 1].map((at) => {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.ceil(at * sorted.length) - 1];
});
const [median, most] = [middle, slowest].map((ms) => `${(ms / 1000).toFixed(1)} s`);
console.log(
  `${times.length} of ${count} VMs booted and ran a container; ready in ${median}, at most ${most}`,
);
process.exitCode = failed > 0 ? 1 : 0;
