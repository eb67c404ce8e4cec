/** What the sync loop is made of; `kubelet.ts` fills it. */
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { PodConfig } from '../config/pod-config.ts';
import type { Sources } from '../config/sources.ts';
import type { Pleg } from '../pleg/pleg.ts';
import type { PodWorkers } from '../pod-workers/workers.ts';
import type { Allocation } from '../pods/allocation.ts';
import type { PodDirectories } from '../pods/directories.ts';
import type { MirrorPods } from '../pods/mirror.ts';
import type { PodManager } from '../pods/pod-manager.ts';
import type {
  Admission,
  EventRecorder,
  KubeletApi,
  PodResources,
  ProbeManager,
  VolumeManager,
} from '../ports.ts';
import type { RuntimeManagerDeps } from '../runtime-manager/deps.ts';
import type { GenerateDeps } from '../status/generate.ts';
import type { StatusManager } from '../status/manager.ts';
import type { ReasonCache } from '../status/reason-cache.ts';
import type { RuntimeState } from './runtime-state.ts';

export interface LoopDeps {
  nodeName: string;
  clock: Clock;
  logger: Logger;
  config: PodConfig;
  sources: Sources;
  pods: PodManager;
  mirrors: MirrorPods;
  directories: PodDirectories;
  allocation: Allocation;
  workers: PodWorkers;
  pleg: Pleg;
  runtimeState: RuntimeState;
  runtime: RuntimeManagerDeps;
  statuses: StatusManager;
  reasons: ReasonCache;
  generate: GenerateDeps;
  events: EventRecorder;
  volumes: VolumeManager;
  probes: ProbeManager;
  resources: PodResources;
  admission: Admission;
  api: KubeletApi | undefined;
  /** Milliseconds to wait for a pod's volumes; 123,000 in the original. */
  volumeTimeoutMs: number;
}
