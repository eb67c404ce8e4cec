/** The row of a pod: what its status comes to in one word. */
import type { ContainerStatus, Pod } from '#contracts/kubernetes/types.ts';
import { age, orNone } from './cells.ts';

/** Cells of the columns Name, Ready, Status, Restarts, Age, IP, Node, Nominated Node, Readiness Gates. */
export function podRow(pod: Pod, now: number): unknown[] {
  const { spec, status } = pod;
  const regular = status?.containerStatuses ?? [];
  const sidecars = (spec.initContainers ?? [])
    .filter((each) => each.restartPolicy === 'Always')
    .map((each) => each.name);
  const sidecarStatuses = (status?.initContainerStatuses ?? []).filter((each) =>
    sidecars.includes(each.name),
  );
  const ready = [...regular, ...sidecarStatuses].filter(
    (each) => each.ready && each.state?.running !== undefined,
  ).length;
  const total = spec.containers.length + sidecars.length;
  return [
    pod.metadata.name,
    `${ready}/${total}`,
    podReason(pod),
    restarts([...regular, ...sidecarStatuses], status?.initContainerStatuses ?? [], pod, now),
    age(pod.metadata.creationTimestamp, now),
    orNone(status?.podIP),
    orNone(spec.nodeName),
    orNone(status?.nominatedNodeName),
    gates(pod),
  ];
}

function gates({ spec, status }: Pod): string {
  const wanted = spec.readinessGates ?? [];
  if (wanted.length === 0) return '<none>';
  const isTrue = (type: string) =>
    status?.conditions?.some((each) => each.type === type && each.status === 'True');
  return `${wanted.filter((gate) => isTrue(gate.conditionType)).length}/${wanted.length}`;
}

function restarts(statuses: ContainerStatus[], init: ContainerStatus[], pod: Pod, now: number): string {
  const initializing = pod.status?.conditions?.some(
    (each) => each.type === 'Initialized' && each.status !== 'True',
  );
  const counted = initializing === true ? init : statuses;
  const count = counted.reduce((sum, each) => sum + (each.restartCount ?? 0), 0);
  const ends = counted
    .map((each) => each.lastState?.terminated?.finishedAt)
    .filter((time) => time !== undefined);
  const last = ends.sort().at(-1);
  return count > 0 && last !== undefined ? `${count} (${age(last, now)} ago)` : String(count);
}

/** The word under STATUS. */
function podReason(pod: Pod): string {
  const { metadata, status } = pod;
  let reason = status?.reason || status?.phase || 'Unknown';
  const gated =
    status?.conditions?.find((each) => each.type === 'PodScheduled')?.reason === 'SchedulingGated';
  if (gated) reason = 'SchedulingGated';
  const initializing = initReason(pod);
  reason = initializing ?? containersReason(pod, reason);
  if (metadata.deletionTimestamp === undefined) return reason;
  if (status?.reason === 'NodeLost') return 'Unknown';
  return status?.phase === 'Succeeded' || status?.phase === 'Failed' ? reason : 'Terminating';
}

function initReason({ spec, status }: Pod): string | undefined {
  const containers = spec.initContainers ?? [];
  for (const [at, each] of (status?.initContainerStatuses ?? []).entries()) {
    const terminated = each.state?.terminated;
    const sidecar = containers.find((container) => container.name === each.name)?.restartPolicy === 'Always';
    if (terminated?.exitCode === 0 || (sidecar && each.started === true)) continue;
    if (terminated !== undefined) return `Init:${terminated.reason || exitWord(terminated)}`;
    const waiting = each.state?.waiting?.reason;
    if (waiting !== undefined && waiting !== '' && waiting !== 'PodInitializing') return `Init:${waiting}`;
    return `Init:${at}/${containers.length}`;
  }
  return undefined;
}

function exitWord({ signal, exitCode }: { signal?: number; exitCode: number }): string {
  return signal !== undefined && signal !== 0 ? `Signal:${signal}` : `ExitCode:${exitCode}`;
}

function containersReason({ status }: Pod, start: string): string {
  let reason = start;
  let running = false;
  for (const each of (status?.containerStatuses ?? []).toReversed()) {
    const { waiting, terminated, running: runs } = each.state ?? {};
    if (waiting?.reason) reason = waiting.reason;
    else if (terminated !== undefined) reason = terminated.reason || exitWord(terminated);
    else if (each.ready && runs !== undefined) running = true;
  }
  if (reason !== 'Completed' || !running) return reason;
  const ready = status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True');
  return ready ? 'Running' : 'NotReady';
}
