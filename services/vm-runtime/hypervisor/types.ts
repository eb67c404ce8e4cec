/**
 * What a hypervisor must do for the rest of the VM runtime. `createQemu` (qemu/driver.ts) makes the first one; another
 * passes the suite in contract-suite.ts and is then as good.
 *
 * ## How a VM is put together
 * Whoever starts a VM opens what it may touch (taps, the share's socket, the kernel) and hands over descriptors: the
 * hypervisor's process runs as a user that owns nothing and needs no path. Nothing of an image gets here: kernel,
 * initrd and devices come of the node's own configuration only.
 *
 * ## Lifecycle
 *
 *     start | restore --> running <--> paused
 *                            |            |
 *                            +--> ended <-+     powerOff, kill, the guest's own end, or the process's death
 *
 * A VM outlives the process that started it: `attach` finds it again by its directory.
 */
import type { GuestImage } from '../guest-image/types.ts';

/** A network card of a VM. */
export interface VmNic {
  /** `02:42:ac:11:00:02`. */
  mac: string;
  /** An open tap (network/tap.ts); the hypervisor gets a copy and the caller keeps, and closes, its own. */
  tapFd: number;
}

/** A file system shared with the guest by virtiofs (storage/share.ts). */
export interface VmShare {
  /** What the guest mounts it by: `mount -t virtiofs TAG DIRECTORY`. */
  tag: string;
  /** A socket that is connected to the file server; as with taps, the caller keeps its own. */
  fd: number;
}

/** What to start. */
export interface VmSpec {
  /** Names the VM in messages and in its process's arguments. Letters, digits and dashes. */
  id: string;
  /** Everything of the VM that is on disk: sockets, console, state. Made, mode 0700; must not hold a VM. */
  directory: string;
  image: GuestImage;
  vcpus: number;
  /** A multiple of 1 MiB. */
  memoryBytes: number;
  nics: readonly VmNic[];
  shares: readonly VmShare[];
  /** Whether NICs can be added while it runs, and more to its clones; costs some 100 ms of boot under emulation. */
  hotplug?: boolean;
  /** A cgroup of the host (`/kubepods/pod1/vm`) that exists, in every hierarchy, which the process joins first. */
  cgroup?: string;
  /** More kernel parameters, of the node's configuration. */
  kernelParameters?: readonly string[];
}

/** A disk to add to a running VM. */
export interface VmDisk {
  /** At most 20 letters, digits, dashes; the guest finds the disk by it (`GuestMount.blockSerial`). */
  serial: string;
  /** A regular file or block device of the host. */
  path: string;
  readOnly: boolean;
}

/** Why a VM ended. */
export type VmEnd =
  /** The guest powered itself off or rebooted. */
  | { kind: 'shutdown' }
  /** The guest's kernel panicked; the last lines of its console. */
  | { kind: 'panic'; console: string }
  /** We ended it: `kill`, or `powerOff` that took too long. */
  | { kind: 'killed' }
  /** Its process ended by itself: exit code (128 + signal; undefined if it was not our child) and what it said last. */
  | { kind: 'failed'; code: number | undefined; said: string };

/** Figures of a VM as its host sees them. */
export interface VmUsage {
  /** Memory that the guest has now, in bytes: the whole less what the balloon took. */
  memoryBytes: number;
  /** Resident memory of the hypervisor's process, the guest's included. */
  residentBytes: number;
  /** Processor time of the hypervisor's process, in milliseconds. */
  cpuMs: number;
}

