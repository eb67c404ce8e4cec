/** Metrics of processes and of the container as such. */
import { MetricType } from '#contracts/cri/runtime_pb.ts';
import { type ContainerMetric, gauge, seconds } from './definition.ts';

/** Processes, threads, descriptors, times. */
export const processMetrics: readonly ContainerMetric[] = [
  gauge('container_processes', 'Processes in the container.', ({ usage }) => BigInt(usage.processes)),
  gauge('container_threads', 'Threads in the container.', ({ usage }) => usage.threads),
  gauge(
    'container_threads_max',
    'Threads allowed in the container; 0 for no limit.',
    ({ usage }) => usage.threadLimit,
  ),
  gauge(
    'container_file_descriptors',
    'Open file descriptors of all processes.',
    ({ processes }) => processes.descriptors,
  ),
  gauge('container_sockets', 'Open sockets of all processes.', ({ processes }) => processes.sockets),
  {
    name: 'container_ulimits_soft',
    help: 'Soft limits of the first process; none is a very large number.',
    type: MetricType.GAUGE,
    labels: ['ulimit'],
    values: ({ processes: { openFilesLimit } }) =>
      // The CRI's values have no sign: "unlimited" is the largest of them.
      openFilesLimit === undefined
        ? []
        : [{ labels: ['max_open_files'], value: BigInt.asUintN(64, openFilesLimit) }],
  },
  gauge('container_last_seen', 'When these values were read, in seconds since the epoch.', ({ now }) =>
    seconds(now),
  ),
  gauge(
    'container_start_time_seconds',
    'When the container was started, in seconds since the epoch.',
    ({ container }) => {
      const { life, createdAt } = container.record;
      return seconds(life.phase === 'running' ? life.startedAt : createdAt);
    },
  ),
];
