/** kubelet_volume_stats_*: what the volumes behind claims hold, under the original's names. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { Gauge, type Registry } from '#foundation/base/metrics.ts';
import type { VolumeFigures, VolumeMeter } from './volume-usage.ts';

const rows: [name: string, help: string, value: (figures: VolumeFigures) => number | undefined][] = [
  ['capacity_bytes', 'Capacity in bytes of the volume', ({ capacity }) => capacity],
  ['available_bytes', 'Number of available bytes in the volume', ({ available }) => available],
  ['used_bytes', 'Number of used bytes in the volume', ({ used }) => used],
  ['inodes', 'Maximum number of inodes in the volume', ({ inodes }) => inodes],
  ['inodes_free', 'Number of free inodes in the volume', ({ inodesFree }) => inodesFree],
  ['inodes_used', 'Number of used inodes in the volume', ({ inodesUsed }) => inodesUsed],
  [
    'health_status_abnormal',
    'Whether the volume is unhealthy: 1 if it is',
    ({ problem }) => (problem === undefined ? undefined : Number(problem !== '')),
  ],
];

/** Registers the gauges; they are filled when they are read. */
export function registerVolumeGauges(
  registry: Registry,
  meter: VolumeMeter,
  pods: () => readonly Pod[],
): void {
  for (const [name, help, value] of rows)
    new Gauge({
      name: `kubelet_volume_stats_${name}`,
      help,
      labelNames: ['namespace', 'persistentvolumeclaim'],
      registers: [registry],
      async collect() {
        this.reset();
        const all = pods();
        const volumes = await meter.measure(all);
        for (const { metadata } of all)
          for (const { claim, figures } of volumes.get(metadata.uid ?? '') ?? []) {
            const figure = value(figures);
            if (claim === undefined || figure === undefined) continue;
            this.set({ namespace: metadata.namespace ?? 'default', persistentvolumeclaim: claim }, figure);
          }
      },
    });
}
