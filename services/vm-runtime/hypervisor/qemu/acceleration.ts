/**
 * Whether KVM works here. That /dev/kvm opens says little: on some machines a guest then hangs. So a machine of a few
 * instructions is started, whose firmware writes a number to a debug port; if QEMU does not end with that number in
 * time, there is no KVM. The verdict is kept until the machine boots anew.
 */
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeDirectories } from '#foundation/base/directories.ts';
import { replaceFileSync } from '#foundation/base/files.ts';
import type { Spawner } from '#foundation/linux/spawn.ts';

/** Milliseconds for a guest of five instructions. */
const probeMs = 3000;
/** What the guest writes; QEMU exits with twice that and one more. */
const magic = 0x2a;

/** How guests run. */
export type Acceleration = 'kvm' | 'tcg';

interface Verdict {
  version: 1;
  /** Of the host. */
  bootId: string;
  kvm: boolean;
  /** A whole guest came up with it. */
  proven?: boolean;
}

/** What finding out needs. */
export interface AccelerationDeps {
  spawner: Spawner;
  program: string;
  /** Where the verdict is kept. */
  cacheDirectory: string;
  /** Another device in tests. */
  device?: string;
}

/** Finds out, once for each boot of the host. */
export async function findAcceleration(deps: AccelerationDeps): Promise<Acceleration> {
  const path = join(deps.cacheDirectory, 'acceleration.json');
  const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  const known = readVerdict(path);
  if (known?.bootId === bootId) return known.kvm ? 'kvm' : 'tcg';
  const kvm = existsSync(deps.device ?? '/dev/kvm') && (await probe(deps));
  makeDirectories(deps.cacheDirectory, 0o700);
  const verdict: Verdict = { version: 1, bootId, kvm };
  replaceFileSync(path, JSON.stringify(verdict), { durable: false });
  return kvm ? 'kvm' : 'tcg';
}

/**
 * Takes down how the first whole guest fared with KVM: five instructions say less. Once one came up, others that do
 * not are no longer KVM's fault.
 *
 * @returns how guests run from now on.
 */
export function judgeKvm(cacheDirectory: string, cameUp: boolean): Acceleration {
  const path = join(cacheDirectory, 'acceleration.json');
  const known = readVerdict(path);
  if (known === undefined || !known.kvm) return 'tcg';
  if (known.proven === true) return 'kvm';
  const verdict: Verdict = { ...known, kvm: cameUp, proven: cameUp };
  replaceFileSync(path, JSON.stringify(verdict), { durable: false });
  return cameUp ? 'kvm' : 'tcg';
}

function readVerdict(path: string): Verdict | undefined {
  try {
    const verdict = JSON.parse(readFileSync(path, 'utf8')) as Verdict;
    return verdict.version === 1 ? verdict : undefined;
  } catch {
    return undefined; // Never asked, or half a file of a broken disk.
  }
}

/** Starts the machine. @returns whether it answered. */
async function probe(deps: AccelerationDeps): Promise<boolean> {
  makeDirectories(deps.cacheDirectory, 0o700);
  const firmware = join(deps.cacheDirectory, 'probe.bin');
  writeFileSync(firmware, probeFirmware(), { mode: 0o600 });
  const fd = openSync(firmware, 'r');
  try {
    const child = deps.spawner.spawn({
      file: deps.program,
      args: probeArguments,
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      newSession: true,
      fds: { 3: fd },
    });
    const late = new AbortController();
    const ended = child.exited.then(({ code }) => code === magic * 2 + 1);
    const answered = await Promise.race([
      ended,
      sleep(probeMs, false, { signal: late.signal }).catch(() => false),
    ]);
    late.abort();
    child.kill(9);
    await ended;
    return answered;
  } catch {
    return false; // No QEMU: `available` says so.
  } finally {
    closeSync(fd);
  }
}

const probeArguments = [
  ...['-machine', 'microvm', '-accel', 'kvm', '-cpu', 'host', '-m', '16', '-nodefaults', '-no-user-config'],
  ...['-display', 'none', '-bios', '/proc/self/fd/3', '-device', 'isa-debug-exit,iobase=0xf4,iosize=4'],
];

/** 64 KiB whose last 16 bytes are where a processor begins: mov al, magic; out 0xf4, al; hlt. */
export function probeFirmware(): Buffer {
  const firmware = Buffer.alloc(64 * 1024);
  firmware.set([0xb0, magic, 0xe6, 0xf4, 0xf4], firmware.length - 16);
  return firmware;
}

/**
 * The kernel parameters that tell the rate of the time-stamp counter under emulation, where it is the host's own, and
 * that it can be believed. Without the first the guest measures the rate against timers that emulation serves late, and
 * 2 to 5 of 100 boots hang. Without the second a watchdog compares the counter with such timers, takes the counter for
 * broken on a busy host, and counts ticks from then on, of which it misses some: its clock runs slow. The host's figure
 * is constant where it runs in a virtual machine itself; elsewhere it may be off by what the processor's clock varies.
 */
export function tscParameter(cpuinfo = readFileSync('/proc/cpuinfo', 'utf8')): string[] {
  const mhz = /^cpu MHz\s*:\s*([\d.]+)$/m.exec(cpuinfo)?.[1];
  return mhz === undefined ? [] : [`tsc_early_khz=${Math.round(Number(mhz) * 1000)}`, 'tsc=reliable'];
}
