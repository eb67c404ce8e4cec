/** What the verbs of this folder work with: one pod VM and its containers. */
import type { KeyedLocks } from '#foundation/base/locks.ts';
import type { GuestProcess } from '../agent-client/types.ts';
import type { PodVm, VmFactory } from '../factory/types.ts';
import type { PodEvents } from './events.ts';
import type { ProcessLink } from './io/process-link.ts';
import type { PodPaths } from './paths.ts';
import type { ContainerRecord, ExitRecord, PodConfig } from './records.ts';

/** Where the supervisor says what it does: one line each. */
export type Say = (message: string, fields?: Record<string, unknown>) => void;

/** A process in the guest that a client may wait for. */
export interface Running {
  link: ProcessLink;
  /** Undefined until the guest has it, and for one that a crash of the VM took away. */
  process?: GuestProcess;
  /** Whether the end of a command was noted; a container's record says so of its own process. */
  hasEnded?: boolean;
  ended: PromiseWithResolvers<ExitRecord>;
}

/** A container. */
export interface Container extends Running {
  record: ContainerRecord;
  /** By the ids that their starters chose. */
  execs: Map<string, Running>;
  /** Names of its entries in the share. */
  shares: string[];
}

/** How a pod VM stands. */
export type PodLife =
  | { phase: 'waiting' | 'booting' }
  | { phase: 'ready'; pod: PodVm }
  | { phase: 'ending' | 'ended'; reason: string; pod?: PodVm };

/** What is wired from outside. */
export interface SupervisorDeps {
  paths: PodPaths;
  config: PodConfig;
  factory: Pick<VmFactory, 'acquire' | 'reattach' | 'release'>;
  say: Say;
  /** The command line of a shim for a command in a container. */
  carrier?: (container: string, exec: string, terminal: boolean) => Promise<string[]>;
  /** The pod is over and nothing of it is left: the process can end. */
  onOver: () => void;
  /** Milliseconds between heartbeats, and without an answer until the guest is given up. */
  heartbeat?: { everyMs: number; patienceMs: number };
  /** Milliseconds that a VM without containers waits for its first one; 60,000 unless told. */
  idleMs?: number;
}

/** What every verb gets. */
export interface Core extends SupervisorDeps {
  life: PodLife;
  containers: Map<string, Container>;
  /** Shims that came before their container was asked for. */
  early: Map<string, ProcessLink>;
  /** Whether a container was ever asked for. */
  used: boolean;
  /** Calls that make containers: the VM must not end for want of containers meanwhile. */
  busy: number;
  /** File systems in the guest's memory that are there or on their way, by path. */
  tmpfs: Map<string, Promise<void>>;
  events: PodEvents;
  locks: KeyedLocks;
  /** The VM, once it is ready. @throws SkiffError UNAVAILABLE with the reason if it is not to be. */
  machine(): Promise<PodVm>;
}
