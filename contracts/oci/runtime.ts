/**
 * The OCI runtime format: config.json and the state document.
 * https://github.com/opencontainers/runtime-spec (config.md, config-linux.md, runtime.md), version 1.0.2.
 */

/** The version that Skiff writes: crun 1.8 refuses 1.1.0. */
export const ociVersion = '1.0.2';

/** config.json. */
export interface RuntimeSpec {
  ociVersion: string;
  process: ProcessSpec;
  root: { path: string; readonly?: boolean };
  hostname?: string;
  mounts: SpecMount[];
  hooks?: Hooks;
  annotations?: Record<string, string>;
  linux: LinuxSpec;
}

/** What runs; also the document that `exec --process` takes. */
export interface ProcessSpec {
  terminal?: boolean;
  consoleSize?: { height: number; width: number };
  user: { uid: number; gid: number; umask?: number; additionalGids?: number[] };
  args: string[];
  env?: string[];
  cwd: string;
  capabilities?: CapabilitySets;
  rlimits?: { type: string; soft: number; hard: number }[];
  noNewPrivileges?: boolean;
  apparmorProfile?: string;
  oomScoreAdj?: number;
  selinuxLabel?: string;
  /** Of version 1.1. */
  ioPriority?: { class: string; priority: number };
  /** Of version 1.1; times in nanoseconds. */
  scheduler?: {
    policy: string;
    nice?: number;
    priority?: number;
    flags?: string[];
    runtime?: number;
    deadline?: number;
    period?: number;
  };
}

/** Names as `CAP_CHOWN`. */
export interface CapabilitySets {
  bounding?: string[];
  effective?: string[];
  inheritable?: string[];
  permitted?: string[];
  ambient?: string[];
}

/** An id range; sizes in ids. */
export interface SpecIdMapping {
  containerID: number;
  hostID: number;
  size: number;
}

/** A mount, as in mount(8). */
export interface SpecMount {
  destination: string;
  type?: string;
  source?: string;
  options?: string[];
  uidMappings?: SpecIdMapping[];
  gidMappings?: SpecIdMapping[];
}

/** A program the runtime calls. */
export interface Hook {
  path: string;
  args?: string[];
  env?: string[];
  /** Seconds. */
  timeout?: number;
}

/** Hooks by the moment of their call. */
export interface Hooks {
  prestart?: Hook[];
  createRuntime?: Hook[];
  createContainer?: Hook[];
  startContainer?: Hook[];
  poststart?: Hook[];
  poststop?: Hook[];
}

/** Kinds of namespaces. */
export type SpecNamespace = 'pid' | 'network' | 'mount' | 'ipc' | 'uts' | 'user' | 'cgroup';

/** The Linux part. */
export interface LinuxSpec {
  namespaces: { type: SpecNamespace; path?: string }[];
  uidMappings?: SpecIdMapping[];
  gidMappings?: SpecIdMapping[];
  devices?: SpecDevice[];
  /** `/parent/id`, or `slice:prefix:name` for systemd. */
  cgroupsPath?: string;
  resources?: SpecResources;
  rootfsPropagation?: 'shared' | 'slave' | 'private' | 'unbindable' | 'rshared' | 'rslave' | 'rprivate';
  seccomp?: SeccompSpec;
  sysctl?: Record<string, string>;
  maskedPaths?: string[];
  readonlyPaths?: string[];
  mountLabel?: string;
  /** Interfaces of the host that move into the container, by name; of version 1.3. */
  netDevices?: Record<string, { name?: string }>;
}

/** A device node to make. */
export interface SpecDevice {
  type: 'c' | 'b' | 'p' | 'u';
  path: string;
  major?: number;
  minor?: number;
  fileMode?: number;
  uid?: number;
  gid?: number;
}

/** A rule of the device cgroup; a missing number means all. */
export interface DeviceRule {
  allow: boolean;
  type?: 'a' | 'c' | 'b';
  major?: number;
  minor?: number;
  /** Some of `rwm`. */
  access?: string;
}

/** Limits; bytes, microseconds. */
export interface SpecResources {
  devices?: DeviceRule[];
  memory?: {
    limit?: number;
    swap?: number;
    reservation?: number;
    kernel?: number;
    kernelTCP?: number;
    swappiness?: number;
    disableOOMKiller?: boolean;
    useHierarchy?: boolean;
  };
  cpu?: {
    shares?: number;
    quota?: number;
    period?: number;
    realtimeRuntime?: number;
    realtimePeriod?: number;
    cpus?: string;
    mems?: string;
  };
  pids?: { limit: number };
  hugepageLimits?: { pageSize: string; limit: number }[];
  /** Files of version 2 and what to write to them. */
  unified?: Record<string, string>;
}

/** What to do with a system call. */
export type SeccompAction =
  | 'SCMP_ACT_KILL'
  | 'SCMP_ACT_KILL_PROCESS'
  | 'SCMP_ACT_KILL_THREAD'
  | 'SCMP_ACT_TRAP'
  | 'SCMP_ACT_ERRNO'
  | 'SCMP_ACT_TRACE'
  | 'SCMP_ACT_ALLOW'
  | 'SCMP_ACT_LOG'
  | 'SCMP_ACT_NOTIFY';

/** A system call filter. */
export interface SeccompSpec {
  defaultAction: SeccompAction;
  defaultErrnoRet?: number;
  architectures?: string[];
  flags?: string[];
  listenerPath?: string;
  listenerMetadata?: string;
  syscalls?: SeccompRule[];
}

/** System calls that share an action. */
export interface SeccompRule {
  names: string[];
  action: SeccompAction;
  errnoRet?: number;
  args?: { index: number; value: number; valueTwo?: number; op: string }[];
}

/** What `state` answers. */
export interface RuntimeState {
  ociVersion: string;
  id: string;
  status: 'creating' | 'created' | 'running' | 'stopped' | 'paused';
  pid?: number;
  bundle: string;
  annotations?: Record<string, string>;
}
