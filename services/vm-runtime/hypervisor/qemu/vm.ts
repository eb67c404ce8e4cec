/** A running QEMU as a `Vm`: for the process that started it, and for one that found it again. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { SkiffError } from '#foundation/base/errors.ts';
import { isRunning, type ProcessIdentity, signalProcess } from '#foundation/linux/process.ts';
import type { ExitStatus } from '#foundation/linux/spawn.ts';
import type { Vm, VmEnd, VmUsage } from '../types.ts';
import { type BootGuard, guardBoot } from './boot-guard.ts';
import { type Console, keepConsole, readConsole } from './console.ts';
import { addDisk, removeDisk } from './disks.ts';
import { plugNic, takePlace } from './hotplug.ts';
import { type Qmp, recordOf } from './qmp.ts';
import { saveRecord, type VmRecord, vmFiles } from './record.ts';

/** A guest with less does not live. */
const leastMemory = 64 * 1024 * 1024;
/** Milliseconds between looks at a process that is not our child; the end of the control connection is noticed at once. */
const lookMs = 1000;

/** What a VM is made of. */
export interface VmParts {
  directory: string;
  record: VmRecord & { process: ProcessIdentity };
  qmp: Qmp;
  /** Whether it boots, which a clone does not, nor one that was found again. */
  boots?: boolean;
  /** For a child of ours. */
  exited?: Promise<ExitStatus>;
  said?: () => string;
}

/** Ours, with what templates need besides. */
export interface QemuVm extends Vm {
  readonly qmp: Qmp;
  readonly record: VmRecord & { process: ProcessIdentity };
  /** There while it boots. */
  readonly guard: BootGuard | undefined;
}

/** Makes the `Vm`, and begins to keep its console and to wait for its end. */
export function createVm(parts: VmParts): QemuVm {
  const { directory, record, qmp } = parts;
  const files = vmFiles(directory);
  const guard = parts.boots === true ? guardBoot(qmp) : undefined;
  const console = keepConsole(files.consoleSocket, files.console, guard?.read);
  const state = { killed: false, shutdown: false, released: false };
  qmp.onEvent(({ event }) => {
    if (event === 'SHUTDOWN') state.shutdown = true;
  });
  const ended = watchEnd(parts, state, console);
  const kill = async () => {
    state.killed = true;
    signalProcess(record.process, 9);
    await ended;
  };
  return {
    ...deviceMethods(parts),
    ...memoryMethods(parts),
    id: record.id,
    hypervisor: 'qemu',
    pid: record.process.pid,
    helperPids: () => (record.relays ?? []).filter(isRunning).map(({ pid }) => pid),
    directory,
    memoryBytes: record.memoryBytes,
    vcpus: record.vcpus,
    agentSocketPath: files.agent,
    consolePath: files.console,
    ended,
    qmp,
    record,
    guard,
    pause: async () => void (await qmp.execute('stop')),
    resume: async () => void (await qmp.execute('cont')),
    ping: async () => {
      const before = performance.now();
      await qmp.execute('query-status');
      return performance.now() - before;
    },
    powerOff: (graceMs = 2000) => powerOff(parts, ended, kill, graceMs),
    kill,
    release: () => {
      state.released = true;
      console.close();
      qmp.close();
    },
    [Symbol.asyncDispose]: kill,
  };
}

async function powerOff(
  { qmp }: VmParts,
  ended: Promise<VmEnd>,
  kill: () => Promise<void>,
  graceMs: number,
): Promise<void> {
  const within = async (ms: number) => {
    const timer = new AbortController();
    const late = sleep(ms, false, { signal: timer.signal }).catch(() => false);
    const result = await Promise.race([ended.then(() => true), late]);
    timer.abort();
    return result;
  };
  if (await within(graceMs)) return;
  await qmp.execute('quit', {}, { deadlineMs: 1000 }).catch(() => {}); // It may be stuck: then it is killed.
  if (await within(1000)) return;
  await kill();
}

/** Waits for the process's end and says why it ended. */
async function watchEnd(
  parts: VmParts,
  state: { killed: boolean; shutdown: boolean; released: boolean },
  console: Console,
): Promise<VmEnd> {
  const status = await (parts.exited ?? waitForStranger(parts, state));
  parts.qmp.close();
  // What the guest said last is on its way still.
  await sleep(5);
  console.close();
  const text = readConsole(vmFiles(parts.directory).console, 4096);
  if (state.killed) return { kind: 'killed' };
  if (/Kernel panic - not syncing/.test(text)) return { kind: 'panic', console: text };
  const code = status?.code;
  if (state.shutdown || code === 0) return { kind: 'shutdown' };
  return { kind: 'failed', code, said: parts.said?.() ?? '' };
}

/** Waits for a process that is no child of ours. */
async function waitForStranger({ qmp, record }: VmParts, state: { released: boolean }): Promise<undefined> {
  let open = true;
  void qmp.closed.then(() => {
    open = false;
  });
  while (isRunning(record.process)) {
    const timer = new AbortController();
    const pause = sleep(open || state.released ? lookMs : 10, undefined, {
      signal: timer.signal,
      ref: false,
    });
    await Promise.race([pause.catch(() => {}), ...(open ? [qmp.closed] : [])]);
    timer.abort();
  }
}

function deviceMethods({ directory, record, qmp }: VmParts): Pick<Vm, 'addDisk' | 'removeDisk' | 'addNic'> {
  return {
    addDisk: (disk) => addDisk(qmp, disk),
    removeDisk: (serial) => removeDisk(qmp, serial),
    addNic: async (nic) => {
      const place = takePlace(record);
      saveRecord(directory, record);
      await plugNic(qmp, place, nic);
    },
  };
}

function memoryMethods({ record, qmp }: VmParts): Pick<Vm, 'setMemory' | 'usage'> {
  return {
    setMemory: async (bytes) => {
      if (record.memory === 'cow')
        throw new SkiffError(
          'UNIMPLEMENTED',
          `The VM ${record.id} has its memory copy-on-write: it keeps its size`,
        );
      if (bytes < leastMemory || bytes > record.memoryBytes)
        throw new SkiffError(
          'OUT_OF_RANGE',
          `Cannot give the VM ${record.id} ${bytes} bytes of memory: it was started with ${record.memoryBytes}, and needs ${leastMemory} at least`,
        );
      await qmp.execute('balloon', { value: bytes });
    },
    usage: async (): Promise<VmUsage> => {
      const balloon = recordOf(await qmp.execute('query-balloon'));
      return { memoryBytes: Number(balloon.actual), ...processUsage(record.process.pid) };
    },
  };
}

/** Resident memory and processor time: proc(5). Zeros if the process is gone. */
function processUsage(pid: number): { residentBytes: number; cpuMs: number } {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // User and system time, in ticks of 10 ms.
    const cpuMs = (Number(fields[11]) + Number(fields[12])) * 10;
    return { residentBytes: Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024, cpuMs };
  } catch {
    return { residentBytes: 0, cpuMs: 0 };
  }
}
