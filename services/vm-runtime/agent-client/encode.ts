/** What the host says, in the protocol's messages; what the guest says, in ours. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ProcessSpec, RuntimeSpec, SpecResources } from '#contracts/oci/runtime.ts';
import {
  type ConfigureSchema,
  type ContainerState,
  type HelloReply,
  type MountSchema,
  type ProcessInfo,
  ContainerState_Status as Status,
} from '#contracts/vm/agent_pb.ts';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { parseAddress } from '#foundation/base/ip.ts';
import type { Launcher } from './launch/index.ts';
import { splitOptions } from './launch/mounts.ts';
import { processState } from './process.ts';
import { cleanText } from './text.ts';
import type {
  AgentHello,
  AgentRoute,
  CreateGuestContainer,
  GuestConfiguration,
  GuestContainer,
  GuestContainerStatus,
  GuestExec,
  GuestMount,
  GuestProcessInfo,
  TerminalSize,
} from './types.ts';

/** How long a disk or a tag may take to appear unless told. */
export const defaultMountWaitMs = 5_000;

/** @throws SkiffError INVALID_ARGUMENT for an address that is none. */
export function encodeConfiguration(wanted: GuestConfiguration): MessageInitShape<typeof ConfigureSchema> {
  return {
    hostname: wanted.hostname,
    domainname: wanted.domainname,
    interfaces: wanted.interfaces?.map(({ mac, name, mtu, addresses }) => ({
      mac: macBytes(mac),
      name,
      mtu,
      addresses: addresses.map(encodeAddress),
    })),
    routes: wanted.routes?.map(encodeRoute),
    sysctls: { ...wanted.sysctls },
    machineId: wanted.machineId,
    entropy: wanted.entropy,
    time: wanted.time,
    sharedPidNamespace: wanted.sharedPidNamespace,
    modules: [...(wanted.modules ?? [])],
  };
}

function encodeRoute(route: AgentRoute) {
  const { gateway, source, interface: name, mtu, scope, metric, onlink } = route;
  return {
    destination: encodeAddress(route.destination),
    gateway: gateway === undefined ? undefined : parseAddress(gateway),
    source: source === undefined ? undefined : parseAddress(source),
    interface: name,
    mtu,
    scope,
    metric,
    onlink,
  };
}

function encodeAddress(text: string): { ip: Uint8Array; prefix: number } {
  try {
    const [address = '', length] = text.split('/');
    const ip = parseAddress(address);
    const prefix = length === undefined ? ip.length * 8 : Number(length);
    if (Number.isInteger(prefix) && prefix >= 0 && prefix <= ip.length * 8) return { ip, prefix };
  } catch (error) {
    throw wrapError(error, `Cannot tell the guest of address "${text}"`);
  }
  throw new SkiffError('INVALID_ARGUMENT', `Cannot tell the guest of address "${text}": its length is wrong`);
}

function macBytes(text: string): Uint8Array {
  if (/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text)) return Buffer.from(text.replaceAll(':', ''), 'hex');
  throw new SkiffError('INVALID_ARGUMENT', `"${text}" is no hardware address`);
}

/** A mount. */
export function encodeMount(mount: GuestMount): MessageInitShape<typeof MountSchema> {
  const { source, target, type, options = [], blockSerial, waitMs = defaultMountWaitMs } = mount;
  const { set, spread, data } = splitOptions(type, options);
  return { source, target, type, flags: BigInt(set | spread), data: data.join(','), blockSerial, waitMs };
}

/**
 * A container: the program that starts it or, where there is none for it, its JSON for the guest's crun, with a cgroup
 * below the pod's and its terminal's size. The personality says what is so anyway on Linux, and makes crun undo that
 * it runs at fixed addresses itself (guest/children.c).
 */
export function encodeContainer(
  launch: Launcher,
  { id, config: json, terminal, size }: CreateGuestContainer,
): { config?: Uint8Array; program?: Uint8Array } {
  const config = parseJson<RuntimeSpec>(json, `The configuration of container "${id}"`);
  const { cgroupsPath = groupOf(id), ...linux } = config.linux ?? {};
  const process = config.process && withSize(config.process, terminal, size);
  const own = cgroupsPath === groupOf(id);
  const program = own ? launch.container({ ...config, process }, cgroupsPath) : undefined;
  if (program !== undefined) return { program };
  const forCrun = { cgroupsPath, personality: { domain: 'LINUX' }, ...linux };
  return { config: Buffer.from(JSON.stringify({ ...config, process, linux: forCrun })) };
}

