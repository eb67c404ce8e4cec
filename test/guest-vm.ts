/** A real guest for the tests of agent and client: QEMU started plainly, without the hypervisor driver. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectAgent } from '#services/vm-runtime/agent-client/connect.ts';
import type {
  AgentClient,
  ConnectAgentOptions,
  GuestProcess,
} from '#services/vm-runtime/agent-client/types.ts';
import { guestImage } from '#services/vm-runtime/guest-image/build.ts';
import { agentPortName } from '#services/vm-runtime/guest-image/types.ts';
import {
  type TestContainer,
  testConfig,
  testImages,
  testProcess,
  textOf,
} from '#services/vm-runtime/testing/guest-config.ts';

export { testConfig, testImages, testProcess, textOf };

export const nicMac = '02:00:00:00:00:07';

/** A running guest. */
export interface GuestVm {
  agent: AgentClient;
  /** Milliseconds from the start of QEMU to the agent's answer. */
  readyMs: number;
  directory: string;
  /** The directory that the guest sees as /run/share. */
  share: string;
  socketPath: string;
  /** Connects anew; the earlier connection is closed first. */
  reconnect(options?: Partial<ConnectAgentOptions>): Promise<AgentClient>;
  /** QEMU's exit code. */
  exited: Promise<number | null>;
  console(): string;
  stop(): Promise<void>;
}

/** Boots a guest with a share that holds busybox, a disk with the serial number `disk0`, and a NIC. */
export async function bootGuest(): Promise<GuestVm> {
  const image = await guestImage({ directory: testImages });
  const directory = mkdtempSync('/tmp/skiff-g');
  const share = `${directory}/share`;
  makeRoot(`${share}/root`);
  makeDisk(directory);
  const server = spawn('/usr/lib/qemu/virtiofsd', virtiofsdArguments(directory), { stdio: 'ignore' });
  await sleep(50);
  const start = performance.now();
  const parameters = [
    ...image.kernelParameters,
    `tsc_early_khz=${tscKhz()}`,
    'tsc=reliable',
    'console=hvc0',
  ].join(' ');
  const boot = ['-kernel', image.emulatedVmlinuxPath, '-initrd', image.initrdPath, '-append', parameters];
  const qemu = spawn('qemu-system-x86_64', [...qemuArguments(directory), ...boot], { stdio: 'ignore' });
  const exited = new Promise<number | null>((resolve) => qemu.once('exit', (code) => resolve(code)));
  const socketPath = `${directory}/agent.sock`;
  const vm = {
    directory,
    share,
    socketPath,
    exited,
    console: () => readFileSync(`${directory}/console`, 'latin1'),
    async stop() {
      if (process.env.SKIFF_SHOW_CONSOLE) console.error(vm.console());
      end(qemu);
      end(server);
      await exited;
      rmSync(directory, { recursive: true, force: true });
    },
  };
  try {
    const agent = await connectAgent({ socketPath, deadlineMs: 60_000 });
    const readyMs = performance.now() - start;
    await agent.mount({ source: 'share0', target: '/run/share', type: 'virtiofs' });
    return Object.assign(vm, { agent, readyMs, reconnect: reconnector(socketPath, agent) });
  } catch (error) {
    const said = vm.console().slice(-2000);
    await vm.stop();
    throw new Error(`The guest did not come up: ${said}`, { cause: error });
  }
}

function reconnector(socketPath: string, first: AgentClient): GuestVm['reconnect'] {
  let current = first;
  return async (options) => {
    current.close();
    current = await connectAgent({ socketPath, deadlineMs: 30_000, ...options });
    return current;
  };
}

function end(child: ChildProcess): void {
  if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
}

