/** Metrics of memory. */
import { MetricType } from '#contracts/cri/runtime_pb.ts';
import type { MemoryUsage } from '../usage.ts';
import { type ContainerMetric, counter, gauge } from './definition.ts';

const bytes = (name: string, help: string, field: keyof MemoryUsage): ContainerMetric =>
  gauge(name, help, ({ usage }) => usage.memory?.[field] ?? 0n);

/** Memory, huge pages and their limits. */
export const memoryMetrics: readonly ContainerMetric[] = [
  bytes('container_memory_usage_bytes', 'Memory in use, caches among it, in bytes.', 'usage'),
  bytes(
    'container_memory_working_set_bytes',
    'Memory in use without what can be dropped at once, in bytes.',
    'workingSet',
  ),
  bytes('container_memory_rss', 'Anonymous memory, in bytes.', 'rss'),
  bytes('container_memory_cache', 'Page cache, in bytes.', 'cache'),
  bytes('container_memory_mapped_file', 'Files mapped into memory, in bytes.', 'mappedFile'),
  bytes('container_memory_kernel_usage', 'Memory of the kernel for the container, in bytes.', 'kernel'),
  bytes('container_memory_swap', 'Memory moved to swap, in bytes.', 'swap'),
  bytes('container_memory_max_usage_bytes', 'The most memory that was ever in use, in bytes.', 'maxUsage'),
  counter(
    'container_memory_failcnt',
    'How often the memory limit was hit.',
    ({ usage }) => usage.memory?.failures ?? 0n,
  ),
  counter(
    'container_oom_events_total',
    'Processes killed for want of memory.',
    ({ usage }) => usage.memory?.oomKills ?? 0n,
  ),
  {
    name: 'container_memory_failures_total',
    help: 'Page faults by kind: pgfault for all, pgmajfault for those that read from disk.',
    type: MetricType.COUNTER,
    labels: ['failure_type', 'scope'],
    values: ({ usage }) => [
      { labels: ['pgfault', 'container'], value: usage.memory?.pageFaults ?? 0n },
      { labels: ['pgmajfault', 'container'], value: usage.memory?.majorPageFaults ?? 0n },
    ],
  },
  bytes('container_spec_memory_limit_bytes', 'Memory limit, in bytes; 0 for none.', 'limit'),
  bytes('container_spec_memory_swap_limit_bytes', 'Swap limit, in bytes; 0 for none.', 'swapLimit'),
  gauge(
    'container_spec_memory_reservation_limit_bytes',
    'Memory that is kept for the container, in bytes; 0 for none.',
    ({ limits }) => limits.memoryReservation,
  ),
  {
    name: 'container_hugetlb_usage_bytes',
    help: 'Huge pages in use by page size, in bytes.',
    type: MetricType.GAUGE,
    labels: ['pagesize'],
    values: ({ hugepages }) => hugepages.map(({ size, usage }) => ({ labels: [size], value: usage })),
  },
  {
    name: 'container_hugetlb_max_usage_bytes',
    help: 'The most huge pages that were ever in use by page size, in bytes.',
    type: MetricType.GAUGE,
    labels: ['pagesize'],
    values: ({ hugepages }) => hugepages.map(({ size, max }) => ({ labels: [size], value: max })),
  },
];
