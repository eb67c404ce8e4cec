/** /metrics/resource: CPU and memory of node, pods and containers, under the original's names. */
import { exposition, type Family, type MetricDeps, type Sample } from './exposition.ts';
import { groupCpu, groupMemory, machineMemory } from './machine-usage.ts';
import type { ContainerUsage, PodUsage } from './pod-usage.ts';
import type { Stats } from './stats.ts';
import { startTime } from './summary.ts';

/** The text. A failure is told as `resource_scrape_error 1`, so that a scraper notices. */
export async function resourceMetrics(stats: Pick<Stats, 'pods'>, deps: MetricDeps): Promise<string> {
  let usages: PodUsage[] = [];
  let failed = 0;
  try {
    usages = await stats.pods({ disk: false });
  } catch {
    failed = 1;
  }
  const error: Family = {
    name: 'resource_scrape_error',
    kind: 'gauge',
    help: '1 if there was an error while getting container metrics, 0 otherwise',
    samples: [[{}, failed]],
  };
  return exposition([
    ...containerFamilies(usages),
    ...nodeFamilies(deps),
    ...podFamilies(usages, deps),
    error,
  ]);
}

function containerFamilies(usages: readonly PodUsage[]): Family[] {
  const samples = (value: (container: ContainerUsage, usage: PodUsage) => number | undefined): Sample[] =>
    usages.flatMap((usage) =>
      usage.containers.map(
        (each): Sample => [{ container: each.name, ...podLabels(usage) }, value(each, usage)],
      ),
    );
  return [
    {
      name: 'container_cpu_usage_seconds_total',
      kind: 'counter',
      help: 'Cumulative cpu time consumed by the container in core-seconds',
      samples: samples(({ stats: { cpu } }) => seconds(cpu?.usageCoreNanoSeconds?.value)),
    },
    {
      name: 'container_memory_working_set_bytes',
      kind: 'gauge',
      help: 'Current working set of the container in bytes',
      samples: samples(({ stats: { memory } }) => plain(memory?.workingSetBytes?.value)),
    },
    {
      name: 'container_start_time_seconds',
      kind: 'gauge',
      help: 'Start time of the container since unix epoch in seconds',
      samples: samples(({ name }, { pod }) => epoch(startTime(pod, name))),
    },
  ];
}

function nodeFamilies({ layout, memoryCapacity }: MetricDeps): Family[] {
  return [
    {
      name: 'node_cpu_usage_seconds_total',
      kind: 'counter',
      help: 'Cumulative cpu time consumed by the node in core-seconds',
      samples: [[{}, seconds(groupCpu(layout, '/'))]],
    },
    {
      name: 'node_memory_working_set_bytes',
      kind: 'gauge',
      help: 'Current working set of the node in bytes',
      samples: [[{}, machineMemory(layout, memoryCapacity).workingSet]],
    },
  ];
}

function podFamilies(
  usages: readonly PodUsage[],
  { layout, memoryCapacity, podCgroup }: MetricDeps,
): Family[] {
  const samples = (value: (usage: PodUsage) => number | undefined): Sample[] =>
    usages.map((usage): Sample => [podLabels(usage), value(usage)]);
  return [
    {
      name: 'pod_cpu_usage_seconds_total',
      kind: 'counter',
      help: 'Cumulative cpu time consumed by the pod in core-seconds',
      samples: samples(({ pod, sandbox }) =>
        seconds(groupCpu(layout, podCgroup(pod)) ?? sandbox?.linux?.cpu?.usageCoreNanoSeconds?.value),
      ),
    },
    {
      name: 'pod_memory_working_set_bytes',
      kind: 'gauge',
      help: 'Current working set of the pod in bytes',
      samples: samples(
        ({ pod, sandbox }) =>
          groupMemory(layout, podCgroup(pod), memoryCapacity)?.workingSet ??
          plain(sandbox?.linux?.memory?.workingSetBytes?.value),
      ),
    },
  ];
}

function podLabels({ pod }: PodUsage): Record<string, string> {
  return { namespace: pod.metadata.namespace ?? 'default', pod: pod.metadata.name };
}

/** Seconds of nanoseconds. */
export function seconds(nanos: bigint | number | undefined): number | undefined {
  return nanos === undefined ? undefined : Number(nanos) / 1e9;
}

/** A bigint as a number. */
export function plain(value: bigint | undefined): number | undefined {
  return value === undefined ? undefined : Number(value);
}

/** Seconds since the epoch of an RFC 3339 time. */
export function epoch(time: string | undefined): number | undefined {
  return time === undefined ? undefined : Date.parse(time) / 1000;
}
