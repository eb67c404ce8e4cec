/** What statistics need of the other parts. */
import type { PodRuntime } from '#contracts/oci/pod-runtime.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { CgroupLayout } from '#foundation/linux/cgroups.ts';
import type { ContainerTable } from '../containers/table.ts';
import type { ImageSource, Sandboxes } from '../ports.ts';
import type { CpuSampler } from './sampler.ts';

/** What is wired from outside. */
export interface StatsDeps {
  table: Pick<ContainerTable, 'get' | 'list'>;
  sandboxes: Sandboxes;
  images: Pick<ImageSource, 'rootUsage'>;
  cgroups: CgroupLayout;
  /** The calls for pods of a runtime whose pods are machines. */
  pods?: (runtime: string) => PodRuntime | undefined;
  /** Where container roots are: the mount point that the kubelet looks up for disk figures. */
  rootsDirectory: string;
  clock?: Clock;
}

/** What every function here gets. */
export interface StatsCore extends StatsDeps {
  sampler: CpuSampler;
}
