/** Limits of local ephemeral storage: of an emptyDir, a container, a pod. Who exceeds one goes at once. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { amountOf } from '../resources/amounts.ts';
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
  if (limit === undefined || ephemeralStorage(usage).bytes <= limit) return undefined;
  return `Pod ephemeral local storage usage exceeds the total limit of containers ${limit}. `;
}

/** Only where every container has a limit. */
function podLimit(pod: Pod): number | undefined {
  let sum = 0;
  for (const { resources } of pod.spec.containers) {
    const limit = resources?.limits?.['ephemeral-storage'];
    if (limit === undefined) return undefined;
    sum += amountOf(limit);
  }
  return sum;
}

function containerProblem(usage: PodUsage): string | undefined {
  for (const { name, stats, logs } of usage.containers) {
    const spec = usage.pod.spec.containers.find((container) => container.name === name);
    const limit = spec?.resources?.limits?.['ephemeral-storage'];
    if (limit === undefined) continue;
    if (layerUsage(stats).bytes + logs.bytes > amountOf(limit))
      return `Container ${name} exceeded its local ephemeral storage limit "${limit}". `;
  }
  return undefined;
}
