/** Notices a node whose kubelet says nothing more, and forgets old events. */
import { formatTime } from '#contracts/kubernetes/meta.ts';
import type { CoreEvent, Lease, Node } from '#contracts/kubernetes/types.ts';
import type { ApiDeps } from '../verbs/deps.ts';
import type { Controller } from './controller.ts';
import { changeStored, removeStored } from './objects.ts';

/** Milliseconds without a renewed lease until a node counts as lost. */
const graceMs = 50_000;
/** Milliseconds that events are kept. */
const eventMs = 3600_000;
const watched = new Set(['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure']);

/** Sets the conditions of a silent node to Unknown. */
export function nodeLifecycle(deps: ApiDeps): Controller {
  return {
    name: 'node-lifecycle',
    watches: [],
    periodMs: 5_000,
    pass: async () => {
      for (const { object } of deps.store.list('nodes')) await judge(deps, object as Node);
    },
  };
}

async function judge(deps: ApiDeps, node: Node): Promise<void> {
  const { name, creationTimestamp } = node.metadata;
  const lease = deps.store.get('leases.coordination.k8s.io', { namespace: 'kube-node-lease', name })
    ?.object as Lease | undefined;
  const ready = node.status?.conditions?.find((each) => each.type === 'Ready');
  const times = [lease?.spec?.renewTime, ready?.lastHeartbeatTime, creationTimestamp].map(
    (time) => Date.parse(time ?? '') || 0,
  );
  if (deps.clock.now() - Math.max(...times) < graceMs || ready === undefined || ready.status === 'Unknown')
    return;
  const lastTransitionTime = formatTime(deps.clock.now());
  await changeStored<Node>(deps, 'nodes', node, (current) => ({
    ...current,
    status: {
      ...current.status,
      conditions: current.status?.conditions?.map((each) =>
        watched.has(each.type)
          ? {
              ...each,
              status: 'Unknown',
              reason: 'NodeStatusUnknown',
              message: 'Kubelet stopped posting node status.',
              lastTransitionTime,
            }
          : each,
      ),
    },
  }));
}

/** Removes events after an hour. */
export function eventExpiry(deps: ApiDeps): Controller {
  return {
    name: 'event-expiry',
    watches: [],
    periodMs: 60_000,
    pass: async () => {
      for (const { object } of deps.store.list('events')) {
        const event = object as CoreEvent;
        const times = [
          event.series?.lastObservedTime,
          event.lastTimestamp,
          event.eventTime,
          event.metadata.creationTimestamp,
        ];
        const last = Math.max(...times.map((time) => Date.parse(time ?? '') || 0));
        if (deps.clock.now() - last > eventMs) await removeStored(deps, 'events', event);
      }
    },
  };
}