/** A VM. Every call that talks to the hypervisor has a deadline of 10 s and fails with DEADLINE_EXCEEDED after it. */
export interface Vm extends AsyncDisposable {
  readonly id: string;
  /** The hypervisor's name: `qemu`. */
  readonly hypervisor: string;
  readonly pid: number;
  /** Processes that work for it beside its own and live. */
  helperPids(): number[];
  readonly directory: string;
  readonly memoryBytes: number;
  readonly vcpus: number;
  /** The unix socket of the agent's virtio-serial port, for `connectAgent`. */
  readonly agentSocketPath: string;
  /** The latest 64 to 128 KiB of what the guest wrote to its console; the file is replaced when it is full. */
  readonly consolePath: string;
  /** Resolves, never rejects, when its process has ended. */
  readonly ended: Promise<VmEnd>;
  /** @throws SkiffError ALREADY_EXISTS for a serial in use, NOT_FOUND if there is no such file. */
  addDisk(disk: VmDisk): Promise<void>;
  /** The guest must have unmounted it. A disk that is not there is success. */
  removeDisk(serial: string): Promise<void>;
  /**
   * Adds a NIC to a running VM that was started with `hotplug`. The guest sees it once its agent has looked
   * (/sys/bus/pci/rescan).
   *
   * @throws SkiffError UNIMPLEMENTED for a VM without hotplug; RESOURCE_EXHAUSTED when all places are taken.
   */
  addNic(nic: VmNic): Promise<void>;
  /**
   * Gives the guest more or less memory (balloon), within what it was started with.
   *
   * @throws SkiffError OUT_OF_RANGE for more than that or less than 64 MiB; UNIMPLEMENTED for a clone,
   *   whose memory is shared copy-on-write with its template.
   */
  setMemory(bytes: number): Promise<void>;
  usage(): Promise<VmUsage>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Asks the hypervisor whether it lives. @returns milliseconds it took. */
  ping(): Promise<number>;
  /**
   * Ends the VM: waits `graceMs` (2,000 unless told) for a guest that was told to shut down (`AgentClient.shutdown`),
   * then quits the hypervisor, then kills it. Resolves when the process is gone. Idempotent.
   */
  powerOff(graceMs?: number): Promise<void>;
  /** SIGKILL. Resolves when the process is gone. Idempotent. */
  kill(): Promise<void>;
  /** Stops looking after the VM without ending it: somebody else will `attach`. */
  release(): void;
}

/** A saved VM to make clones of. Its memory lives as long as its keeper process. */
export interface VmTemplate {
  /** Names what it was made of: image, size, hypervisor. */
  readonly key: string;
  readonly directory: string;
  readonly vcpus: number;
  readonly memoryBytes: number;
}

/** A hypervisor. */
export interface Hypervisor {
  readonly name: string;
  /** Whether it can run VMs here, and if not, why and what to do. */
  available(): Promise<{ ok: true; acceleration: 'kvm' | 'tcg' } | { ok: false; reason: string }>;
  /**
   * Starts a VM; resolves when the hypervisor runs, which is before the guest is up. Nothing is left if it fails.
   *
   * @throws SkiffError FAILED_PRECONDITION where the hypervisor is missing or refuses its options.
   */
  start(spec: VmSpec, signal?: AbortSignal): Promise<Vm>;
  /**
   * Told whether the guest of a VM that `start` made came up: a driver that had its acceleration from a guess may
   * change its mind, for the VMs that follow.
   */
  report(vm: Vm, cameUp: boolean): Promise<void>;
  /**
   * Finds the VM of a directory again, after whoever started it has died.
   *
   * @throws SkiffError NOT_FOUND if its process is gone; `cleanUp` removes what is left then.
   */
  attach(directory: string, signal?: AbortSignal): Promise<Vm>;
  /** Kills the VM of a directory if it runs, and removes the directory. Idempotent. */
  cleanUp(directory: string): Promise<void>;
  /**
   * Saves a running VM, started with `hotplug` and without NIC, share or disk, as a template, and ends it. `directory` is made.
   *
   * @throws SkiffError UNIMPLEMENTED if this hypervisor cannot.
   */
  saveTemplate(vm: Vm, template: { key: string; directory: string }): Promise<VmTemplate>;
  /** Opens a template that another process saved; undefined if there is none, or its keeper is gone. */
  openTemplate(directory: string): VmTemplate | undefined;
  /** Ends the keeper and removes the directory; clones go on. Idempotent. */
  removeTemplate(directory: string): Promise<void>;
  /**
   * Starts a clone. Size and image are the template's; NICs and shares are the clone's own, added while it
   * wakes up.
   */
  restore(
    template: VmTemplate,
    clone: Pick<VmSpec, 'id' | 'directory' | 'nics' | 'shares' | 'cgroup'>,
    signal?: AbortSignal,
  ): Promise<Vm>;
}