function makeRoot(root: string): void {
  for (const name of ['bin', 'proc', 'sys', 'dev', 'etc', 'tmp'])
    mkdirSync(`${root}/${name}`, { recursive: true });
  execFileSync('cp', ['/bin/busybox', `${root}/bin/busybox`]);
  const names = execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' }).trim().split('\n');
  for (const name of names) if (name !== 'busybox') symlinkSync('busybox', `${root}/bin/${name}`);
}

function makeDisk(directory: string): void {
  mkdirSync(`${directory}/disk`);
  execFileSync('cp', ['/bin/busybox', `${directory}/disk/busybox`]);
  execFileSync('/sbin/mke2fs', [
    '-q',
    '-t',
    'ext4',
    '-d',
    `${directory}/disk`,
    `${directory}/disk.img`,
    '16M',
  ]);
}

function virtiofsdArguments(directory: string): string[] {
  const options = [`source=${directory}/share`, 'cache=auto', 'xattr', 'announce_submounts'];
  return [`--socket-path=${directory}/fs.sock`, ...options.flatMap((option) => ['-o', option])];
}

/** The rate of the processor's counter, without which one boot in thirty hangs under emulation. */
function tscKhz(): number {
  const mhz = /^cpu MHz\s*:\s*([\d.]+)/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1];
  return Math.round(Number(mhz) * 1000);
}

function qemuArguments(directory: string): string[] {
  const machine = 'microvm,x-option-roms=off,isa-serial=off,rtc=on,pit=off,pic=off,memory-backend=mem0';
  const port = `virtserialport,chardev=agent,name=${agentPortName}`;
  return [
    ['-accel', 'tcg,thread=multi', '-cpu', 'qemu64,+arat', '-M', machine, '-m', '256', '-smp', '1'],
    ['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none'],
    ['-global', 'virtio-mmio.force-legacy=false'],
    ['-object', 'memory-backend-memfd,id=mem0,size=256M,share=on'],
    ['-chardev', `socket,id=agent,path=${directory}/agent.sock,server=on,wait=off`],
    ['-device', 'virtio-serial-device', '-device', port],
    ['-chardev', `file,id=console,path=${directory}/console`, '-device', 'virtconsole,chardev=console'],
    ['-chardev', `socket,id=fs,path=${directory}/fs.sock`],
    ['-device', 'vhost-user-fs-device,chardev=fs,tag=share0,queue-size=1024'],
    ['-device', 'virtio-scsi-device', '-device', 'scsi-hd,drive=disk,serial=disk0'],
    ['-drive', `if=none,id=disk,format=raw,file=${directory}/disk.img`],
    ['-netdev', 'user,id=net,restrict=on', '-device', `virtio-net-device,netdev=net,mac=${nicMac}`],
    ['-device', 'virtio-rng-device'],
  ].flat();
}

/** Starts a process in a running container. */
export function execIn(agent: AgentClient, containerId: string, args: string[]): Promise<GuestProcess> {
  const process = JSON.stringify(testProcess(args));
  // 50 at once take a while on a busy machine under emulation.
  return agent.exec({ containerId, process, terminal: false }, { deadlineMs: 120_000 });
}

/** Runs `work` beside a container that does nothing; `run` starts processes in it. */
export async function inContainer(
  agent: AgentClient,
  id: string,
  work: (run: (args: string[]) => Promise<GuestProcess>) => Promise<void>,
  wish: TestContainer = {},
): Promise<void> {
  const config = testConfig(['sleep', '1000'], wish);
  await agent.createContainer({ id, config, terminal: false, noInput: true });
  await agent.startContainer(id);
  try {
    await work((args) => execIn(agent, id, args));
  } finally {
    await agent.deleteContainer(id);
  }
}

/** Waits for a process and its output, and releases it. */
export async function outputOf(process: GuestProcess): Promise<{ code: number; out: string; err: string }> {
  const streams = [textOf(process.stdout), textOf(process.stderr)];
  const [out = '', err = ''] = await Promise.all(streams);
  const { code } = await process.exited;
  await process.release();
  return { code, out, err };
}
