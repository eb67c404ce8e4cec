/** The scheduler of one node: a pod fits, or its condition and an event say why not. */
import { formatMicroTime, formatTime, generateName } from '#contracts/kubernetes/meta.ts';
import type { CoreEvent, Node, Pod } from '#contracts/kubernetes/types.ts';
import { bindPod } from '../pods/binding.ts';
import type { ApiDeps } from '../verbs/deps.ts';
import type { Controller } from './controller.ts';
import { unfit } from './fit.ts';
import { changeStored, ensureObject } from './objects.ts';

const schedulerName = 'default-scheduler';

/** Binds pods to nodes, in order of priority and age. */
export function scheduling(deps: ApiDeps): Controller {
  return {
    name: 'scheduler',
    watches: ['pods', 'nodes'],
    concerns: (resource, { type, current }) => {
      const pod = current.object as Pod;
      return resource === 'nodes' || type === 'DELETED' || isWaiting(pod) || isOver(pod);
    },
    periodMs: 30_000,
    pass: async () => {
      const pods = deps.store.list('pods').map(({ object }) => object as Pod);
      const waiting = pods.filter(isWaiting).sort(byPriority);
      if (waiting.length === 0) return;
      const nodes = deps.store.list('nodes').map(({ object }) => object as Node);
      const placed = pods.filter((pod) => pod.spec.nodeName && !isOver(pod));
      // Decided one after another, written together.
      const writes = waiting.map((pod) => place(deps, pod, nodes, placed));
      await Promise.all(writes);
    },
  };
}

function isOver({ status }: Pod): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed';
}

function isWaiting(pod: Pod): boolean {
  const { spec, metadata } = pod;
  const ours = (spec.schedulerName ?? schedulerName) === schedulerName;
  return ours && !spec.nodeName && metadata.deletionTimestamp === undefined && !isOver(pod);
}

function byPriority(a: Pod, b: Pod): number {
  const [first, second] = [a.spec.priority ?? 0, b.spec.priority ?? 0];
  if (first !== second) return second - first;
  return (a.metadata.creationTimestamp ?? '') < (b.metadata.creationTimestamp ?? '') ? -1 : 1;
}

async function place(deps: ApiDeps, pod: Pod, nodes: readonly Node[], placed: Pod[]): Promise<void> {
  if ((pod.spec.schedulingGates ?? []).length > 0) {
    await refuse(deps, pod, 'SchedulingGated', 'Scheduling is blocked due to non-empty scheduling gates');
    return;
  }
  const reasons = new Map<string, number>();
  for (const node of nodes) {
    const others = placed.filter((each) => each.spec.nodeName === node.metadata.name);
    const why = unfit(pod, node, others);
    if (why.length === 0) {
      const name = node.metadata.name;
      placed.push({ ...pod, spec: { ...pod.spec, nodeName: name } });
      const { namespace } = pod.metadata;
      await bindPod(deps, { namespace, name: pod.metadata.name }, name);
      await record(
        deps,
        pod,
        'Normal',
        'Scheduled',
        `Successfully assigned ${namespace}/${pod.metadata.name} to ${name}`,
      );
      return;
    }
    for (const each of why) reasons.set(each, (reasons.get(each) ?? 0) + 1);
  }
  const list = [...reasons].map(([reason, count]) => `${count} ${reason}`).sort();
  const none =
    nodes.length === 0
      ? 'no nodes available to schedule pods'
      : `0/${nodes.length} nodes are available: ${list.join(', ')}.`;
  await refuse(deps, pod, 'Unschedulable', none);
}

/** Says once in the pod's condition, and in an event, why it waits. */
async function refuse(deps: ApiDeps, pod: Pod, reason: string, message: string): Promise<void> {
  const before = pod.status?.conditions?.find((each) => each.type === 'PodScheduled');
  if (before?.reason === reason && before.message === message) return;
  const time = formatTime(deps.clock.now());
  await changeStored<Pod>(deps, 'pods', pod, (current) => {
    const others = (current.status?.conditions ?? []).filter((each) => each.type !== 'PodScheduled');
    const condition = {
      type: 'PodScheduled',
      status: 'False',
      reason,
      message,
      lastTransitionTime: before?.lastTransitionTime ?? time,
    };
    return { ...current, status: { ...current.status, conditions: [...others, condition] } };
  });
  if (reason === 'Unschedulable') await record(deps, pod, 'Warning', 'FailedScheduling', message);
}

async function record(deps: ApiDeps, pod: Pod, type: string, reason: string, message: string): Promise<void> {
  const { namespace, name, uid, resourceVersion } = pod.metadata;
  const event: CoreEvent = {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: generateName(`${name.slice(0, 50)}.`), namespace },
    involvedObject: { apiVersion: 'v1', kind: 'Pod', name, namespace, uid, resourceVersion },
    type,
    reason,
    message,
    action: 'Binding',
    eventTime: formatMicroTime(deps.clock.now()),
    reportingComponent: schedulerName,
    reportingInstance: schedulerName,
    source: {},
  };
  await ensureObject(deps, 'events', event);
}
