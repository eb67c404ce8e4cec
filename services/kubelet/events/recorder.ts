/**
 * Events, with the original's aggregation: the same event counts up instead of repeating, many similar ones
 * become one, and a flood from one object is cut (client-go's EventCorrelator).
 */
import type { CoreEvent, Pod } from '#contracts/kubernetes/types.ts';
import type { Logger } from '#foundation/base/log.ts';
import { fieldPath } from '../pods/containers.ts';
import { nameOf, namespaceOf, uidOf } from '../pods/identity.ts';
import type { EventRecorder } from '../ports.ts';
import { timeText } from '../status/container-state.ts';
import { type Correlated, createCorrelator, type EventObject } from './correlator.ts';

/** Where events go: the API, a log, a test. Never throws; what cannot be kept is lost. */
export interface EventSink {
  /** A new event, or one seen before whose count grew. */
  record(event: CoreEvent, isUpdate: boolean): void;
}

export interface EventRecorderDeps {
  nodeName: string;
  sinks: readonly EventSink[];
  now(): number;
  logger: Logger;
}

export function createEventRecorder(deps: EventRecorderDeps): EventRecorder {
  const correlator = createCorrelator(deps.now);
  const record = (object: EventObject, type: 'Normal' | 'Warning', reason: string, message: string) => {
    const seen = correlator.correlate({ object, type, reason, message });
    if (seen === undefined) return;
    const event = toEvent(deps, object, type, reason, seen);
    const { namespace, name } = object;
    deps.logger.info({ event: reason, type, namespace, name, message: seen.message }, 'Event');
    for (const sink of deps.sinks) sink.record(event, seen.count > 1);
  };
  return {
    pod(pod, type, reason, message, options) {
      record(podObject(pod, options?.container), type, reason, message);
    },
    node(type, reason, message) {
      record({ kind: 'Node', name: deps.nodeName, uid: deps.nodeName }, type, reason, message);
    },
  };
}

function podObject(pod: Pod, container: string | undefined): EventObject {
  return {
    kind: 'Pod',
    namespace: namespaceOf(pod),
    name: nameOf(pod),
    uid: uidOf(pod),
    ...(container === undefined ? {} : { fieldPath: fieldPath(pod, container) }),
  };
}

function toEvent(
  { nodeName }: EventRecorderDeps,
  object: EventObject,
  type: string,
  reason: string,
  seen: Correlated,
): CoreEvent {
  const namespace = object.namespace ?? 'default';
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: seen.name, namespace },
    involvedObject: { apiVersion: 'v1', ...object },
    type,
    reason,
    message: seen.message,
    source: { component: 'kubelet', host: nodeName },
    firstTimestamp: timeText(seen.first),
    lastTimestamp: timeText(seen.last),
    count: seen.count,
    reportingComponent: 'kubelet',
    reportingInstance: nodeName,
  };
}
