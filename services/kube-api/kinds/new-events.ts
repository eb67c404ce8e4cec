/**
 * events.k8s.io/v1: the events of the core group with other names for most fields. What one group writes the other
 * reads. https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
 */
import type { CoreEvent, KubeObject, NewEvent } from '#contracts/kubernetes/types.ts';
import type { Strategy } from './strategy.ts';

/** Fields of a core event, and what they are called in the new group. */
const names = {
  involvedObject: 'regarding',
  message: 'note',
  reportingComponent: 'reportingController',
  source: 'deprecatedSource',
  firstTimestamp: 'deprecatedFirstTimestamp',
  lastTimestamp: 'deprecatedLastTimestamp',
  count: 'deprecatedCount',
} as const;
const toNew = new Map<string, string>(Object.entries(names));
const toCore = new Map<string, string>([...toNew].map(([core, other]) => [other, core]));

function renamed(object: object, to: ReadonlyMap<string, string>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).map(([field, value]) => [to.get(field) ?? field, value]));
}

/** As the new group has it. */
export function newEvent(event: CoreEvent): KubeObject {
  return { ...renamed(event, toNew), apiVersion: 'events.k8s.io/v1' } as unknown as KubeObject;
}

/** As the core group has it, which is how events are stored. */
export function coreEvent(event: NewEvent): KubeObject {
  // A core event always says what it is about.
  return { involvedObject: {}, ...renamed(event, toCore), apiVersion: 'v1' } as unknown as KubeObject;
}

export const newEventStrategy: Strategy = {
  createOnUpdate: true,
  view: { of: 'events', shown: newEvent, stored: coreEvent },
  selectable: [
    'regarding.kind',
    'regarding.namespace',
    'regarding.name',
    'regarding.uid',
    'regarding.apiVersion',
    'regarding.resourceVersion',
    'regarding.fieldPath',
    'reason',
    'reportingController',
    'type',
  ],
};
