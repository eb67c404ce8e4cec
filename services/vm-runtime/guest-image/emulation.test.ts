import assert from 'node:assert/strict';
import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isSkiffError } from '#foundation/base/errors.ts';
import { leakCheck } from '../../../test/leaks.ts';
import { memoryFdOfProcess } from '../hypervisor/qemu/launch.ts';
import { testImages } from '../testing/guest-config.ts';
import { busyboxRoot, patientMs, runInGuest, testShape, type VmStage, vmStage } from '../testing/vm-stage.ts';
import { guestImage } from './build.ts';
import { loadedSegments } from './elf.ts';
import { prepareForEmulation } from './emulation.ts';
import { kernelMap, kernelSymbols } from './kernel-symbols.ts';

/** Ticks in a second of Debian's kernel. */
const ticks = 250;
const image = await guestImage({ directory: testImages });
const [plain, emulated] = [image.vmlinuxPath, image.emulatedVmlinuxPath].map((path) =>
  readFileSync(path),
) as [Buffer, Buffer];

/** Where two kernels of one length differ, in bytes from the beginning. */
function differences(one: Buffer, other: Buffer): number[] {
  assert.equal(one.length, other.length);
  const found: number[] = [];
  for (let from = 0; from < one.length; from += 4096) {
    const to = Math.min(from + 4096, one.length);
    if (one.compare(other, from, to, from, to) === 0) continue;
    for (let at = from; at < to; at += 1) if (one[at] !== other[at]) found.push(at);
  }
  return found;
}

test("Debian's kernel is prepared in all that there is, and nothing else of it is touched", () => {
  const { vmlinux, leftOut } = prepareForEmulation(plain, ticks);
  assert.deepEqual(leftOut, []);
  assert.ok(vmlinux.equals(emulated));
  // 48,000 returns and 38,000 traced functions of five bytes each, of 26 MB.
  const bytes = differences(plain, emulated).length;
  assert.ok(bytes > 80_000 && bytes < 500_000, `${bytes} bytes`);
});

test('what is not as expected is left as it was, alone', () => {
  const changed = differences(plain, emulated);
  // One return of many, and the value that what is freed is overwritten with.
  const oneReturn = changed.filter((at) => emulated[at] === 0xc3)[1000]!;
  const value = changed.find((at) => plain[at] === 0xcc && emulated[at] === 0xff)!;
  const odd = Buffer.from(plain);
  for (const at of [oneReturn, value]) odd[at] = 0x90;
  const { vmlinux, leftOut } = prepareForEmulation(odd, ticks);
  assert.match(
    leftOut.join('; '),
    /^returns: [^;]*a return is none; freed: [^;]*what is freed is not overwritten$/,
  );
  const tracing = differences(odd, vmlinux);
  assert.ok(tracing.length > 80_000 && !tracing.some((at) => vmlinux[at] === 0xc3 && odd[at] === 0xe9));

  const unknown = prepareForEmulation(plain, undefined);
  assert.match(unknown.leftOut.join('; '), /^timer: [^;]*how often its clock ticks$/);
  const timer = differences(unknown.vmlinux, emulated);
  assert.ok(timer.length > 0 && timer.at(-1)! - timer[0]! < 15);
});

test('a kernel without symbols, or of another form, stays as it is', () => {
  for (const other of [readFileSync('/bin/busybox'), Buffer.from(plain.subarray(0, 0x1400000))]) {
    const { vmlinux, leftOut } = prepareForEmulation(other, ticks);
    assert.ok(vmlinux.equals(other));
    assert.match(leftOut.join('; '), /carries no symbols/);
    assert.throws(
      () => kernelSymbols(other),
      (error) => isSkiffError(error, 'NOT_FOUND'),
    );
  }
});

