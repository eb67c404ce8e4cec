/** Short ways to make statuses, for table tests. */
import type { Pod, PodStatus } from '#contracts/kubernetes/types.ts';
import type { ProbeResult } from '../ports.ts';
import type { RuntimePodStatus } from '../runtime-manager/model.ts';
import { type GenerateDeps, generateStatus } from '../status/generate.ts';

/** What a status is made from besides the runtime. */
export interface Options {
  before?: PodStatus;
  terminated?: boolean;
  causes?: Record<string, { reason: string; message: string }>;
  probes?: Record<string, ProbeResult>;
  workers?: string[];
  hostIps?: string[];
  now?: number;
}

export const start = Date.UTC(2026, 0, 1);

/** What a status is made with: a clock that stands still, and what the options say. */
export function generateDeps(options: Options = {}): GenerateDeps {
  return {
    reasons: { get: (_, container) => options.causes?.[container] },
    probes: {
      result: (kind, id) => options.probes?.[`${kind} ${id}`],
      hasWorker: (kind, _, container) => options.workers?.includes(`${kind} ${container}`) === true,
      triggerReadiness: () => {},
    },
    runtimeName: () => 'skiff',
    hostIps: () => options.hostIps ?? [],
    resizeConditions: () => [],
    podResources: () => ({}),
    now: () => options.now ?? start,
  };
}

export function statusOf(pod: Pod, has: RuntimePodStatus, options: Options = {}): PodStatus {
  const request = { pod, runtime: has, before: options.before, terminated: options.terminated === true };
  return generateStatus(generateDeps(options), request);
}

/** Status, reason and message of a condition in one line. */
export const condition = (status: PodStatus, type: string) => {
  const found = status.conditions?.find((each) => each.type === type);
  return [found?.status, found?.reason, found?.message].filter((each) => each !== undefined).join(' ');
};

export const two = { containers: [{ name: 'a' }, { name: 'b' }] };
export const inits = { initContainers: [{ name: 'i' }] };
export const sidecars = { initContainers: [{ name: 's', restartPolicy: 'Always' }] };
