/**
 * What a supervisor leaves on disk, for the command line to read and for the supervisor after it.
 *
 *     creating --> created --> running <--> paused
 *         |           |           |            |
 *         +-----------+-----------+------------+--> stopped --> (deleted: the directory is gone)
 *
 * A container whose shim is gone is stopped, whatever its record says: the shim ends as the process in the VM does.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Hook } from '#contracts/oci/runtime.ts';
import { errnoOf, SkiffError } from '#foundation/base/errors.ts';
import { replaceFileSync } from '#foundation/base/files.ts';
import type { ProcessIdentity } from '#foundation/linux/process.ts';
import { containerStateFile } from './paths.ts';

/** The version of all files here. */
const version = 1;

/** How a container stands. */
export type ContainerStatus = 'creating' | 'created' | 'running' | 'paused' | 'stopped';

/** How a process ended. Times are nanoseconds since the epoch, in decimal. */
export interface ExitRecord {
  /** 128 + signal number if a signal ended it. */
  code: number;
  /** 0 for none. */
  signal: number;
  at: string;
  oomKilled: boolean;
}

/** One container. */
export interface ContainerRecord {
  version: 1;
  id: string;
  bundle: string;
  /** The directory of its pod. */
  pod: string;
  status: ContainerStatus;
  /** The process on the host that stands for it. */
  shim: ProcessIdentity;
  terminal: boolean;
  /** 0 until the guest has it. */
  guestPid: number;
  /** The agent's name of its process; 0 until the guest has it. */
  handle: number;
  createdAt: string;
  startedAt?: string;
  exit?: ExitRecord;
  oomKills: number;
  annotations: Record<string, string>;
  /** Commands that were started by `exec` and have not been seen to end. */
  execs: ExecRecord[];
  poststart: Hook[];
  poststop: Hook[];
}

/** A command beside a container's own process. */
export interface ExecRecord {
  id: string;
  handle: number;
  guestPid: number;
}

/** What a pod VM is made of; written before anything is made. */
export interface PodConfig {
  version: 1;
  id: string;
  /** The runtime's root. */
  root: string;
  hostname: string;
  /** A pinned network namespace whose interfaces the guest takes over; none without. */
  netns?: string;
  vcpus: number;
  memoryBytes: number;
  /** The host's cgroup for the VM's processes; the supervisor's own without. */
  cgroup?: string;
  sysctls: Record<string, string>;
  /** Containers share a PID namespace. */
  sharedPid: boolean;
  /** It ends when its last container is deleted. */
  endsWithLast: boolean;
  /** The VM is started by the first container, after its hooks: they may make the network. */
  deferred: boolean;
  createdAt: string;
}

/** What has been made of a pod. */
export interface PodRecord {
  version: 1;
  phase: 'booting' | 'running' | 'ending';
  bootId?: string;
  reason?: string;
  /** File systems in the guest's memory, by path. */
  tmpfs?: string[];
}

/** Replaces a record in one step. It ends with a reboot, so nothing is forced to disk. */
export function saveRecord(path: string, record: { version: number }): void {
  replaceFileSync(path, JSON.stringify(record), { durable: false });
}

/** Reads a record; undefined if there is none. @throws SkiffError DATA_LOSS for one that cannot be read. */
export function loadRecord<T extends { version: number }>(path: string): T | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return undefined;
    throw error;
  }
  try {
    const record = JSON.parse(text) as T;
    if (record.version === version) return record;
  } catch {
    // Told below with the path.
  }
  throw new SkiffError('DATA_LOSS', `Cannot read ${path}: it is no record of version ${version}; delete it`);
}

/** All containers of a runtime's root; of one pod if its directory is given. Unreadable ones are left out. */
export function listContainerRecords(root: string, pod?: string): ContainerRecord[] {
  const records: ContainerRecord[] = [];
  for (const name of entries(root)) {
    if (name.startsWith('.')) continue;
    const record = readable(root, name);
    if (record !== undefined && (pod === undefined || record.pod === pod)) records.push(record);
  }
  return records;
}

function readable(root: string, name: string): ContainerRecord | undefined {
  try {
    return loadRecord<ContainerRecord>(containerStateFile(root, name));
  } catch {
    return undefined;
  }
}

/** The directories of all pods of a root. */
export function listPodDirectories(podsDirectory: string): string[] {
  return entries(podsDirectory)
    .filter((name) => /^[0-9a-f]{12}$/.test(name))
    .map((name) => join(podsDirectory, name));
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
