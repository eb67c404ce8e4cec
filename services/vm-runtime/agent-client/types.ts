/**
 * What the host can ask of the agent in a pod's microVM. `connectAgent` (connect.ts) makes an `AgentClient` of the
 * unix socket behind the VM's virtio-serial port; contracts/vm/agent.proto has the protocol.
 *
 * ```ts
 * const agent = await connectAgent({ socketPath, deadlineMs: 10_000 });
 * await agent.configure({ hostname: 'web', interfaces: [...] });
 * await agent.mount({ source: 'share0', target: '/run/share', type: 'virtiofs', options: [] });
 * const main = await agent.createContainer({ id, config, terminal: false });
 * main.stdout.pipe(log);
 * await agent.startContainer(id);
 * const { code } = await main.exited;
 * await agent.deleteContainer(id);
 * ```
 * The guest is not trusted: whatever it sends is bounded and checked, and what breaks the protocol ends the
 * connection with a SkiffError DATA_LOSS. Every call has a deadline; one that is over leaves the connection as it was.
 *
 * A host that connects anew finds everything in `hello`, and takes up each process with `attach`.
 *
 * ## The guest's view of a container's config.json
 * Paths are the guest's: `root.path` a directory of a mounted share. No `network`, `ipc`, `uts` or `pid` namespace
 * in the list means the one that the pod shares (the guest's own; for pid use path /run/ns/pid, see
 * `sharedPidNamespace`). Hooks other than createContainer and startContainer are the host's and must be removed.
 * `cgroupsPath` is /pod/<id> unless told. Devices are the guest's.
 */
import type { Duplex, Readable, Writable } from 'node:stream';
import type { SkiffError } from '#foundation/base/errors.ts';

/** The protocol's version that this host speaks. */
export const agentProtocolVersion = 2;

/** How to reach an agent. */
export interface ConnectAgentOptions {
  /** The unix socket that the hypervisor serves; waited for if it is not there yet. */
  socketPath: string;
  /** Milliseconds until the agent must have answered; 20,000 unless told. */
  deadlineMs?: number;
  signal?: AbortSignal;
  /** No host died in the middle of a frame to this guest: it was just booted, or is the clone of a saved one. */
  fresh?: boolean;
  /** Sees what the agent says, a line at a time; at most 4 KiB each, without control characters. */
  onLog?: (line: string) => void;
}

/** How long a call may take. */
export interface AgentCallOptions {
  /** Milliseconds; each method names its default. */
  deadlineMs?: number;
  signal?: AbortSignal;
}

export interface AgentInterface {
  /** `02:00:00:00:00:01`; finds the interface in the guest. */
  mac: string;
  /** Its name in the guest, `eth0`. */
  name: string;
  mtu?: number;
  /** `10.0.0.2/24`, `fd00::2/64`. */
  addresses: readonly string[];
}

export interface AgentRoute {
  /** `0.0.0.0/0`, `10.1.0.0/16`, `::/0`. */
  destination: string;
  /** None for a route on the link. */
  gateway?: string;
  /** An interface's name in the guest. */
  interface: string;
  mtu?: number;
  /** Preferred source address. */
  source?: string;
  /** As linux/rtnetlink.h numbers them; 0 (universe) unless told, 253 (link) is usual without a gateway. */
  scope?: number;
  metric?: number;
  /** The gateway is on the link though no address covers it. */
  onlink?: boolean;
}

/** What a guest is told of its pod; what is left out stays as it is. May be called again. */
export interface GuestConfiguration {
  hostname?: string;
  domainname?: string;
  interfaces?: readonly AgentInterface[];
  routes?: readonly AgentRoute[];
  /** `net.ipv4.ip_unprivileged_port_start: '0'`. */
  sysctls?: Readonly<Record<string, string>>;
  /** 32 hexadecimal digits. */
  machineId?: string;
  /** Random bytes, at most 512; the guest's random source is reseeded with them. Needed by every clone. */
  entropy?: Uint8Array;
  /** Nanoseconds since the epoch. */
  time?: bigint;
  /** Makes a PID namespace, /run/ns/pid in the guest, that containers may name in their config. */
  sharedPidNamespace?: boolean;
  /** Groups of kernel modules to load now (`moduleGroups` of the guest image), for what a template is to have. */
  modules?: readonly string[];
}

export interface GuestMount {
  /** A virtiofs tag or a path; not used with `blockSerial`. */
  source?: string;
  /** Made, with parents, if missing. */
  target: string;
  /** virtiofs, tmpfs, ext4, erofs, overlay, proc, ...; `bind` binds. */
  type: string;
  /** As mount (8) takes them: flags such as ro, nosuid, rbind, rshared; the rest goes to the file system. */
  options?: readonly string[];
  /** The serial number of a disk. */
  blockSerial?: string;
  /** Milliseconds the disk or the tag may take to appear; 5,000 unless told. */
  waitMs?: number;
}

