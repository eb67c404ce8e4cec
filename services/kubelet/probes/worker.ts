/**
 * One worker probes one container with one kind of probe. `tick` is one round and holds the original's rules;
 * `run` calls it on a fixed beat that does not drift however long the rounds take.
 *
 * ```
 * waiting -> probing -> settled (result set after its threshold) -> probing ...
 *              |
 *              +-> on hold: liveness failed or startup settled; until the next container
 * ```
 */
import type { ContainerStatus, Pod, PodStatus, Probe } from '#contracts/kubernetes/types.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { AnyContainer, PodStatusReader, ProbeKind, ProbeResult } from '../ports.ts';
import type { Attempt } from './attempt.ts';
import type { Results } from './results.ts';

/** What a result is before the first probe of a container. */
const initialResults: Record<ProbeKind, ProbeResult> = {
  liveness: 'success',
  readiness: 'failure',
  startup: 'unknown',
};

/** What a worker is given. */
export interface WorkerDeps {
  kind: ProbeKind;
  pod: Pod;
  container: AnyContainer;
  probe: Probe;
  statuses: PodStatusReader;
  results: Results;
  attempt: Attempt;
  clock: Clock;
  /** Whether the pod is being ended, which stops liveness and startup probing. */
  terminating: () => boolean;
}

/** A worker; its rounds are driven by `run.ts`. */
export interface Worker {
  /** One round. @returns whether there will be another. */
  tick(signal: AbortSignal): Promise<boolean>;
  /** Forgets the result of the container it last saw. */
  forget(): void;
}

/** Makes a worker. */
export function createWorker(deps: WorkerDeps): Worker {
  const { kind, pod, container, probe, results } = deps;
  const owner = { podUid: pod.metadata.uid ?? '', container: container.name };
  let containerId = '';
  let onHold = false;
  let run: { result: ProbeResult; length: number } | undefined;

  const adopt = (id: string) => {
    if (containerId !== '') results.remove(containerId);
    containerId = id;
    results.set(id, initialResults[kind], owner);
    onHold = false;
    run = undefined;
  };
  const settle = (result: 'success' | 'failure') => {
    run = run?.result === result ? { result, length: run.length + 1 } : { result, length: 1 };
    const threshold = result === 'failure' ? (probe.failureThreshold ?? 3) : (probe.successThreshold ?? 1);
    if (run.length < threshold) return;
    results.set(containerId, result, owner);
    if (kind === 'startup' || (kind === 'liveness' && result === 'failure')) {
      // The container will be restarted, or has started: nothing to ask until there is another.
      onHold = true;
      run = undefined;
    }
  };
  return {
    async tick(signal) {
      const status = deps.statuses.status(owner.podUid);
      if (status === undefined) return true;
      if (status.phase === 'Failed' || status.phase === 'Succeeded') return false;
      const current = statusOf(status, container.name);
      const id = criId(current?.containerID);
      if (current === undefined || id === '') return true;
      if (id !== containerId) adopt(id);
      if (onHold) return true;
      if (current.state?.running === undefined) {
        results.set(containerId, 'failure', owner);
        return current.state?.terminated === undefined || mayRestart(pod, container);
      }
      if (kind !== 'readiness' && deps.terminating()) {
        // Nothing may restart a container that is being stopped.
        results.set(containerId, 'success', owner);
        return false;
      }
      if (!due(deps, current)) return true;
      const result = await deps.attempt(
        { pod, container, probe, containerId, podIp: status.podIP ?? '' },
        kind,
        signal,
      );
      if (result !== undefined && !signal.aborted) settle(result);
      return true;
    },
    forget() {
      if (containerId !== '') results.remove(containerId);
    },
  };
}

/** Whether this probe's time has come: its delay is over, and startup has passed or is what it asks. */
function due({ kind, probe, clock }: WorkerDeps, current: ContainerStatus): boolean {
  const startedAt = Date.parse(current.state?.running?.startedAt ?? '');
  const seconds = Math.trunc((clock.now() - startedAt) / 1000);
  if (seconds < (probe.initialDelaySeconds ?? 0)) return false;
  return current.started === true ? kind !== 'startup' : kind === 'startup';
}

function statusOf(status: PodStatus, container: string): ContainerStatus | undefined {
  const all = [...(status.containerStatuses ?? []), ...(status.initContainerStatuses ?? [])];
  return all.find((each) => each.name === container);
}

/** `containerd://abc` in the status is `abc` for the CRI. */
function criId(containerId: string | undefined): string {
  return containerId?.replace(/^[^:]*:\/\//, '') ?? '';
}

/** Whether a container that ended may come again, by its own policy or the pod's. */
function mayRestart(pod: Pod, container: AnyContainer): boolean {
  const own = 'restartPolicy' in container ? container.restartPolicy : undefined;
  return (own ?? pod.spec.restartPolicy ?? 'Always') !== 'Never';
}
