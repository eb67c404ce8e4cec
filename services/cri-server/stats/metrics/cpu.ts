/** Metrics of CPU time and of what waits for it. */
import { type ContainerMetric, counter, gauge, seconds } from './definition.ts';

/** Waiting is when some task waits, stalled when all do. */
function pressure(kind: 'cpu' | 'memory' | 'io', word: 'waiting' | 'stalled', help: string): ContainerMetric {
  return counter(`container_pressure_${kind}_${word}_seconds_total`, help, ({ usage }) => {
    const found = usage.psi[kind];
    return found === undefined ? undefined : seconds((word === 'waiting' ? found.some : found.full).total);
  });
}

/** CPU, scheduling and pressure. */
export const cpuMetrics: readonly ContainerMetric[] = [
  counter('container_cpu_usage_seconds_total', 'CPU time used, in seconds.', ({ usage }) =>
    seconds(usage.cpu?.usage ?? 0n),
  ),
  counter('container_cpu_user_seconds_total', 'CPU time used in user mode, in seconds.', ({ usage }) =>
    seconds(usage.cpu?.user ?? 0n),
  ),
  counter('container_cpu_system_seconds_total', 'CPU time used in the kernel, in seconds.', ({ usage }) =>
    seconds(usage.cpu?.system ?? 0n),
  ),
  counter(
    'container_cpu_cfs_periods_total',
    'Scheduling periods that passed under a CPU quota.',
    ({ usage }) => usage.cpu?.periods ?? 0n,
  ),
  counter(
    'container_cpu_cfs_throttled_periods_total',
    'Scheduling periods in which the CPU quota was used up.',
    ({ usage }) => usage.cpu?.throttledPeriods ?? 0n,
  ),
  counter(
    'container_cpu_cfs_throttled_seconds_total',
    'Time spent waiting for the next period, in seconds.',
    ({ usage }) => seconds(usage.cpu?.throttled ?? 0n),
  ),
  gauge(
    'container_spec_cpu_period',
    'Scheduling period of the CPU quota, in microseconds.',
    ({ limits }) => limits.cpuPeriod,
  ),
  gauge('container_spec_cpu_quota', 'CPU time allowed in each period, in microseconds.', ({ limits }) =>
    limits.cpuQuota > 0n ? limits.cpuQuota : undefined,
  ),
  gauge(
    'container_spec_cpu_shares',
    'Weight of the container when CPU time is short.',
    ({ limits }) => limits.cpuShares,
  ),
  ...(['cpu', 'memory', 'io'] as const).flatMap((kind) => [
    pressure(kind, 'waiting', `Time in which some tasks waited for ${kind}, in seconds.`),
    pressure(kind, 'stalled', `Time in which all tasks waited for ${kind}, in seconds.`),
  ]),
];
