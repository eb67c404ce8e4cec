/** Limits of local ephemeral storage: of an emptyDir, a container, a pod. Who exceeds one goes at once. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import type { AnyContainer } from '../ports.ts';
import { amountOf, bytesText } from '../resources/amounts.ts';
import { ephemeralStorage, layerUsage, type PodUsage } from '../stats/pod-usage.ts';

/** Why a pod must go; undefined if it keeps its limits. The words are the original's. */
export function exceededLimit(usage: PodUsage): string | undefined {
  return emptyDirProblem(usage) ?? podProblem(usage) ?? containerProblem(usage);
}

function emptyDirProblem({ pod, volumes }: PodUsage): string | undefined {
  for (const { name, emptyDir } of pod.spec.volumes ?? []) {
    const limit = emptyDir?.sizeLimit;
    if (limit === undefined || amountOf(limit) === 0) continue;
    if ((volumes.get(name)?.bytes ?? 0) > amountOf(limit))
      return `Usage of EmptyDir volume "${name}" exceeds the limit "${limit}". `;
  }
  return undefined;
}

function podProblem(usage: PodUsage): string | undefined {
  const limit = podLimit(usage.pod);
  if (limit === 0 || ephemeralStorage(usage).bytes <= limit) return undefined;
  return `Pod ephemeral local storage usage exceeds the total limit of containers ${bytesText(limit)}. `;
}

/** What the containers that have a limit may use together, or the pod as a whole; 0 for no limit. */
function podLimit(pod: Pod): number {
  const own = pod.spec.resources?.limits?.['ephemeral-storage'];
  if (own !== undefined) return amountOf(own);
  const limitOf = ({ resources }: AnyContainer) => amountOf(resources?.limits?.['ephemeral-storage'] ?? 0);
  let sidecars = 0;
  let peak = 0;
  for (const container of pod.spec.initContainers ?? []) {
    if (container.restartPolicy === 'Always') sidecars += limitOf(container);
    else peak = Math.max(peak, sidecars + limitOf(container));
  }
  return Math.max(
    peak,
    pod.spec.containers.reduce((sum, each) => sum + limitOf(each), sidecars),
  );
}

function containerProblem(usage: PodUsage): string | undefined {
  for (const { name, stats, logs } of usage.containers) {
    const sidecars = (usage.pod.spec.initContainers ?? []).filter((each) => each.restartPolicy === 'Always');
    const spec = [...usage.pod.spec.containers, ...sidecars].find((container) => container.name === name);
    const limit = spec?.resources?.limits?.['ephemeral-storage'];
    if (limit === undefined) continue;
    if (layerUsage(stats).bytes + logs.bytes > amountOf(limit))
      return `Container ${name} exceeded its local ephemeral storage limit "${limit}". `;
  }
  return undefined;
}
