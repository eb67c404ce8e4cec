/** `skiff ps`: the containers of this node. */
import { type Container, ContainerState } from '#contracts/cri/runtime_pb.ts';
import type { Context } from '../context.ts';
import { connectNode } from '../node/cri.ts';
import { readPods } from '../node/kubelet.ts';
import { Label, podDisplayName, restartCountAnnotation } from '../node/labels.ts';
import { table } from '../output/table.ts';
import { age } from '../output/units.ts';

interface Row {
  id: string;
  pod: string;
  name: string;
  image: string;
  state: string;
  /** Undefined when no kubelet says. */
  ready: boolean | undefined;
  restarts: number;
  /** Milliseconds since the epoch. */
  createdAt: number;
}

/** Prints containers, newest first. */
export async function run(context: Context, options: { all?: boolean; json?: boolean }): Promise<void> {
  using cri = connectNode(context, 'ps');
  const [{ containers }, readiness] = await Promise.all([
    cri.runtime.listContainers({}),
    readReadiness(context),
  ]);
  const shown = containers
    .filter((each) => options.all === true || each.state === ContainerState.CONTAINER_RUNNING)
    .sort((a, b) => Number(b.createdAt - a.createdAt))
    .map((each) => rowOf(each, readiness));
  if (options.json === true) context.out.write(`${JSON.stringify(shown)}\n`);
  else context.out.write(`${present(context, shown).join('\n')}\n`);
}

/** Which container ids the kubelet calls ready. */
async function readReadiness(context: Context): Promise<Map<string, boolean>> {
  const statuses = (await readPods(context)).flatMap((pod) => [
    ...(pod.status?.containerStatuses ?? []),
    ...(pod.status?.initContainerStatuses ?? []),
  ]);
  return new Map(statuses.map((each) => [each.containerID?.split('://')[1] ?? '', each.ready === true]));
}

const states: Record<number, string> = {
  [ContainerState.CONTAINER_CREATED]: 'Created',
  [ContainerState.CONTAINER_RUNNING]: 'Running',
  [ContainerState.CONTAINER_EXITED]: 'Exited',
};

function rowOf(container: Container, readiness: Map<string, boolean>): Row {
  return {
    id: container.id,
    pod: podDisplayName(container.labels),
    name: container.labels[Label.container] ?? container.metadata?.name ?? '',
    image: container.image?.userSpecifiedImage || container.image?.image || container.imageRef,
    state: states[container.state] ?? 'Unknown',
    ready: readiness.get(container.id),
    restarts: Number(container.annotations[restartCountAnnotation] ?? container.metadata?.attempt ?? 0),
    createdAt: Number(container.createdAt / 1_000_000n),
  };
}

function present(context: Context, rows: Row[]): string[] {
  const { styles } = context;
  const ready = (row: Row) => {
    if (row.ready === undefined) return '-';
    return row.ready ? styles.green('Ready') : styles.yellow('No');
  };
  return table(
    ['CONTAINER', 'POD', 'NAME', 'IMAGE', 'STATE', 'READY', 'RESTARTS', 'AGE'],
    rows.map((row) => [
      row.id.slice(0, 13),
      row.pod,
      row.name,
      row.image,
      row.state,
      ready(row),
      String(row.restarts),
      age(Date.now() - row.createdAt),
    ]),
  );
}
