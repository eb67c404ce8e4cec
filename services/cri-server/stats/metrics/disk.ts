/** Metrics of disks: the writable layer, and reads and writes by device. */
import { MetricType } from '#contracts/cri/runtime_pb.ts';
import type { ContainerMetric, ContainerSample } from './definition.ts';
import type { DiskOperations } from './disk-operations.ts';

function layer(name: string, help: string, read: (disk: ContainerSample['disk']) => bigint): ContainerMetric {
  const values: ContainerMetric['values'] = ({ disk }) => [{ labels: [disk.device], value: read(disk) }];
  return { name, help, type: MetricType.GAUGE, labels: ['device'], values };
}

function operations(name: string, help: string, read: (device: DiskOperations) => bigint): ContainerMetric {
  const values: ContainerMetric['values'] = (sample) =>
    sample.operations.map((one) => ({ labels: [`${one.major}:${one.minor}`], value: read(one) }));
  return { name, help, type: MetricType.COUNTER, labels: ['device'], values };
}

/** Disk usage and traffic. */
export const diskMetrics: readonly ContainerMetric[] = [
  layer(
    'container_fs_usage_bytes',
    'What the writable layer takes on its file system, in bytes.',
    (disk) => disk.bytes,
  ),
  layer(
    'container_fs_limit_bytes',
    'Size of the file system of the writable layer, in bytes.',
    (disk) => disk.limit,
  ),
  layer(
    'container_fs_inodes_free',
    'Free inodes of the file system of the writable layer.',
    (disk) => disk.inodesFree,
  ),
  layer(
    'container_fs_inodes_total',
    'Inodes of the file system of the writable layer.',
    (disk) => disk.inodesTotal,
  ),
  operations('container_fs_reads_bytes_total', 'Bytes read from a device.', (one) => one.readBytes),
  operations('container_fs_reads_total', 'Reads from a device.', (one) => one.reads),
  operations('container_fs_writes_bytes_total', 'Bytes written to a device.', (one) => one.writeBytes),
  operations('container_fs_writes_total', 'Writes to a device.', (one) => one.writes),
  {
    name: 'container_blkio_device_usage_total',
    help: 'Bytes read and written by device and operation.',
    type: MetricType.COUNTER,
    labels: ['device', 'major', 'minor', 'operation'],
    values: (sample) =>
      sample.operations.flatMap(({ major, minor, readBytes, writeBytes }) => [
        { labels: [`${major}:${minor}`, major, minor, 'Read'], value: readBytes },
        { labels: [`${major}:${minor}`, major, minor, 'Write'], value: writeBytes },
      ]),
  },
];
