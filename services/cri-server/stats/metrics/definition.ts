/**
 * What a metric is: a name, a help text, its labels, and how its values come from a sample. The names are those
 * of the kubelet's /metrics/cadvisor, so that dashboards and alerts made for it go on working.
 */
import { MetricType } from '#contracts/cri/runtime_pb.ts';
import type { Container } from '../../containers/table.ts';
import type { InterfaceCounters } from '../network.ts';
import type { CgroupUsage } from '../usage.ts';
import type { DiskOperations } from './disk-operations.ts';
import type { ProcessCounts } from './process-counts.ts';

/** Everything that a container's metrics are computed from, read once. */
export interface ContainerSample {
  container: Container;
  usage: CgroupUsage;
  /** Of the container's writable layer, and of the file system that holds it. */
  disk: {
    bytes: bigint;
    inodes: bigint;
    device: string;
    limit: bigint;
    inodesFree: bigint;
    inodesTotal: bigint;
  };
  operations: DiskOperations[];
  hugepages: { size: string; usage: bigint; max: bigint }[];
  processes: ProcessCounts;
  /** The limits that are set, as the cgroup has them. */
  limits: { cpuPeriod: bigint; cpuQuota: bigint; cpuShares: bigint; memoryReservation: bigint };
  /** Nanoseconds since the epoch. */
  now: bigint;
}

/** One value with those labels that the metric has beyond the common ones. */
export interface MetricValue {
  labels?: readonly string[];
  value: bigint;
}

/** A metric over samples of type `S`. */
export interface MetricDefinition<S> {
  name: string;
  help: string;
  type: MetricType;
  /** Names of labels beyond the common ones. */
  labels?: readonly string[];
  values(sample: S): readonly MetricValue[];
}

/** Labels that every metric has. */
export const commonLabels: readonly string[] = ['pod', 'namespace', 'container', 'id', 'image'];

/** A metric of a container. */
export type ContainerMetric = MetricDefinition<ContainerSample>;
/** A metric of a pod's interfaces. */
export type NetworkMetric = MetricDefinition<readonly InterfaceCounters[]>;

type One<S> = (sample: S) => bigint | undefined;

/** A counter with one value. */
export function counter<S>(name: string, help: string, read: One<S>): MetricDefinition<S> {
  return { name, help, type: MetricType.COUNTER, values: one(read) };
}

/** A gauge with one value. */
export function gauge<S>(name: string, help: string, read: One<S>): MetricDefinition<S> {
  return { name, help, type: MetricType.GAUGE, values: one(read) };
}

function one<S>(read: One<S>): (sample: S) => MetricValue[] {
  return (sample) => {
    const value = read(sample);
    return value === undefined ? [] : [{ value }];
  };
}

/** The CRI's values are whole numbers: seconds lose their fraction. */
export function seconds(nanoseconds: bigint): bigint {
  return nanoseconds / 1_000_000_000n;
}
