/**
 * A pod VM without a VM, for the tests of supervisor and command line: its containers are processes of this machine,
 * started without a root of their own. It outlives the supervisor, as a VM does, and can be told to fail.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { PassThrough } from 'node:stream';
import type { ProcessSpec, RuntimeSpec } from '#contracts/oci/runtime.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type {
  AgentClient,
  AgentEvent,
  CreateGuestContainer,
  GuestExit,
  GuestProcess,
  GuestProcessState,
} from '#services/vm-runtime/agent-client/types.ts';
import type { PodVm, PodVmRequest, VmFactory } from '#services/vm-runtime/factory/types.ts';
import type { Vm, VmEnd } from '#services/vm-runtime/hypervisor/types.ts';
import type { Share, ShareEntry } from '#services/vm-runtime/storage/types.ts';

/** A fake guest and what a test may do to it. */
export interface FakeGuest {
  factory: Pick<VmFactory, 'acquire' | 'reattach' | 'release'>;
  /** Every call in order: `mount /run/pod/shm`. */
  calls: string[];
  /** Makes the next call whose name begins so fail. */
  failNext(name: string, error: Error): void;
  /** config.json as the guest got it. */
  config(id: string): RuntimeSpec;
  /** The VM dies. */
  die(end: VmEnd): void;
  /** The guest tells of a kill for want of memory. */
  oom(id: string): void;
  /** Stops answering pings. */
  silent: boolean;
  shares: Map<string, ShareEntry>;
  request?: PodVmRequest;
  released: boolean;
}

interface FakeProcess {
  handle: number;
  containerId: string;
  spec: ProcessSpec;
  child?: ChildProcess;
  stdin: PassThrough;
  stdout: PassThrough;
  stderr: PassThrough;
  exit?: GuestExit;
  exited: PromiseWithResolvers<GuestExit>;
  counts: { stdin: number; stdout: number; stderr: number };
  /** Output that has not been confirmed. */
  kept: { stdout: Buffer[]; stderr: Buffer[] };
}

const numbers: Record<string, number> = constants.signals;

