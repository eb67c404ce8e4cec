/**
 * Statistics and metrics of containers and pods. Data goes: cgroup and /proc files -> `usage.ts`, `network.ts`
 * (one form for both cgroup versions) -> `container.ts`, `pod.ts` (the CRI's statistics) and `metrics/` (the
 * kubelet's /metrics/cadvisor).
 */
import type {
  ContainerStatsFilter,
  PodSandboxStatsFilter,
  RuntimeService,
} from '#contracts/cri/runtime_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Handlers } from '#foundation/grpc/server.ts';
import type { Container } from '../containers/table.ts';
import type { SandboxView } from '../ports.ts';
import { containerStats } from './container.ts';
import type { StatsCore, StatsDeps } from './deps.ts';
import { metricDescriptors } from './metrics/descriptors.ts';
import { podMetrics } from './metrics/pod.ts';
import { podStats } from './pod.ts';
import { createCpuSampler } from './sampler.ts';

/** Pods or containers in one message of a stream. */
const batchSize = 500;

/** The statistics RPCs. */
export interface Stats extends Disposable {
  handlers: Handlers<typeof RuntimeService>;
}

/** Makes the statistics part. */
export function createStats(deps: StatsDeps): Stats {
  const core: StatsCore = { ...deps, sampler: createCpuSampler() };
  return { handlers: statsHandlers(core), [Symbol.dispose]: () => core.sampler[Symbol.dispose]() };
}

function statsHandlers(core: StatsCore): Handlers<typeof RuntimeService> {
  const containers = (filter?: ContainerStatsFilter) =>
    Promise.all(
      core.table
        .list()
        .filter((one) => matchesContainer(one, filter))
        .map((one) => containerStats(core, one)),
    );
  const pods = (filter?: PodSandboxStatsFilter) =>
    Promise.all(
      core.sandboxes
        .list()
        .filter((one) => one.ready && matchesPod(one, filter))
        .map((one) => podStats(core, one)),
    );
  const metrics = () =>
    Promise.all(
      core.sandboxes
        .list()
        .filter((one) => one.ready)
        .map((one) => podMetrics(core, one)),
    );
  return {
    containerStats: async ({ containerId }) => ({
      stats: await containerStats(core, core.table.get(containerId)),
    }),
    listContainerStats: async ({ filter }) => ({ stats: await containers(filter) }),
    streamContainerStats: async function* ({ filter }) {
      for (const batch of batches(await containers(filter))) yield { containerStats: batch };
    },
    podSandboxStats: async ({ podSandboxId }) => ({
      stats: await podStats(core, requirePod(core, podSandboxId)),
    }),
    listPodSandboxStats: async ({ filter }) => ({ stats: await pods(filter) }),
    streamPodSandboxStats: async function* ({ filter }) {
      for (const batch of batches(await pods(filter))) yield { podSandboxStats: batch };
    },
    listMetricDescriptors: async () => ({ descriptors: metricDescriptors() }),
    listPodSandboxMetrics: async () => ({ podMetrics: await metrics() }),
    streamPodSandboxMetrics: async function* () {
      for (const batch of batches(await metrics())) yield { podSandboxMetrics: batch };
    },
  };
}

function* batches<T>(items: readonly T[]): Generator<T[]> {
  for (let start = 0; start < items.length; start += batchSize) yield items.slice(start, start + batchSize);
}

function requirePod(core: StatsCore, id: string): SandboxView {
  const sandbox = core.sandboxes.find(id);
  if (sandbox !== undefined) return sandbox;
  throw new SkiffError('NOT_FOUND', `Cannot tell the statistics of sandbox "${id}": there is none`);
}

function matchesContainer(
  { id, record, config }: Container,
  filter: ContainerStatsFilter | undefined,
): boolean {
  if (filter === undefined) return true;
  return (
    id.startsWith(filter.id) &&
    record.sandboxId.startsWith(filter.podSandboxId) &&
    hasLabels(config.labels, filter.labelSelector)
  );
}

function matchesPod({ id, config }: SandboxView, filter: PodSandboxStatsFilter | undefined): boolean {
  return filter === undefined || (id.startsWith(filter.id) && hasLabels(config.labels, filter.labelSelector));
}

function hasLabels(
  labels: Readonly<Record<string, string>>,
  selector: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(selector).every(([key, value]) => labels[key] === value);
}
