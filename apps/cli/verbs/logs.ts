/** `skiff logs`: what a pod's containers printed. */

import { existsSync } from 'node:fs';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Context } from '../context.ts';
import { notRunning } from '../node/cri.ts';
import { kubeletSocket, openKubelet, readPods } from '../node/kubelet.ts';
import { copyTo } from '../output/copy.ts';
import { prefixer } from '../output/prefix.ts';

interface Options {
  follow?: boolean;
  previous?: boolean;
  timestamps?: boolean;
  tail?: string;
  since?: string;
}

/** Prints the logs of one container, or of all of a pod's with a prefix each. */
export async function run(
  context: Context,
  podName: string,
  containerName: string | undefined,
  options: Options,
): Promise<void> {
  if (!existsSync(kubeletSocket(context))) throw notRunning(context);
  const pod = findPod(await readPods(context), podName);
  const containers = chooseContainers(pod, containerName);
  const query = queryOf(options);
  const jobs = containers.map((name, index) => {
    const prefix = containers.length > 1 ? context.styles.nth(index, `${name} | `) : '';
    return printOne(context, pod, name, query, prefix);
  });
  await Promise.all(jobs);
}

/** Finds a pod by name or namespace/name. @throws SkiffError NOT_FOUND */
function findPod(pods: Pod[], name: string): Pod {
  const found = pods.filter(
    ({ metadata }) => metadata?.name === name || `${metadata?.namespace}/${metadata?.name}` === name,
  );
  if (found.length > 1) {
    const choices = found.map((each) => `${each.metadata?.namespace}/${each.metadata?.name}`);
    throw new SkiffError('INVALID_ARGUMENT', `"${name}" could be any of: ${choices.join(', ')}`);
  }
  if (found[0] === undefined)
    throw new SkiffError('NOT_FOUND', `there is no pod "${name}"; \`skiff pods\` lists them`);
  return found[0];
}

function chooseContainers(pod: Pod, wanted: string | undefined): string[] {
  const regular = pod.spec?.containers.map((each) => each.name) ?? [];
  if (wanted === undefined) return regular;
  const all = [...regular, ...(pod.spec?.initContainers ?? []).map((each) => each.name)];
  if (all.includes(wanted)) return [wanted];
  throw new SkiffError(
    'NOT_FOUND',
    `pod "${pod.metadata?.name}" has no container "${wanted}"; it has: ${all.join(', ')}`,
  );
}

function queryOf(options: Options): string {
  const query = new URLSearchParams();
  if (options.follow) query.set('follow', 'true');
  if (options.previous) query.set('previous', 'true');
  if (options.timestamps) query.set('timestamps', 'true');
  if (options.tail !== undefined) query.set('tailLines', options.tail);
  if (options.since !== undefined) query.set('sinceSeconds', String(parseDuration(options.since)));
  return query.size > 0 ? `?${query}` : '';
}

/** Parses `90`, `30s`, `5m`, `2h30m` to seconds. @throws SkiffError INVALID_ARGUMENT */
export function parseDuration(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  const parts = [...text.matchAll(/(\d+)([smhd])/g)];
  if (parts.length === 0 || parts.map((each) => each[0]).join('') !== text) {
    throw new SkiffError('INVALID_ARGUMENT', `"${text}" is not a duration such as 30s, 5m or 2h30m`);
  }
  const seconds: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 };
  return parts.reduce((sum, [, count, unit = 's']) => sum + Number(count) * (seconds[unit] ?? 1), 0);
}

async function printOne(
  context: Context,
  pod: Pod,
  container: string,
  query: string,
  prefix: string,
): Promise<void> {
  await using kubelet = openKubelet(context);
  const { namespace, name } = pod.metadata ?? {};
  const body = await kubelet.get(
    `/containerLogs/${namespace}/${name}/${container}${query}`,
    context.interrupted,
  );
  try {
    await copyTo(prefix === '' ? body : body.compose(prefixer(prefix)), context.out);
  } catch (error) {
    if (!context.interrupted.aborted) throw error;
  }
}