/** Makes a guest with nothing in it. */
export function fakeGuest(): FakeGuest {
  const processes = new Map<number, FakeProcess>();
  const containers = new Map<
    string,
    { config: RuntimeSpec; main: FakeProcess; paused: boolean; oomKills: number }
  >();
  const listeners = new Set<(event: AgentEvent) => void>();
  const failures: { name: string; error: Error }[] = [];
  let ended = Promise.withResolvers<VmEnd>();
  let closed = Promise.withResolvers<SkiffError>();
  let lastHandle = 0;
  const fake: FakeGuest = {
    calls: [],
    silent: false,
    shares: new Map(),
    released: false,
    failNext: (name, error) => void failures.push({ name, error }),
    config: (id) => containerOf(id).config,
    oom(id) {
      const container = containerOf(id);
      container.oomKills += 1;
      for (const tell of listeners) tell({ kind: 'oom', containerId: id, oomKills: container.oomKills });
    },
    die(end) {
      for (const process of processes.values()) process.child?.kill('SIGKILL');
      ended.resolve(end);
      closed.resolve(new SkiffError('UNAVAILABLE', 'the connection has ended'));
    },
    factory: {
      async acquire(request) {
        call(`acquire ${request.memoryBytes}`);
        fake.request = request;
        ended = Promise.withResolvers<VmEnd>();
        return podVm();
      },
      async reattach() {
        call('reattach');
        if (fake.released) throw new SkiffError('NOT_FOUND', 'the VM is gone');
        return podVm();
      },
      async release() {
        fake.calls.push('release');
        fake.released = true;
        fake.die({ kind: 'killed' });
      },
    },
  };
  const call = (what: string) => {
    fake.calls.push(what);
    const at = failures.findIndex(({ name }) => what.startsWith(name));
    if (at >= 0) throw failures.splice(at, 1)[0]?.error;
  };
  const containerOf = (id: string) => {
    const container = containers.get(id);
    if (container === undefined) throw new SkiffError('NOT_FOUND', `the guest has no container "${id}"`);
    return container;
  };
  const newProcess = (containerId: string, spec: ProcessSpec): FakeProcess => {
    lastHandle += 1;
    const process: FakeProcess = {
      handle: lastHandle,
      containerId,
      spec,
      stdin: new PassThrough(),
      stdout: new PassThrough(),
      stderr: new PassThrough(),
      exited: Promise.withResolvers(),
      counts: { stdin: 0, stdout: 0, stderr: 0 },
      kept: { stdout: [], stderr: [] },
    };
    processes.set(process.handle, process);
    return process;
  };
  const launch = (process: FakeProcess) => {
    const [file = '', ...args] = process.spec.args;
    const child = spawn(file, args, { stdio: 'pipe', detached: true });
    process.child = child;
    process.stdin.on('data', (chunk: Buffer) => {
      process.counts.stdin += chunk.length;
    });
    process.stdin.pipe(child.stdin);
    child.stdin.on('error', () => {});
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].on('data', (chunk: Buffer) => {
        process.kept[name].push(chunk);
        process[name].write(chunk);
      });
      child[name].on('end', () => process[name].end());
    }
    child.on('error', () => finish(process, 127, 0));
    child.on('exit', (code, signal) => {
      const number = signal === null ? 0 : (numbers[signal] ?? 0);
      finish(process, code ?? 128 + number, number);
    });
  };
  const finish = (process: FakeProcess, code: number, signal: number) => {
    const { stdout, stderr } = process.kept;
    const written = { stdout: Buffer.concat(stdout).length, stderr: Buffer.concat(stderr).length };
    const exit: GuestExit = { code, signal, at: BigInt(Date.now()) * 1_000_000n, written };
    process.exit = exit;
    process.exited.resolve(exit);
  };
  const kill = (process: FakeProcess, signal: number) => {
    if (process.exit !== undefined) throw new SkiffError('NOT_FOUND', 'it has ended');
    if (process.child?.pid !== undefined) global.process.kill(-process.child.pid, signal);
    else {
      process.stdout.end();
      process.stderr.end();
      finish(process, 128 + signal, signal);
    }
  };
  const view = (
    process: FakeProcess,
  ): GuestProcess & { confirm(stream: 'stdout' | 'stderr', n: number): void } => ({
    handle: process.handle,
    containerId: process.containerId,
    pid: 1000 + process.handle,
    terminal: process.spec.terminal === true,
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    exited: process.exited.promise,
    positions: () => ({ ...process.counts }),
    signal: async (signal) => {
      call(`signal ${signal}`);
      kill(process, signal);
    },
    resize: async ({ columns, rows }) => call(`resize ${columns}x${rows}`),
    release: async () => void processes.delete(process.handle),
    confirm(stream, count) {
      process.counts[stream] = count;
    },
  });
  const agent = (): AgentClient =>
    ({
      hello: {
        version: 1,
        bootId: 'fake-boot',
        kernel: 'fake',
        containers: [...containers].map(([id, { main, oomKills }]) => ({
          id,
          status: 'running',
          pid: 1000 + main.handle,
          handle: main.handle,
          oomKills,
        })),
        processes: [...processes.values()].map(stateOf),
      },
      closed: closed.promise,
      onEvent(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      async ping() {
        if (fake.silent) throw new SkiffError('DEADLINE_EXCEEDED', 'no answer');
        return 0;
      },
      configure: async (configuration) =>
        call(`configure ${JSON.stringify({ ...configuration, machineId: undefined })}`),
      setClock: async () => {},
      mount: async ({ target }) => call(`mount ${target}`),
      unmount: async (target: string) => call(`unmount ${target}`),
      writeFile: async ({ path }) => call(`write ${path}`),
      async createContainer({ id, config }: CreateGuestContainer) {
        call(`create ${id}`);
        const spec = JSON.parse(config) as RuntimeSpec;
        const main = newProcess(id, spec.process);
        containers.set(id, { config: spec, main, paused: false, oomKills: 0 });
        return view(main);
      },
      async startContainer(id: string) {
        call(`start ${id}`);
        launch(containerOf(id).main);
      },
      async deleteContainer(id: string) {
        call(`delete ${id}`);
        const container = containers.get(id);
        containers.delete(id);
        for (const process of processes.values())
          if (process.containerId === id && process.exit === undefined) kill(process, 9);
        await container?.main.exited.promise;
      },
      pauseContainer: async (id: string) => call(`pause ${id}`),
      resumeContainer: async (id: string) => call(`resume ${id}`),
      updateContainer: async (id: string, resources: string) => call(`update ${id} ${resources}`),
      async exec({ containerId, process }) {
        call(`exec ${containerId}`);
        containerOf(containerId);
        const running = newProcess(containerId, JSON.parse(process) as ProcessSpec);
        launch(running);
        return view(running);
      },
      async signalContainer(id: string, signal: number, all = false) {
        call(`signal ${id} ${signal}${all ? ' all' : ''}`);
        for (const process of processes.values())
          if (
            process.containerId === id &&
            process.exit === undefined &&
            (all || process === containerOf(id).main)
          )
            kill(process, signal);
      },
      containerStats: async (id: string) => {
        const { oomKills } = containerOf(id);
        return { ...figures, oomKills };
      },
      guestStats: async () => guestFigures,
      listProcesses: async (id: string) => [
        {
          pid: 1,
          ppid: 0,
          uid: 0,
          startedMs: 0,
          cpuMs: 0,
          rssBytes: 0,
          command: containerOf(id).main.spec.args,
        },
      ],
      attach(handle, from) {
        call(`attach ${handle} ${JSON.stringify(from)}`);
        const process = processes.get(handle);
        if (process === undefined) throw new SkiffError('NOT_FOUND', `no process ${handle}`);
        resume(process, from);
        return view(process);
      },
      connectTcp: async () => {
        throw new SkiffError('UNAVAILABLE', 'refused');
      },
      dropCaches: async () => {},
      shutdown: async () => fake.die({ kind: 'shutdown' }),
      close: () => closed.resolve(new SkiffError('CANCELLED', 'closed')),
      async [Symbol.asyncDispose]() {},
    }) satisfies AgentClient;
  const podVm = (): PodVm => {
    closed = Promise.withResolvers<SkiffError>();
    return {
      vm: fakeVm(ended.promise),
      agent: agent(),
      share: fakeShare(fake),
      network: undefined,
      origin: 'direct',
    };
  };
  return fake;
}

