/** One verdict on a container: up to three tries where the kubelet itself stumbled, events and counters. */
import { messageOf } from '#foundation/base/errors.ts';
import type { EventRecorder, ProbeKind } from '../ports.ts';
import type { Outcome, Prober, ProbeTarget } from './outcome.ts';

/** Tries before a probe that cannot be run is given up for this round. */
const maxTries = 3;

/** Probes once; undefined if there was no verdict, which leaves everything as it was. */
export type Attempt = (
  target: ProbeTarget,
  kind: ProbeKind,
  signal: AbortSignal,
) => Promise<'success' | 'failure' | undefined>;

/** Counts probes: prober_probe_total's labels. */
export type ProbeCounter = (labels: {
  probe_type: string;
  result: string;
  container: string;
  pod: string;
  namespace: string;
  pod_uid: string;
}) => void;

/** Makes the attempt over a prober. */
export function createAttempt(deps: {
  prober: Prober;
  events: Pick<EventRecorder, 'pod'>;
  count: ProbeCounter;
}): Attempt {
  return async (target, kind, signal) => {
    const outcome = await tryThrice(deps.prober, target, signal);
    if (signal.aborted) return undefined;
    report(deps, target, kind, outcome);
    if ('error' in outcome) return undefined;
    return outcome.result === 'failure' ? 'failure' : 'success';
  };
}

async function tryThrice(
  prober: Prober,
  target: ProbeTarget,
  signal: AbortSignal,
): Promise<Outcome | { error: unknown }> {
  for (let tries = 1; ; tries++) {
    try {
      return await prober(target, signal);
    } catch (error) {
      if (tries === maxTries || signal.aborted) return { error };
    }
  }
}

function report(
  deps: { events: Pick<EventRecorder, 'pod'>; count: ProbeCounter },
  target: ProbeTarget,
  kind: ProbeKind,
  outcome: Outcome | { error: unknown },
): void {
  const { pod, container } = target;
  const noun = `${kind[0]?.toUpperCase()}${kind.slice(1)}`;
  const result = 'error' in outcome ? 'unknown' : outcome.result === 'failure' ? 'failed' : 'successful';
  deps.count({
    probe_type: noun,
    result,
    container: container.name,
    pod: pod.metadata.name,
    namespace: pod.metadata.namespace ?? 'default',
    pod_uid: pod.metadata.uid ?? '',
  });
  const say = (reason: string, message: string) =>
    deps.events.pod(pod, 'Warning', reason, message, { container: container.name });
  if ('error' in outcome)
    say('Unhealthy', `${noun} probe errored and resulted in unknown state: ${messageOf(outcome.error)}`);
  else if (outcome.result === 'failure') say('Unhealthy', `${noun} probe failed: ${outcome.output}`);
  else if (outcome.result === 'warning') say('ProbeWarning', `${noun} probe warning: ${outcome.output}`);
}
