/**
 * The runtime-driver contract: what the CRI server asks of whatever runs containers. The drivers of crun, runc
 * and every other program with the OCI command line pass one suite: `runtime-driver-suite.ts`.
 */
import type { PodRuntime } from './pod-runtime.ts';
import type { RuntimeSpec, RuntimeState, SpecResources } from './runtime.ts';

/** A container to create. All paths are absolute and exist. */
export interface CreateRequest {
  id: string;
  /** Holds config.json. */
  bundle: string;
  /** The same as the bundle's config.json. */
  spec: RuntimeSpec;
  /** Whether the process has a standard input that attach can write to. */
  stdin: boolean;
  /** Leave it open when a client that wrote to it leaves. */
  stdinStaysOpen: boolean;
  /** The log in CRI format; left out for none. */
  logPath?: string;
  /** Restores from a checkpoint instead: the directory of CRIU's images. */
  restoreFrom?: string;
}

/** A command to run in a running container. */
export interface ExecRequest {
  id: string;
  /** Path of a process document (`ProcessSpec`). */
  processPath: string;
  /** A file to write the process id to once the command runs. */
  pidPath: string;
  /** Our descriptors for the command. Pipes, or nothing where the terminal takes their place. */
  fds: Readonly<Record<number, number>>;
  /** A terminal's path; the runtime process gets it as its controlling terminal. */
  terminal?: string;
  /** Where the runtime sends the command's terminal, in place of `terminal`: see the feature `execConsoleSocket`. */
  consoleSocket?: string;
}

/** A runtime process that runs a command. */
export interface ExecSession {
  /** The runtime's own process, not the command's; 0 while there is none: then only `kill` ends it. */
  readonly runtimePid: number;
  /** Resolves with the command's exit code (128 + signal number if killed) when the runtime has ended. */
  readonly exited: Promise<{ code: number }>;
  /** Ends the runtime process; the command may live on. */
  kill(signal: number): void;
}

/** Runs containers. Every method throws a SkiffError that says which runtime failed and what it said. */
export interface RuntimeDriver {
  /** `crun`, `runc`, ... */
  readonly name: string;
  /** What `--version` says, in one line. */
  readonly version: string;
  readonly features: RuntimeFeatures;
  /** For a runtime whose pods are machines of their own; left out where a pod is namespaces. */
  readonly pods?: PodRuntime;
  /**
   * Makes the container; its process waits for `start`. Nothing is left when it throws.
   *
   * @returns the process id of the container's first process in this PID namespace.
   */
  create(request: CreateRequest, signal?: AbortSignal): Promise<{ pid: number }>;
  /** Lets the waiting process go on to the container's own program. */
  start(id: string, spec: RuntimeSpec): Promise<void>;
  /** Forgets a stopped container, ends a running one with `force`; one that is not there is success. */
  delete(id: string, options?: { force?: boolean }): Promise<void>;
  /** What the runtime knows of a container; undefined if nothing. */
  state(id: string): Promise<RuntimeState | undefined>;
  /** All ids that the runtime knows of. */
  list(): Promise<string[]>;
  exec(request: ExecRequest): Promise<ExecSession>;
  /** Changes limits of a running container. */
  update(id: string, resources: SpecResources): Promise<void>;
  pause(id: string): Promise<void>;
  resume(id: string): Promise<void>;
  /** Dumps a running container with CRIU; it goes on unless told. */
  checkpoint(
    id: string,
    to: { imageDirectory: string; workDirectory: string; timeoutMs?: number },
  ): Promise<void>;
}

/** What a runtime can do here: runtime versions and kernels differ. */
export interface RuntimeFeatures {
  /** Mount option `rro`, and a kernel with mount_setattr(2) (5.12). */
  recursiveReadOnly: boolean;
  /** User namespaces for containers. */
  userNamespaces: boolean;
  /** Id-mapped mounts of the runtime's own: `uidMappings` of a mount. */
  idMappedMounts: boolean;
  /** Checkpoints and restores with CRIU, where that is installed and works. */
  checkpoint: boolean;
  /** Takes a compiled filter from the annotation `run.oci.seccomp_bpf_data`. */
  compiledSeccomp: boolean;
  /** `exec` in the foreground takes `--console-socket`. */
  execConsoleSocket: boolean;
}

/** Where a container's files are while it runs. */
export interface MonitorPaths {
  /** A file named by the container's id appears here when it has ended; it holds the exit code. */
  exits: string;
  /** Attach sockets: `<attach>/<id>/attach`. */
  attach: string;
}

/** What `probeRuntimes` found of one runtime. */
export type RuntimeProbe =
  | { name: string; path?: string; usable: true; version: string; driver: RuntimeDriver }
  | { name: string; path?: string; usable: false; version?: string; reason: string; remedy: string };