/** Streams anew, as a new connection has them: what was not confirmed comes again. */
function resume(process: FakeProcess, from: { stdout?: number; stderr?: number } = {}): void {
  for (const name of ['stdout', 'stderr'] as const) {
    const all = Buffer.concat(process.kept[name]);
    const start = from[name] ?? process.counts[name];
    if (start < process.counts[name]) throw new SkiffError('OUT_OF_RANGE', 'forgotten');
    const fresh = new PassThrough();
    fresh.write(all.subarray(start));
    if (process[name].writableEnded) fresh.end();
    process[name].resume();
    process[name] = fresh;
    process.counts[name] = start;
  }
}

function stateOf(process: FakeProcess): GuestProcessState {
  return {
    handle: process.handle,
    containerId: process.containerId,
    pid: 1000 + process.handle,
    terminal: process.spec.terminal === true,
    exit: process.exit,
    stdinReceived: process.counts.stdin,
    stdinEnded: false,
    stdoutFrom: process.counts.stdout,
    stderrFrom: process.counts.stderr,
  };
}

function fakeVm(ended: Promise<VmEnd>): Vm {
  return {
    id: 'fake',
    hypervisor: 'fake',
    pid: process.pid,
    directory: '',
    memoryBytes: 512 * 1024 * 1024,
    vcpus: 1,
    consolePath: '',
    ended,
    setMemory: async () => {},
    powerOff: async () => {},
    release: () => {},
  } as unknown as Vm;
}

function fakeShare(fake: FakeGuest): Share {
  return {
    tag: 'skiff',
    directory: '',
    pid: 0,
    ended: new Promise(() => {}),
    add(entry) {
      fake.calls.push(`share ${entry.source}`);
      fake.shares.set(entry.name, entry);
      return `/run/share/${entry.name}`;
    },
    remove: (name) => void fake.shares.delete(name),
    list: () => [...fake.shares.keys()],
    stop: async () => {},
    release: () => {},
  };
}

const figures = {
  cpuUsageUsec: 1500,
  cpuUserUsec: 1000,
  cpuSystemUsec: 500,
  throttledPeriods: 0,
  throttledUsec: 0,
  memoryUsageBytes: 4096,
  memoryWorkingSetBytes: 4000,
  memoryRssBytes: 2048,
  memoryLimitBytes: undefined,
  swapUsageBytes: 0,
  pageFaults: 1,
  majorPageFaults: 0,
  oomKills: 0,
  pids: 2,
  pidsLimit: undefined,
  readBytes: 0,
  writtenBytes: 0,
};

const guestFigures = {
  uptimeMs: 1,
  cpuUsageUsec: 1,
  memoryTotalBytes: 1,
  memoryAvailableBytes: 1,
  memoryUsageBytes: 1,
  memoryWorkingSetBytes: 1,
  processes: 1,
  interfaces: [],
};