export interface GuestFile {
  path: string;
  /** At most 200 KiB. */
  data: Uint8Array;
  /** 0644 unless told. */
  mode?: number;
  uid?: number;
  gid?: number;
}

export interface TerminalSize {
  columns: number;
  rows: number;
}

export interface CreateGuestContainer {
  id: string;
  /** The OCI configuration as JSON text; at most 200 KiB. */
  config: string;
  /** Must be what `config` says. */
  terminal: boolean;
  size?: TerminalSize;
  /** Standard input is /dev/null: `stdin` ends at once. */
  noInput?: boolean;
}

export interface GuestExec {
  containerId: string;
  /** The OCI `process` as JSON text. */
  process: string;
  terminal: boolean;
  size?: TerminalSize;
  noInput?: boolean;
}

/** How a process ended. */
export interface GuestExit {
  /** 0 to 255; 128 + signal number if a signal ended it. */
  code: number;
  /** The signal that ended it, or 0. */
  signal: number;
  /** Nanoseconds since the epoch by the guest's clock. */
  at: bigint;
  /** Bytes of each output that were written by then. What the process left behind may write more. */
  written: { stdout: number; stderr: number };
}

/** A process in the guest and its streams. Streams must be read or destroyed; unread ones hold the writer back. */
export interface GuestProcess {
  /** Names the process in `attach`, also for a host that comes later. */
  readonly handle: number;
  readonly containerId: string;
  readonly pid: number;
  readonly terminal: boolean;
  /** End it for half-close. Writing after the process closed its end is dropped, as EPIPE, without an error. */
  readonly stdin: Writable;
  /** With a terminal, everything. */
  readonly stdout: Readable;
  /** With a terminal, ends at once. */
  readonly stderr: Readable;
  /**
   * Resolves when the process has ended (its output may still come); rejects with the connection's SkiffError if that
   * breaks first. Never an unhandled rejection.
   */
  readonly exited: Promise<GuestExit>;
  /** Bytes of each stream, counted over the process's whole life: what a later `attach` needs. */
  positions(): StreamPositions;
  /**
   * From its first call on (before anything is read), the guest forgets only output that was confirmed, and holds the
   * process back 256 KiB behind that: a host that comes later can `attach` there. Without it, what was read is forgotten.
   *
   * @param count bytes counted over the process's whole life.
   */
  confirm(stream: 'stdout' | 'stderr', count: number): void;
  /** @param options.all with everything that it started, unless that made a session of its own. */
  signal(signal: number, options?: AgentCallOptions & { all?: boolean }): Promise<void>;
  resize(size: TerminalSize, options?: AgentCallOptions): Promise<void>;
  /** Forgets an ended process in the guest, with output that was not read. Idempotent. */
  release(options?: AgentCallOptions): Promise<void>;
}

/** Where streams stand. */
export interface StreamPositions {
  /** Bytes of standard input that the guest has. */
  stdin: number;
  /** Bytes read from `stdout` and `stderr` by their consumer. */
  stdout: number;
  stderr: number;
}

export type GuestContainerStatus = 'unknown' | 'creating' | 'created' | 'running' | 'paused' | 'stopped';

export interface GuestContainer {
  id: string;
  status: GuestContainerStatus;
  pid: number;
  handle: number;
  oomKills: number;
}

/** A process that the guest has, before anybody attached to it. */
export interface GuestProcessState {
  handle: number;
  containerId: string;
  pid: number;
  terminal: boolean;
  exit: GuestExit | undefined;
  /** Bytes of standard input that arrived. */
  stdinReceived: number;
  stdinEnded: boolean;
  /** The oldest bytes that the guest still has of each output. */
  stdoutFrom: number;
  stderrFrom: number;
}

/** What the agent said when it was greeted. */
export interface AgentHello {
  version: number;
  bootId: string;
  kernel: string;
  containers: readonly GuestContainer[];
  processes: readonly GuestProcessState[];
}

export interface GuestProcessInfo {
  pid: number;
  ppid: number;
  uid: number;
  /** Milliseconds after the guest's boot. */
  startedMs: number;
  cpuMs: number;
  rssBytes: number;
  command: readonly string[];
}

/** A container's figures, from cgroup v2 in the guest. Undefined where the guest has none. */
export interface GuestContainerStats {
  cpuUsageUsec: number;
  cpuUserUsec: number;
  cpuSystemUsec: number;
  throttledPeriods: number;
  throttledUsec: number;
  memoryUsageBytes: number;
  /** Usage without inactive file pages: Kubernetes' working set. */
  memoryWorkingSetBytes: number;
  memoryRssBytes: number;
  memoryLimitBytes: number | undefined;
  swapUsageBytes: number;
  pageFaults: number;
  majorPageFaults: number;
  oomKills: number;
  pids: number;
  pidsLimit: number | undefined;
  readBytes: number;
  writtenBytes: number;
}

