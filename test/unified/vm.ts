/** Boots a VM that sees this machine's files and has version 2 cgroups only, and runs one command in it. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { defaultPackageDirectory, findPackage } from '#services/vm-runtime/guest-image/build.ts';
import { unpackPackage } from '#services/vm-runtime/guest-image/kernel.ts';
import { initialRoot } from './initial-root.ts';

/** What to run. */
export interface VmJob {
  /** Program and arguments, started in this checkout. */
  command: readonly string[];
  /** Told of each line that the command prints. */
  onLine?: (line: string) => void;
  /** Ends the VM. */
  signal?: AbortSignal;
}

/** How it ended. */
export interface VmResult {
  /** The command's exit status; undefined if the VM ended before. */
  status?: number;
  lines: string[];
}

const checkout = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const virtiofsd = '/usr/lib/qemu/virtiofsd';
/** Printed before the command's exit status. */
const statusMark = 'the command ended with status ';

/** Boots, runs, and waits for the end. Nothing that the command does reaches this machine's files. */
export async function bootWithOwnRoot(job: VmJob): Promise<VmResult> {
  const directory = mkdtempSync('/tmp/skiff-unified-');
  chmodSync(directory, 0o755);
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rmSync(directory, { recursive: true, force: true }));
  const kernel = await unpackPackage(findPackage(defaultPackageDirectory), join(directory, 'kernel'));
  execFileSync('/sbin/depmod', ['-b', join(kernel.modules, '../../..'), kernel.version]);
  const initrd = join(directory, 'initrd');
  writeFileSync(
    initrd,
    initialRoot({
      modules: kernel.modules,
      checkout,
      command: job.command,
      node: process.execPath,
      statusMark,
    }),
  );
  const share = join(directory, 'share.sock');
  stack.use(await startShare(share, join(directory, 'share.log')));
  const vm = spawn('qemu-system-x86_64', machine({ kernel: kernel.bzImage, initrd, share }), {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  stack.defer(async () => {
    if (vm.exitCode === null && vm.signalCode === null) {
      vm.kill('SIGKILL');
      await once(vm, 'exit');
    }
  });
  job.signal?.addEventListener('abort', () => vm.kill('SIGKILL'), { once: true });
  const lines: string[] = [];
  for await (const text of createInterface({ input: vm.stdout })) {
    const line = text.replace(/\r$/, '');
    lines.push(line);
    job.onLine?.(line);
  }
  const last = lines.findLast((line) => line.startsWith(statusMark));
  return { lines, ...(last === undefined ? {} : { status: Number(last.slice(statusMark.length)) }) };
}

/** Serves this machine's root; it ends with the VM's connection. */
async function startShare(socket: string, log: string): Promise<AsyncDisposable> {
  const child = spawn(
    virtiofsd,
    [`--socket-path=${socket}`, '-o', 'source=/', '-o', 'cache=auto', '-o', 'xattr', '-o', 'sandbox=chroot'],
    { stdio: 'ignore' },
  );
  const ended = once(child, 'exit');
  for (let tries = 0; !existsSync(socket) && tries < 200; tries += 1) await sleep(20);
  if (!existsSync(socket)) throw new Error(`${virtiofsd} does not start; see ${log}`);
  return {
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

function machine({ kernel, initrd, share }: { kernel: string; initrd: string; share: string }): string[] {
  // Emulation has no timer to measure the processor's clock by; boots that try hang now and then.
  const khz = /cpu MHz\s*:\s*([\d.]+)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1];
  const parameters = `console=ttyS0 quiet rdinit=/init panic=-1 reboot=t cryptomgr.notests noreplace-smp tsc_early_khz=${Math.round(Number(khz ?? 2000) * 1000)}`;
  return [
    '-accel', 'tcg,thread=multi', '-cpu', 'qemu64,+rdrand', '-smp', '2', '-m', '4G',
    '-M', 'microvm,x-option-roms=off,isa-serial=on,rtc=on,pit=off,pic=off,memory-backend=memory',
    '-object', 'memory-backend-memfd,id=memory,size=4G,share=on',
    '-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-serial', 'stdio',
    '-global', 'virtio-mmio.force-legacy=false',
    '-kernel', kernel, '-initrd', initrd, '-append', parameters,
    '-chardev', `socket,id=share,path=${share}`,
    '-device', 'vhost-user-fs-device,chardev=share,tag=root,queue-size=1024',
    '-device', 'virtio-rng-device',
  ]; // biome-ignore format: options stand beside their values
}
