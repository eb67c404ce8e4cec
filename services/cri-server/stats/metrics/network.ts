/** Metrics of a pod's interfaces. */
import { MetricType } from '#contracts/cri/runtime_pb.ts';
import type { InterfaceCounters } from '../network.ts';
import type { NetworkMetric } from './definition.ts';

function perInterface(
  name: string,
  help: string,
  field: Exclude<keyof InterfaceCounters, 'name'>,
): NetworkMetric {
  const values: NetworkMetric['values'] = (interfaces) =>
    interfaces.map((one) => ({ labels: [one.name], value: one[field] }));
  return { name: `container_network_${name}`, help, type: MetricType.COUNTER, labels: ['interface'], values };
}

/** Traffic by interface. */
export const networkMetrics: readonly NetworkMetric[] = [
  perInterface('receive_bytes_total', 'Bytes received.', 'rxBytes'),
  perInterface('receive_packets_total', 'Packets received.', 'rxPackets'),
  perInterface('receive_errors_total', 'Errors while receiving.', 'rxErrors'),
  perInterface('receive_packets_dropped_total', 'Packets dropped while receiving.', 'rxDropped'),
  perInterface('transmit_bytes_total', 'Bytes sent.', 'txBytes'),
  perInterface('transmit_packets_total', 'Packets sent.', 'txPackets'),
  perInterface('transmit_errors_total', 'Errors while sending.', 'txErrors'),
  perInterface('transmit_packets_dropped_total', 'Packets dropped while sending.', 'txDropped'),
];
