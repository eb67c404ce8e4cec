/** What the node has, what is set aside, and what is left for pods. */
import { statfsSync } from 'node:fs';
import type { KubeletConfiguration } from '../configuration/defaults.ts';
import { amountOf, milliCpuOf } from '../resources/amounts.ts';
import type { Machine } from './machine.ts';

/** Resources of the node; milliCPU for `cpu`, bytes or pieces for all others. */
export interface NodeResources {
  milliCpu: number;
  memory: number;
  ephemeralStorage: number;
  pods: number;
  /** By Kubernetes' size: `2Mi`. */
  hugePages: ReadonlyMap<string, number>;
  /** Devices by resource name. */
  devices: ReadonlyMap<string, number>;
}

/** The node's whole. */
export function nodeCapacity(
  machine: Machine,
  configuration: KubeletConfiguration,
  kubeletRoot: string,
  devices: ReadonlyMap<string, number>,
): NodeResources {
  const { maxPods, podsPerCore } = configuration;
  return {
    milliCpu: machine.cpus * 1000,
    memory: machine.memory,
    ephemeralStorage: fileSystemSize(kubeletRoot),
    pods: podsPerCore > 0 ? Math.min(machine.cpus * podsPerCore, maxPods) : maxPods,
    hugePages: machine.hugePages,
    devices,
  };
}

function fileSystemSize(path: string): number {
  try {
    const { blocks, bsize } = statfsSync(path);
    return blocks * bsize;
  } catch {
    return 0;
  }
}

/** What pods may use: the whole less what is reserved, the hard eviction thresholds and huge pages. */
export function nodeAllocatable(capacity: NodeResources, configuration: KubeletConfiguration): NodeResources {
  const hugePages = [...capacity.hugePages.values()].reduce((sum, bytes) => sum + bytes, 0);
  const { kubeReserved, systemReserved } = configuration;
  const reserved = (name: string, units: (text: string) => number) =>
    units(kubeReserved[name] ?? '0') + units(systemReserved[name] ?? '0');
  const threshold = (signal: string, whole: number) => thresholdOf(configuration.evictionHard[signal], whole);
  const memory = reserved('memory', amountOf) + threshold('memory.available', capacity.memory) + hugePages;
  const disk =
    reserved('ephemeral-storage', amountOf) + threshold('nodefs.available', capacity.ephemeralStorage);
  return {
    ...capacity,
    milliCpu: Math.max(0, capacity.milliCpu - reserved('cpu', milliCpuOf)),
    memory: Math.max(0, capacity.memory - memory),
    ephemeralStorage: Math.max(0, capacity.ephemeralStorage - disk),
  };
}

/** The limit of all pods together: reserved amounts count, the eviction threshold does not (it acts before). */
export function podsLimit(
  capacity: NodeResources,
  configuration: KubeletConfiguration,
): { milliCpu: number; memory: number; pids: number } {
  const reserved = (name: string, units: (text: string) => number) =>
    units(configuration.kubeReserved[name] ?? '0') + units(configuration.systemReserved[name] ?? '0');
  return {
    milliCpu: Math.max(0, capacity.milliCpu - reserved('cpu', milliCpuOf)),
    memory: Math.max(0, capacity.memory - reserved('memory', amountOf)),
    pids: 0,
  };
}

/** A threshold in units of the resource: an amount, or a share of the whole. */
export function thresholdOf(text: string | undefined, whole: number): number {
  if (text === undefined) return 0;
  return text.endsWith('%') ? (whole * Number(text.slice(0, -1))) / 100 : amountOf(text);
}

/** Resources as an API object's map of quantities. */
export function toQuantities(resources: NodeResources): Record<string, string> {
  const { milliCpu, memory, ephemeralStorage, pods } = resources;
  const quantities: Record<string, string> = {
    cpu: milliCpu % 1000 === 0 ? String(milliCpu / 1000) : `${milliCpu}m`,
    'ephemeral-storage': kibi(ephemeralStorage),
    memory: kibi(memory),
    pods: String(pods),
  };
  for (const [size, bytes] of resources.hugePages)
    quantities[`hugepages-${size}`] = bytes === 0 ? '0' : kibi(bytes);
  for (const [name, count] of resources.devices) quantities[name] = String(count);
  return quantities;
}

function kibi(bytes: number): string {
  return bytes % 1024 === 0 ? `${bytes / 1024}Ki` : String(Math.floor(bytes));
}
