/** The table of pods that `up` and `pods` show: kubectl's columns and its words for a pod's status. */
import type { ContainerStatus, Pod } from '#contracts/kubernetes/types.ts';
import type { Styles } from './styles.ts';
import { table } from './table.ts';
import { age } from './units.ts';

/** What a table shows of a pod. */
export interface PodRow {
  name: string;
  /** `1/2`. */
  ready: string;
  /** Whether all containers are ready. */
  isReady: boolean;
  status: string;
  restarts: number;
  ip: string;
  /** Milliseconds since it was created. */
  age: number;
}

/** What to show of a pod. */
export function podRow(pod: Pod): PodRow {
  const statuses = pod.status?.containerStatuses ?? [];
  const total = pod.spec?.containers.length ?? 0;
  const ready = statuses.filter((each) => each.ready).length;
  const created = Date.parse(
    pod.metadata?.creationTimestamp ?? pod.status?.startTime ?? new Date().toISOString(),
  );
  const namespace = pod.metadata?.namespace ?? 'default';
  const name = pod.metadata?.name ?? '';
  return {
    name: namespace === 'default' ? name : `${namespace}/${name}`,
    ready: `${ready}/${total}`,
    isReady: total > 0 && ready === total,
    status: statusWord(pod),
    restarts: statuses.reduce((sum, each) => sum + each.restartCount, 0),
    ip: pod.status?.podIP ?? '-',
    age: Date.now() - created,
  };
}

/** The word that kubectl prints for a pod: the most telling reason of its containers, else its phase. */
export function statusWord(pod: Pod): string {
  if (pod.metadata?.deletionTimestamp !== undefined) return 'Terminating';
  const { status } = pod;
  const initWord = initStatusWord(pod);
  if (initWord !== undefined) return initWord;
  const reasons = (status?.containerStatuses ?? []).map(reasonOf).filter((each) => each !== undefined);
  const telling = reasons.find((each) => each !== 'Completed') ?? reasons[0];
  const running = (status?.containerStatuses ?? []).some((each) => each.state?.running !== undefined);
  if (telling !== undefined && !(telling === 'Completed' && running)) return telling;
  return status?.reason ?? status?.phase ?? 'Pending';
}

/** `Init:1/2`, `Init:CrashLoopBackOff`; undefined once all init containers have done their part. */
function initStatusWord(pod: Pod): string | undefined {
  const statuses = pod.status?.initContainerStatuses ?? [];
  const specs = pod.spec?.initContainers ?? [];
  const isDone = (each: ContainerStatus) => {
    const sidecar = specs.find((spec) => spec.name === each.name)?.restartPolicy === 'Always';
    return sidecar ? each.started === true : each.state?.terminated?.exitCode === 0;
  };
  const done = statuses.filter(isDone).length;
  if (specs.length === 0 || done === specs.length) return undefined;
  const current = statuses.find((each) => !isDone(each));
  const reason = current === undefined ? undefined : reasonOf(current);
  const plain = reason === undefined || reason === 'PodInitializing' || reason === 'ContainerCreating';
  return plain ? `Init:${done}/${specs.length}` : `Init:${reason}`;
}

function reasonOf(status: ContainerStatus): string | undefined {
  const waiting = status.state?.waiting?.reason;
  if (waiting !== undefined) return waiting;
  const ended = status.state?.terminated;
  if (ended === undefined) return undefined;
  if (ended.reason !== undefined && ended.reason !== '') return ended.reason;
  return ended.signal === undefined ? `ExitCode:${ended.exitCode}` : `Signal:${ended.signal}`;
}

/** Lays out rows with kubectl's headings. */
export function podTable(styles: Styles, rows: PodRow[]): string[] {
  const colour = (row: PodRow) => {
    if (row.isReady || row.status === 'Completed') return styles.green(row.status);
    return /Error|BackOff|Fail|Evicted|Unknown|Never|Invalid/.test(row.status)
      ? styles.red(row.status)
      : styles.yellow(row.status);
  };
  return table(
    ['NAME', 'READY', 'STATUS', 'RESTARTS', 'IP', 'AGE'],
    rows.map((row) => [row.name, row.ready, colour(row), String(row.restarts), row.ip, age(row.age)]),
  );
}
