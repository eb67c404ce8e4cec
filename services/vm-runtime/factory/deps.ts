/** What the factories need. */
import type { Spawner } from '#foundation/linux/spawn.ts';
import type { AgentClient, ConnectAgentOptions } from '../agent-client/types.ts';
import type { GuestImage } from '../guest-image/types.ts';
import type { Hypervisor } from '../hypervisor/types.ts';
import type { PodVm, PodVmRequest } from './types.ts';

/** The size of a VM. */
export interface VmShape {
  vcpus: number;
  /** A multiple of 1 MiB. */
  memoryBytes: number;
}

/** What the factories need. */
export interface FactoryDeps {
  hypervisor: Hypervisor;
  spawner: Spawner;
  /** The guest that VMs boot; asked once for each VM. */
  image(): Promise<GuestImage>;
  connectAgent(options: ConnectAgentOptions): Promise<AgentClient>;
  /**
   * Where templates and waiting VMs are: on the file system of the pods' directories, and short, since unix sockets
   * are in it.
   */
  directory: string;
  /** The sizes that are made ready ahead; every other size is booted directly. A few: each template holds memory. */
  shapes: readonly VmShape[];
  /** VMs that wait, of each shape; 2 unless told. For `cache`. */
  waiting?: number;
  /**
   * What makes one that is to wait, with a share and places for NICs; a boot, and a first container, unless told.
   * For `cache`.
   */
  prepare?: (request: PodVmRequest) => Promise<PodVm>;
  /** What gives a VM where none waits; a boot unless told. For `cache`. */
  otherwise?: (request: PodVmRequest) => Promise<PodVm>;
  /** Milliseconds a guest rests before it is saved, so that it gives back what booting needed; 2,500 unless told. */
  settleMs?: number;
  /** Another program instead of virtiofsd. */
  fileServer?: string;
}