export interface GuestInterfaceStats {
  name: string;
  rxBytes: number;
  rxPackets: number;
  rxErrors: number;
  rxDropped: number;
  txBytes: number;
  txPackets: number;
  txErrors: number;
  txDropped: number;
}

/** The whole guest's figures. */
export interface GuestStats {
  uptimeMs: number;
  cpuUsageUsec: number;
  memoryTotalBytes: number;
  memoryAvailableBytes: number;
  memoryUsageBytes: number;
  memoryWorkingSetBytes: number;
  processes: number;
  interfaces: readonly GuestInterfaceStats[];
}

/** What happens in the guest without being asked. */
export type AgentEvent =
  | { kind: 'exited'; handle: number; containerId: string; exit: GuestExit }
  | { kind: 'oom'; containerId: string; oomKills: number }
  | { kind: 'log'; line: string };

/** A connection to an agent. Calls may run side by side. */
export interface AgentClient extends AsyncDisposable {
  readonly hello: AgentHello;
  /** Resolves, never rejects, when the connection has ended: by `close`, by the VM's end, or by garbage. */
  readonly closed: Promise<SkiffError>;
  /** @returns a function that unsubscribes. */
  onEvent(listener: (event: AgentEvent) => void): () => void;
  /** 2 s. @returns milliseconds that it took. */
  ping(options?: AgentCallOptions): Promise<number>;
  /** 10 s. */
  configure(configuration: GuestConfiguration, options?: AgentCallOptions): Promise<void>;
  /** 5 s. For clones and after a pause. */
  setClock(time: bigint, entropy?: Uint8Array, options?: AgentCallOptions): Promise<void>;
  /** `waitMs` + 5 s. */
  mount(mount: GuestMount, options?: AgentCallOptions): Promise<void>;
  /** 10 s; what is not mounted is success. */
  unmount(
    target: string,
    how?: { lazy?: boolean; remove?: boolean },
    options?: AgentCallOptions,
  ): Promise<void>;
  /** 5 s. */
  writeFile(file: GuestFile, options?: AgentCallOptions): Promise<void>;
  /** 60 s. The process waits for `startContainer` before its program. */
  createContainer(container: CreateGuestContainer, options?: AgentCallOptions): Promise<GuestProcess>;
  /** 30 s. */
  startContainer(id: string, options?: AgentCallOptions): Promise<void>;
  /** 30 s. Kills what runs, forgets its processes; what is not there is success. */
  deleteContainer(id: string, options?: AgentCallOptions): Promise<void>;
  /** 10 s. */
  pauseContainer(id: string, options?: AgentCallOptions): Promise<void>;
  /** 10 s. */
  resumeContainer(id: string, options?: AgentCallOptions): Promise<void>;
  /** 30 s. `resources`: LinuxResources of the OCI runtime format, as JSON text. */
  updateContainer(id: string, resources: string, options?: AgentCallOptions): Promise<void>;
  /** 30 s. */
  exec(exec: GuestExec, options?: AgentCallOptions): Promise<GuestProcess>;
  /** 10 s. Sends a signal to the container's first process, or to all. NOT_FOUND if it has ended. */
  signalContainer(id: string, signal: number, all?: boolean, options?: AgentCallOptions): Promise<void>;
  /** 10 s. */
  containerStats(id: string, options?: AgentCallOptions): Promise<GuestContainerStats>;
  /** 10 s. */
  guestStats(options?: AgentCallOptions): Promise<GuestStats>;
  /** 10 s. */
  listProcesses(id: string, options?: AgentCallOptions): Promise<GuestProcessInfo[]>;
  /**
   * Takes up a process that the guest has (`hello.processes`), for a host that came later.
   *
   * @param from bytes of each output that the consumer has already; the guest's oldest ones unless told. The writer
   *   of `stdin` must continue behind `GuestProcessState.stdinReceived`.
   * @throws SkiffError NOT_FOUND for a handle that is not there, OUT_OF_RANGE for bytes the guest no longer has.
   */
  attach(handle: number, from?: { stdout?: number; stderr?: number }): GuestProcess;
  /** 10 s. A TCP connection as made inside the pod; `address` defaults to 127.0.0.1. UNAVAILABLE if refused. */
  connectTcp(port: number, address?: string, options?: AgentCallOptions): Promise<Duplex>;
  /** 10 s. Lets the guest give back its caches of shares and disks, so that the host can unmount them. */
  dropCaches(options?: AgentCallOptions): Promise<void>;
  /** 15 s. Ends all containers, writes everything to disk, and powers the guest off; resolves when it went. */
  shutdown(options?: AgentCallOptions): Promise<void>;
  /** Closes the connection; the guest and its containers go on. */
  close(): void;
}
