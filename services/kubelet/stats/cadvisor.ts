/** /metrics/cadvisor: the families dashboards are built on, with cAdvisor's labels. */
import { exposition, type Family, type MetricDeps, type Sample } from './exposition.ts';
import { groupCpu, groupMemory } from './machine-usage.ts';
import { type ContainerUsage, layerUsage, type PodUsage } from './pod-usage.ts';
import { epoch, plain, seconds } from './resource-metrics.ts';
import type { Stats } from './stats.ts';
import { startTime } from './summary.ts';

/** The text. */
export async function cadvisorMetrics(stats: Pick<Stats, 'pods'>, deps: MetricDeps): Promise<string> {
  const usages = await stats.pods({ disk: false });
  const machine: Family[] = [
    {
      name: 'machine_cpu_cores',
      kind: 'gauge',
      help: 'Number of logical CPU cores.',
      samples: [[{}, deps.cpus]],
    },
    {
      name: 'machine_memory_bytes',
      kind: 'gauge',
      help: 'Amount of memory installed on the machine.',
      samples: [[{}, deps.memoryCapacity]],
    },
  ];
  const rows = samplers(usages, deps);
  return exposition([
    ...usageFamilies(rows, deps),
    ...diskFamilies(rows),
    ...networkFamilies(usages, deps),
    ...machine,
  ]);
}

type Sampler = (
  ofContainer: (container: ContainerUsage, usage: PodUsage) => number | undefined,
  ofPod?: (usage: PodUsage) => number | undefined,
  more?: Record<string, string>,
) => Sample[];

/** Samples for each pod and each of its containers. */
function samplers(usages: readonly PodUsage[], deps: MetricDeps): Sampler {
  return (ofContainer, ofPod = () => undefined, more = {}) =>
    usages.flatMap((usage) => [
      [{ ...podLabels(usage, deps), ...more }, ofPod(usage)] as Sample,
      ...usage.containers.map(
        (each): Sample => [{ ...containerLabels(each, usage, deps), ...more }, ofContainer(each, usage)],
      ),
    ]);
}

function usageFamilies(rows: Sampler, deps: MetricDeps): Family[] {
  const { layout, memoryCapacity, podCgroup } = deps;
  const podMemory = (pick: 'usage' | 'workingSet' | 'rss') => (usage: PodUsage) =>
    groupMemory(layout, podCgroup(usage.pod), memoryCapacity)?.[pick];
  const memory = (name: string, help: string, pick: 'usage' | 'workingSet' | 'rss'): Family => ({
    name: `container_memory_${name}`,
    kind: 'gauge',
    help,
    samples: rows(({ stats }) => plain(stats.memory?.[`${pick}Bytes`]?.value), podMemory(pick)),
  });
  return [
    {
      name: 'container_cpu_usage_seconds_total',
      kind: 'counter',
      help: 'Cumulative cpu time consumed in seconds.',
      samples: rows(
        ({ stats: { cpu } }) => seconds(cpu?.usageCoreNanoSeconds?.value),
        ({ pod }) => seconds(groupCpu(layout, podCgroup(pod))),
        { cpu: 'total' },
      ),
    },
    memory('usage_bytes', 'Current memory usage in bytes, whenever it was accessed', 'usage'),
    memory('working_set_bytes', 'Current working set in bytes.', 'workingSet'),
    memory('rss', 'Size of RSS in bytes.', 'rss'),
    {
      name: 'container_start_time_seconds',
      kind: 'gauge',
      help: 'Start time of the container since unix epoch in seconds.',
      samples: rows(({ name }, { pod }) => epoch(startTime(pod, name))),
    },
  ];
}

function diskFamilies(rows: Sampler): Family[] {
  return [
    {
      name: 'container_fs_usage_bytes',
      kind: 'gauge',
      help: 'Number of bytes that are consumed by the container on this filesystem.',
      samples: rows(({ stats }) => layerUsage(stats).bytes, undefined, { device: '' }),
    },
  ];
}

function networkFamilies(usages: readonly PodUsage[], deps: MetricDeps): Family[] {
  const figures = [
    ['rxBytes', 'receive_bytes'],
    ['rxErrors', 'receive_errors'],
    ['txBytes', 'transmit_bytes'],
    ['txErrors', 'transmit_errors'],
  ] as const;
  return figures.map(([figure, name]) => ({
    name: `container_network_${name}_total`,
    kind: 'counter',
    help: `Cumulative count of ${name.replace('_', ' ')}`,
    samples: usages.flatMap((usage) =>
      (usage.sandbox?.linux?.network?.interfaces ?? []).map(
        (each): Sample => [{ ...podLabels(usage, deps), interface: each.name }, plain(each[figure]?.value)],
      ),
    ),
  }));
}

function podLabels({ pod }: PodUsage, { podCgroup }: MetricDeps): Record<string, string> {
  const { name, namespace = 'default' } = pod.metadata;
  return { container: '', id: podCgroup(pod), image: '', name: '', namespace, pod: name };
}

function containerLabels(
  { name, id }: ContainerUsage,
  usage: PodUsage,
  deps: MetricDeps,
): Record<string, string> {
  const all = [...usage.pod.spec.containers, ...(usage.pod.spec.initContainers ?? [])];
  const image = all.find((each) => each.name === name)?.image ?? '';
  return {
    ...podLabels(usage, deps),
    container: name,
    id: `${deps.podCgroup(usage.pod)}/${id}`,
    image,
    name: id,
  };
}
