/**
 * The pods of a runtime whose containers live in virtual machines: `skiff-vm` makes and ends them (`pod create`, `pod
 * delete`), and each has a supervisor whose gRPC API tells what happens in it. contracts/vm/supervisor.proto.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MachineUsage, PodMachine, PodMachineLimits, PodRuntime } from '#contracts/oci/pod-runtime.ts';
import { type ContainerStats, EventKind, PodState, Supervisor } from '#contracts/vm/supervisor_pb.ts';
import { isSkiffError, messageOf, SkiffError } from '#foundation/base/errors.ts';
import type { Client } from '#foundation/grpc/client.ts';
import { openLeanChannel } from '#foundation/grpc/lean-client.ts';
import type { Spawner } from '#foundation/linux/spawn.ts';
import { runSpawned } from '#foundation/linux/spawn-command.ts';
import { runtimeMessage } from './conmon.ts';
import { type VmAhead, type VmSize, type VmsAhead, vmsAhead } from './vm-ahead.ts';
import { supervisorSocket, vmRecordOf } from './vm-direct.ts';

/** What is needed. */
export interface VmPodsDeps {
  spawner: Spawner;
  /** `skiff-vm`. */
  path: string;
  stateDirectory: string;
  /** Milliseconds for one command; a VM boots slowly under emulation. */
  timeoutMs: number;
  /** What is made ready before pods want it; nothing unless told. */
  ahead?: VmAhead;
}

/** Bytes for the guest's kernel and agent where the RuntimeClass names none. */
const guestOverhead = 96 * 1024 * 1024;
/** Bytes of a RuntimeClass's overhead that are the hypervisor's own: emulation keeps what it translated. */
const hostOverhead = 160 * 1024 * 1024;
const defaultMemory = 512 * 1024 * 1024;
const MiB = 1024 * 1024;

/** Where the guest keeps the PID namespace that a pod's containers share. */
const sharedPidPath = '/run/ns/pid';

/** What `pod show` tells. */
interface PodPlace {
  directory: string;
  socket: string;
  state: string;
}

interface Deps extends VmPodsDeps {
  run(args: readonly string[], signal?: AbortSignal): Promise<string>;
  vms: VmsAhead;
  places: Map<string, PodPlace>;
  /** Pods that are being ended on purpose. */
  stopped: Set<string>;
  closing: AbortController;
}

/** Makes the calls for pods. */
export function vmPods(options: VmPodsDeps): PodRuntime {
  const run: Deps['run'] = (args, signal) => runVm(options, args, signal);
  const deps: Deps = {
    ...options,
    vms: vmsAhead({ ...options, run }),
    places: new Map(),
    stopped: new Set(),
    closing: new AbortController(),
    run,
  };
  return {
    sharedPidPath,
    start: (machine, signal) => start(deps, machine, signal),
    resize: (id, limits) => resize(deps, id, limits),
    async stop(id) {
      deps.stopped.add(id);
      await deps.run(['pod', 'delete', id]);
      deps.places.delete(id);
      deps.stopped.delete(id);
    },
    alive: async (id) => (await find(deps, id))?.state === 'READY',
    watch: (id, ended) => void watch(deps, id, ended),
    dial: (id, port) => dial(deps, id, port),
    usage: (containerId) => usage(deps, containerId),
    oomKilled: (containerId) => vmRecordOf(deps.stateDirectory, containerId)?.exit?.oomKilled === true,
    close: async () => {
      deps.closing.abort();
      await deps.vms.close();
    },
  };
}