/** A process of a container, for both kinds. @throws SkiffError INVALID_ARGUMENT for what neither can be told. */
export function encodeExec(
  launch: Launcher,
  { containerId, process: json, terminal, size }: GuestExec,
): { process: Uint8Array; program: Uint8Array } {
  const what = `A process in container "${containerId}"`;
  const process = withSize(parseJson<ProcessSpec>(json, what), terminal, size);
  try {
    const program = launch.process(process, groupOf(containerId));
    return { process: Buffer.from(JSON.stringify(process)), program };
  } catch (error) {
    throw new SkiffError('INVALID_ARGUMENT', `${what} cannot have ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** Limits. @throws SkiffError INVALID_ARGUMENT for those that a guest has not. */
export function encodeLimits(launch: Launcher, id: string, json: string): { id: string; limits: string[] } {
  const what = `The limits of container "${id}"`;
  const resources = parseJson<SpecResources>(json, what);
  try {
    return { id, limits: launch.limits(resources) };
  } catch (error) {
    throw new SkiffError('INVALID_ARGUMENT', `${what} cannot be set: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** Where a container's cgroup is in the guest unless its configuration says something else. */
function groupOf(id: string): string {
  return `/pod/${id}`;
}

function parseJson<T>(json: string, what: string): T {
  try {
    return JSON.parse(json) as T;
  } catch (error) {
    const text = `${what} is no JSON: ${(error as Error).message}`;
    throw new SkiffError('INVALID_ARGUMENT', text, { cause: error });
  }
}

/** The call says whether there is a terminal; its size is that of the configuration if that says one. */
function withSize(process: ProcessSpec, terminal: boolean, size: TerminalSize | undefined): ProcessSpec {
  const consoleSize = size && { height: size.rows, width: size.columns };
  return { ...(consoleSize === undefined ? {} : { consoleSize }), ...process, terminal };
}

const statuses: Readonly<Record<number, GuestContainerStatus>> = {
  [Status.CREATING]: 'creating',
  [Status.CREATED]: 'created',
  [Status.RUNNING]: 'running',
  [Status.PAUSED]: 'paused',
  [Status.STOPPED]: 'stopped',
};

/** A container, as the guest says. */
export function decodeContainer(state: ContainerState): GuestContainer {
  const { id, pid, handle } = state;
  return { id, pid, handle, status: statuses[state.status] ?? 'unknown', oomKills: Number(state.oomKills) };
}

/** The answer to the greeting. */
export function decodeHello(hello: HelloReply): AgentHello {
  return {
    version: hello.version,
    bootId: /^[0-9a-f-]{36}$/.test(hello.bootId) ? hello.bootId : '',
    kernel: cleanText(hello.kernel, 100),
    containers: hello.containers.map(decodeContainer),
    processes: hello.processes.map(processState),
  };
}

/** Of every Linux on x86-64: milliseconds of a clock tick (USER_HZ), bytes of a page. */
const tickMs = 10;
const pageBytes = 4096;

/** A process of a container's list; fields of its stat are numbered as proc(5) does. */
export function decodeProcess({ pid, uid, ...info }: ProcessInfo): GuestProcessInfo {
  const stat = Buffer.from(info.stat).toString();
  const nameEnd = stat.lastIndexOf(')');
  const fields = stat.slice(nameEnd + 2).split(' ');
  const field = (number: number) => Math.max(0, Number(fields[number - 3]) || 0);
  const command = Buffer.from(info.command).toString().split('\0');
  if (command.at(-1) === '') command.pop();
  // What ps(1) shows of a process that says no arguments.
  if (command.length === 0) command.push(`[${stat.slice(stat.indexOf('(') + 1, Math.max(0, nameEnd))}]`);
  return {
    pid,
    ppid: field(4),
    uid,
    startedMs: field(22) * tickMs,
    cpuMs: (field(14) + field(15)) * tickMs,
    rssBytes: field(24) * pageBytes,
    command: command.map((part) => cleanText(part, 4096)),
  };
}
