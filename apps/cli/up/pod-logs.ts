/** Follows the logs of all containers of a pod, each line with a coloured prefix, across restarts. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import type { Context } from '../context.ts';
import { openKubelet } from '../node/kubelet.ts';
import { copyTo } from '../output/copy.ts';
import { prefixer } from '../output/prefix.ts';

/** Milliseconds between a log's end and the next look for one: a restarted container has a new log. */
const reopenMs = 300;

/** Prints until `signal` aborts. */
export async function followLogs(context: Context, pods: readonly Pod[], signal: AbortSignal): Promise<void> {
  const containers = pods.flatMap((pod) =>
    [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])].map((each) => ({
      pod,
      name: each.name,
    })),
  );
  const labels = containers.map(({ pod, name }) =>
    pods.length > 1 ? `${pod.metadata?.name}/${name}` : name,
  );
  const width = Math.max(0, ...labels.map((each) => each.length));
  const jobs = containers.map(({ pod, name }, index) => {
    const prefix = context.styles.nth(index, `${(labels[index] ?? '').padEnd(width)} | `);
    return followOne(context, pod, name, prefix, signal);
  });
  await Promise.all(jobs);
}

async function followOne(
  context: Context,
  pod: Pod,
  container: string,
  prefix: string,
  signal: AbortSignal,
): Promise<void> {
  const path = `/containerLogs/${pod.metadata?.namespace ?? 'default'}/${pod.metadata?.name}/${container}`;
  let since: string | undefined;
  while (!signal.aborted) {
    const query = `?follow=true${since === undefined ? '' : `&sinceTime=${since}`}`;
    since = undefined;
    try {
      await using kubelet = openKubelet(context);
      const body = await kubelet.get(`${path}${query}`, signal);
      await copyTo(body.compose(prefixer(prefix), { signal }), context.out);
      since = new Date().toISOString();
    } catch {
      // Not started yet, or the pod is going: the pods' table says which.
    }
    await new Promise((resolve) => setTimeout(resolve, reopenMs));
  }
}
