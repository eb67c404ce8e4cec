/** Follows the pods that `skiff up` applied: their newest state, and a promise for the next change. */
import { type ApiClient, hasReason } from '#contracts/kubernetes/client/client.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';

interface PodList {
  metadata: { resourceVersion: string };
  items: Pod[];
}

/** Milliseconds to wait before a broken watch is opened again. */
const retryMs = 300;

/**
 * Calls `onChange` with all pods of interest, by namespace/name, at first and at each change, until `signal`
 * aborts. A watch that ends or breaks is opened anew from a fresh list.
 */
export async function watchPods(
  api: ApiClient,
  isOurs: (pod: Pod) => boolean,
  onChange: (pods: ReadonlyMap<string, Pod>) => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await watchOnce(api, isOurs, onChange, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (!hasReason(error, 'Expired')) await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
  }
}

async function watchOnce(
  api: ApiClient,
  isOurs: (pod: Pod) => boolean,
  onChange: (pods: ReadonlyMap<string, Pod>) => void,
  signal: AbortSignal,
): Promise<void> {
  const list = await api.get<PodList>('/api/v1/pods', { signal });
  const pods = new Map(list.items.filter(isOurs).map((pod) => [podKey(pod), pod]));
  onChange(pods);
  const query = { resourceVersion: list.metadata.resourceVersion, allowWatchBookmarks: true };
  for await (const event of api.watch<Pod>('/api/v1/pods', query, signal)) {
    if (event.type === 'BOOKMARK' || !isOurs(event.object)) continue;
    if (event.type === 'DELETED') pods.delete(podKey(event.object));
    else pods.set(podKey(event.object), event.object);
    onChange(pods);
  }
}

/** `namespace/name`. */
export function podKey(pod: { metadata?: { namespace?: string; name?: string } }): string {
  return `${pod.metadata?.namespace ?? 'default'}/${pod.metadata?.name ?? ''}`;
}