/** Boots a kernel and does something in a container of its guest, whose root is busybox. */
async function inGuest<T>(
  stage: VmStage,
  kernel: string,
  work: (run: (command: string) => Promise<string>, pid: number) => Promise<T>,
): Promise<T> {
  const { root } = stage;
  const directory = join(root, 'p');
  const box = join(root, 'box');
  if (!existsSync(box)) await busyboxRoot(box);
  const factory = stage.factory('direct', {
    image: async () => ({ ...stage.image, emulatedVmlinuxPath: kernel }),
  });
  const pod = await factory.acquire({
    ...{ id: 'x', directory, ...testShape, sharing: 'virtiofs', deadlineMs: patientMs },
  });
  try {
    const guestRoot = pod.share!.add({ name: 'box', source: box });
    const run = async (command: string) => {
      // With this capability the kernel tells where its symbols are.
      const wish = { root: guestRoot, capabilities: ['CAP_SYSLOG'] };
      const { code, output } = await runInGuest(pod.agent, ['sh', '-c', command], wish);
      assert.equal(code, 0, output);
      return output;
    };
    return await work(run, pod.vm.pid);
  } finally {
    pod.agent.close();
    await factory.release(directory);
  }
}

test("a guest's code is what Debian's kernel makes of itself at boot, and its symbols are where they are", async (t) => {
  const stage = await vmStage(t, leakCheck);
  const symbols = kernelSymbols(plain);
  const { _stext: from, _etext: to } = Object.fromEntries(
    ['_stext', '_etext'].map((name) => [name, symbols.get(name)![0]!]),
  ) as { _stext: number; _etext: number };
  const codeOf = (kernel: string) =>
    inGuest(stage, kernel, async (run, pid) => {
      const line = await run('grep " _etext$" /proc/kallsyms');
      assert.equal(BigInt(`0x${line.split(' ')[0]}`), kernelMap + BigInt(to));
      const memory = openSync(`/proc/${pid}/fd/${memoryFdOfProcess}`, 'r');
      const code = Buffer.alloc(to - from);
      assert.equal(readSync(memory, code, 0, code.length, from), code.length);
      closeSync(memory);
      return code;
    });
  const ours = await codeOf(stage.image.emulatedVmlinuxPath);
  const debians = await codeOf(stage.image.vmlinuxPath);
  // Compared where the files differ; elsewhere a kernel changes its code as it runs.
  const segment = loadedSegments(plain).find((each) => each.physicalAddress <= from)!;
  const start = segment.fileOffset + from - segment.physicalAddress;
  const changed = differences(plain, emulated).map((at) => at - start);
  const inText = changed.filter((at) => at >= 0 && at < ours.length);
  assert.ok(inText.length > 80_000);
  const other = inText.filter((at) => ours[at] !== debians[at]);
  // The value that nothing is overwritten with when it is freed.
  assert.deepEqual(
    other.map((at) => ours[at]),
    [0xff, 0xff, 0xff, 0xff],
  );
});

test("a guest's timer has the rate that it was told, and its clock is the host's", async (t) => {
  const stage = await vmStage(t, leakCheck);
  await inGuest(stage, stage.image.emulatedVmlinuxPath, async (run) => {
    // Counts in a nanosecond, by 2^32: one for 16, as the kernel divides. A measured rate is never so even.
    const timer = await run('grep -A 3 "Clock Event Device: lapic" /proc/timer_list | grep mult');
    assert.equal(Number(/\d+/.exec(timer)?.[0]), 2 ** 32 / 16);
    // At another rate they would last twice as long, or half; on a busy host the shortest is the truest.
    const sleeps = await run('for i in 0 1 2; do cat /proc/uptime; sleep 2; done; cat /proc/uptime');
    const times = sleeps
      .trim()
      .split('\n')
      .map((line) => Number(line.split(' ')[0]));
    const shortest = Math.min(...times.slice(1).map((time, index) => time - times[index]!));
    assert.ok(shortest >= 1.98 && shortest < 3.5, `${shortest} s`);
    const look = async () => {
      const before = performance.now() / 1000;
      const uptime = Number((await run('cat /proc/uptime')).split(' ')[0]);
      return { before, uptime, after: performance.now() / 1000 };
    };
    const first = await look();
    await sleep(3000);
    const second = await look();
    const passed = second.uptime - first.uptime;
    // The guest looked at its clock some time between; one that is wrong by a hundredth is noticed where that is short.
    const [least, most] = [second.before - first.after, second.after - first.before];
    assert.ok(passed > least * 0.99 - 0.02 && passed < most * 1.01 + 0.02, `${least} ${passed} ${most}`);
  });
});
