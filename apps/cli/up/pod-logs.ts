/** Follows the logs of all containers of a pod, each line with a coloured prefix, across restarts. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import type { Context } from '../context.ts';
import { openKubelet } from '../node/kubelet.ts';
import { copyTo } from '../output/copy.ts';
import { prefixer } from '../output/prefix.ts';

/** Milliseconds between a log's end and the next look for one: a restarted container has a new log. */
const reopenMs = 300;

/** Until when to follow. */
export interface LogSpan {
  /** Aborts to stop at once. */
  signal: AbortSignal;
  /** Aborts when the pods have ended: what they wrote is read to its end then. */
  ended: AbortSignal;
}

/** Prints until all was read of pods that have ended, or `signal` aborts. */
export async function followLogs(context: Context, pods: readonly Pod[], span: LogSpan): Promise<void> {
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
    return followOne(context, pod, name, prefix, span);
  });
  await Promise.all(jobs);
}

async function followOne(
  context: Context,
  pod: Pod,
  container: string,
  prefix: string,
  { signal, ended }: LogSpan,
): Promise<void> {
  const path = `/containerLogs/${pod.metadata?.namespace ?? 'default'}/${pod.metadata?.name}/${container}`;
  let since: string | undefined;
  for (let isLast = false; !isLast && !signal.aborted; ) {
    // Looked at before the log is opened: a container may end at once, before anybody has read anything of it.
    isLast = ended.aborted;
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
    if (!isLast) await pause(reopenMs, ended);
  }
}

/** Waits, but not beyond the signal. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    if (!signal.aborted) signal.addEventListener('abort', wake);
  });
}
