/** What the runtime manager is made of. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { LinuxContainerResourcesSchema } from '#contracts/cri/runtime_pb.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { ImageManager } from '../images/ensure-image.ts';
import type { Allocation } from '../pods/allocation.ts';
import type {
  AnyContainer,
  ContainerConfigBuilder,
  DynamicResources,
  EventRecorder,
  HookRunner,
  PodResources,
  ProbeManager,
} from '../ports.ts';
import type { Backoff } from './backoff.ts';
import type { RuntimeCalls } from './runtime-calls.ts';
import type { SandboxInUse } from './sandbox-in-use.ts';

export interface RuntimeManagerDeps {
  runtime: RuntimeCalls;
  images: ImageManager;
  builder: ContainerConfigBuilder;
  hooks: HookRunner;
  probes: Pick<ProbeManager, 'result'>;
  /** The resources containers run with. */
  actuated: Pick<Allocation, 'actuated' | 'setActuated'>;
  /** Told what came of a pod's resize: undefined when it is done. */
  onResized(pod: Pod, failure: string | undefined): void;
  linuxResources(pod: Pod, container: AnyContainer): MessageInitShape<typeof LinuxContainerResourcesSchema>;
  resources: Pick<PodResources, 'updatePodCgroup' | 'memoryUsage'>;
  dynamicResources: Pick<DynamicResources, 'prepare' | 'unprepare'>;
  events: EventRecorder;
  clock: Clock;
  logger: Logger;
  /** The sandboxes that were made or used since the start, by pod UID. */
  sandboxes: Map<string, SandboxInUse>;
  /** Restart back-off of containers. */
  backoff: Backoff;
  /** `/var/log/pods` and `/var/log/containers`. */
  podLogs: string;
  containerLogs: string;
  /** Milliseconds a CRI call may take: `runtimeRequestTimeout`. */
  requestTimeoutMs: number;
  /** Counts what was started; see `metrics.ts`. */
  counters: StartCounters;
}

/** Metrics of starts. */
export interface StartCounters {
  containerStarted(type: string): void;
  containerFailed(type: string, code: string): void;
  podStarted(): void;
  podFailed(): void;
  sandboxSeconds(handler: string, seconds: number): void;
  podRejected(reason: string): void;
  orphan(): void;
}
