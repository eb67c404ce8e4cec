/** Finds what a person means by a name: a container by id or name, a pod by name, `namespace/pod`. */
import type { CriClient } from '#contracts/cri/client.ts';
import { type Container, ContainerState, type PodSandbox } from '#contracts/cri/runtime_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { Label } from './labels.ts';

/** A pod or a container of the runtime. */
export type Target =
  | { kind: 'container'; container: Container }
  | { kind: 'pod'; sandboxes: PodSandbox[]; containers: Container[] };

/**
 * Finds a container (unique id prefix) or a pod (name, namespace/name, sandbox id prefix).
 *
 * @throws SkiffError NOT_FOUND, or INVALID_ARGUMENT if the name fits several.
 */
export async function findTarget(cri: CriClient, name: string): Promise<Target> {
  const [{ containers }, { items }] = await Promise.all([
    cri.runtime.listContainers({}),
    cri.runtime.listPodSandbox({}),
  ]);
  const sandboxes = items.filter((each) => isPod(each.labels, name) || each.metadata?.name === name);
  if (sandboxes.length > 0) return { kind: 'pod', ...ofOnePod(name, sandboxes, containers) };
  const byId = containers.filter((each) => each.id.startsWith(name) && name.length >= 3);
  if (byId.length === 1 && byId[0] !== undefined) return { kind: 'container', container: byId[0] };
  if (byId.length > 1)
    throw ambiguous(
      name,
      byId.map((each) => each.id.slice(0, 13)),
    );
  const bySandboxId = items.filter((each) => each.id.startsWith(name) && name.length >= 3);
  if (bySandboxId.length === 1) return { kind: 'pod', ...ofOnePod(name, bySandboxId, containers) };
  const named = containers.filter((each) => each.metadata?.name === name);
  const live = named.filter((each) => each.state === ContainerState.CONTAINER_RUNNING);
  const chosen = live.length > 0 ? live : named;
  if (chosen.length > 1)
    throw ambiguous(
      name,
      chosen.map((each) => each.id.slice(0, 13)),
    );
  if (chosen[0] !== undefined) return { kind: 'container', container: chosen[0] };
  throw new SkiffError('NOT_FOUND', `there is no pod or container "${name}"; \`skiff ps -a\` lists them`);
}

function isPod(labels: Record<string, string>, name: string): boolean {
  const pod = labels[Label.podName];
  return pod !== undefined && (pod === name || `${labels[Label.podNamespace]}/${pod}` === name);
}

function ofOnePod(name: string, sandboxes: PodSandbox[], containers: Container[]) {
  const uids = new Set(sandboxes.map((each) => each.metadata?.uid));
  if (uids.size > 1) {
    throw ambiguous(
      name,
      sandboxes.map((each) => `${each.metadata?.namespace}/${each.metadata?.name}`),
    );
  }
  const ids = new Set(sandboxes.map((each) => each.id));
  return { sandboxes, containers: containers.filter((each) => ids.has(each.podSandboxId)) };
}

function ambiguous(name: string, choices: string[]): SkiffError {
  return new SkiffError(
    'INVALID_ARGUMENT',
    `"${name}" could be any of: ${choices.join(', ')}; say more of it`,
  );
}

/**
 * The container of a pod to work on: the named one, else the first by creation that runs.
 *
 * @throws SkiffError NOT_FOUND with the names that there are.
 */
export function chooseContainer(target: Target, wanted: string | undefined): Container {
  if (target.kind === 'container') return target.container;
  const newestFirst = [...target.containers].sort((a, b) => Number(b.createdAt - a.createdAt));
  const names = [...new Set(newestFirst.map((each) => each.metadata?.name ?? ''))].reverse();
  const running = newestFirst.filter((each) => each.state === ContainerState.CONTAINER_RUNNING);
  const found =
    wanted === undefined
      ? (running.at(-1) ?? newestFirst[0])
      : newestFirst.find((each) => each.metadata?.name === wanted);
  if (found !== undefined) return found;
  const has = names.length > 0 ? `it has: ${names.join(', ')}` : 'it has none yet';
  throw new SkiffError('NOT_FOUND', `the pod has no container "${wanted ?? ''}"; ${has}`);
}