async function runVm(
  { spawner, path, stateDirectory, timeoutMs }: VmPodsDeps,
  args: readonly string[],
  signal?: AbortSignal,
): Promise<string> {
  const result = await runSpawned(spawner, {
    file: path,
    args: [`--root=${stateDirectory}`, ...args],
    env: { PATH: process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin' },
    timeoutMs,
    ...(signal === undefined ? {} : { signal }),
  });
  if (result.exitCode === 0) return result.stdout;
  throw new SkiffError('INTERNAL', runtimeMessage(result.stderr).replace(/^skiff-vm: /, ''));
}

async function start(deps: Deps, machine: PodMachine, signal: AbortSignal): Promise<void> {
  const file = join(deps.stateDirectory, `.wish-${machine.id}`);
  const wish = wishOf(machine);
  writeFileSync(file, JSON.stringify(wish), { mode: 0o600 });
  try {
    deps.places.set(machine.id, JSON.parse(await deps.run(['pod', 'create', file], signal)) as PodPlace);
    deps.vms.used(wish);
  } finally {
    rmSync(file, { force: true });
  }
}

/** The size of a pod's machine. */
function sizeOf({ limits, overheadMemory }: PodMachineLimits): VmSize {
  const overhead = Math.max(guestOverhead, overheadMemory - hostOverhead);
  const wanted = limits.memory > 0 ? limits.memory + overhead : Math.max(defaultMemory, overhead);
  const cpus = limits.cpuQuota > 0 ? Math.ceil(limits.cpuQuota / (limits.cpuPeriod || 100_000)) : 1;
  return {
    vcpus: Math.min(Math.max(cpus, 1), 64),
    memoryBytes: Math.max(192 * MiB, Math.ceil(wanted / MiB) * MiB),
  };
}

/** What is not limited stays as it is. */
async function resize(deps: Deps, id: string, limits: PodMachineLimits): Promise<void> {
  const place = deps.places.get(id) ?? (await find(deps, id));
  if (place === undefined) throw new SkiffError('UNAVAILABLE', 'its VM has ended');
  const { vcpus, memoryBytes } = sizeOf(limits);
  using channel = openLeanChannel(place.socket);
  await channel.client(Supervisor).resizePod({
    vcpus: limits.limits.cpuQuota > 0 ? vcpus : 0,
    memoryBytes: BigInt(limits.limits.memory > 0 ? memoryBytes : 0),
  });
}

/** What `pod create` takes. */
function wishOf(machine: PodMachine): VmSize & Record<string, unknown> {
  const { cgroupParent, netns } = machine;
  return {
    ...sizeOf(machine),
    id: machine.id,
    hostname: machine.hostname,
    ...(netns === undefined ? {} : { netns }),
    cgroup: `${cgroupParent.startsWith('/') ? cgroupParent : ''}/skiff-vm-${machine.id.slice(0, 12)}`,
    sysctls: machine.sysctls,
    sharedPid: machine.sharedPid,
    endsWithLast: false,
    deferred: false,
  };
}

/** A pod's machine; undefined if there is none. A supervisor that died is started anew by the asking. */
async function find(deps: Deps, id: string): Promise<PodPlace | undefined> {
  const place = JSON.parse(await deps.run(['pod', 'show', id])) as PodPlace;
  if (place.state === 'UNKNOWN') return undefined;
  deps.places.set(id, place);
  return place;
}

async function watch(deps: Deps, id: string, ended: (reason: string) => void): Promise<void> {
  while (!deps.closing.signal.aborted && !deps.stopped.has(id)) {
    const reason = await watchOnce(deps, id).catch(async (error) => {
      await sleep(200, undefined, { ref: false });
      // The supervisor died; what asks for it starts another one.
      const place = await find(deps, id).catch(() => undefined);
      return place === undefined ? `its supervisor is gone: ${messageOf(error)}` : undefined;
    });
    if (reason === undefined) continue;
    if (!deps.stopped.has(id) && !deps.closing.signal.aborted) ended(reason);
    return;
  }
}

/** @returns why the machine ended; undefined if that is not known yet. */
async function watchOnce(deps: Deps, id: string): Promise<string | undefined> {
  const place = deps.places.get(id) ?? (await find(deps, id));
  if (place === undefined) return 'there is no VM';
  using channel = openLeanChannel(place.socket);
  const client = channel.client(Supervisor);
  const pod = await client.getPod({});
  if (pod.state === PodState.ENDED) return pod.reason;
  for await (const event of client.watchEvents({}, { signal: deps.closing.signal }))
    if (event.kind === EventKind.POD_ENDED) return event.reason;
  return undefined;
}

/** The supervisor answers with a line, empty or saying why not; then it is the connection. */
async function dial(deps: Deps, id: string, port: number): Promise<Duplex> {
  const place = deps.places.get(id) ?? (await find(deps, id));
  if (place === undefined) throw new SkiffError('UNAVAILABLE', 'its VM has ended');
  const socket = connect(join(place.directory, 'io.sock'));
  socket.write(`SKIFFIO1 dial - ${port} 0\n`);
  const said = await new Promise<string>((resolve, reject) => {
    let text = '';
    socket.once('error', (error) => reject(new SkiffError('UNAVAILABLE', error.message)));
    socket.once('close', () => resolve(text || 'the VM is gone'));
    socket.on('readable', function read() {
      for (let byte: Buffer | null = socket.read(1); byte !== null; byte = socket.read(1)) {
        if (byte[0] === 10) {
          socket.off('readable', read);
          return resolve(text);
        }
        text += byte.toString('latin1');
      }
    });
  });
  if (said === '') return socket;
  socket.destroy();
  throw new SkiffError('UNAVAILABLE', said);
}

async function usage(deps: Deps, containerId: string): Promise<MachineUsage | undefined> {
  const record = vmRecordOf(deps.stateDirectory, containerId);
  if (record === undefined) return undefined;
  using channel = openLeanChannel(supervisorSocket(record.pod));
  const client: Client<typeof Supervisor> = channel.client(Supervisor);
  try {
    const { containers } = await client.getStats({ id: containerId }, { timeoutMs: 10_000 });
    return containers[0] === undefined ? undefined : usageOf(containers[0]);
  } catch (error) {
    if (isSkiffError(error)) return undefined; // It ended meanwhile.
    throw error;
  }
}

function usageOf(stats: ContainerStats): MachineUsage {
  const stat = (name: string) => stats.memoryStat[name] ?? 0n;
  const workingSet = stats.memoryUsage - stat('inactive_file');
  return {
    cpu: stats.cpuUsage,
    cpuUser: stats.cpuUser,
    cpuSystem: stats.cpuSystem,
    throttledPeriods: stats.cpuThrottledPeriods,
    throttled: stats.cpuThrottled,
    memory: stats.memoryUsage,
    workingSet: workingSet > 0n ? workingSet : 0n,
    rss: stat('anon'),
    memoryLimit: stats.memoryLimit,
    swap: stats.swapUsage,
    pageFaults: stat('pgfault'),
    majorPageFaults: stat('pgmajfault'),
    oomKills: stats.oomKills,
    processes: stats.processes,
    processLimit: stats.processLimit,
  };
}
