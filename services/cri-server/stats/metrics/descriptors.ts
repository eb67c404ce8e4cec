/** All metrics, and what ListMetricDescriptors tells of them. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { MetricDescriptorSchema } from '#contracts/cri/runtime_pb.ts';
import { cpuMetrics } from './cpu.ts';
import { type ContainerMetric, commonLabels } from './definition.ts';
import { diskMetrics } from './disk.ts';
import { memoryMetrics } from './memory.ts';
import { networkMetrics } from './network.ts';
import { processMetrics } from './process.ts';

/** The metrics of containers. */
export const containerMetrics: readonly ContainerMetric[] = [
  ...cpuMetrics,
  ...memoryMetrics,
  ...diskMetrics,
  ...processMetrics,
];

/** The answer of ListMetricDescriptors. */
export function metricDescriptors(): MessageInitShape<typeof MetricDescriptorSchema>[] {
  return [...containerMetrics, ...networkMetrics].map(({ name, help, labels = [] }) => ({
    name,
    help,
    labelKeys: [...commonLabels, ...labels],
  }));
}
