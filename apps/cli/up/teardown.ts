/** Takes back what `skiff up` made: objects, then the node if it was started for them. */
import { type ApiClient, hasReason } from '#contracts/kubernetes/client/client.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import type { Context } from '../context.ts';
import { connectNode } from '../node/cri.ts';
import { readNodeInfo } from '../node/info.ts';
import { deletePod } from '../node/pods.ts';
import { stopNode } from '../node/start.ts';
import { managedLabel, untilGone } from './apply.ts';
import { inOrder, type Manifest, managedCollections, pathOf } from './manifests.ts';

/** Everything in the API that `up` made. */
export async function managedObjects(api: ApiClient): Promise<Manifest[]> {
  const found: Manifest[] = [];
  for (const path of managedCollections()) {
    const query = { labelSelector: `${managedLabel.key}=${managedLabel.value}` };
    const list = await api
      .get<{ kind: string; apiVersion: string; items: Manifest[] }>(path, { query })
      .catch((error: unknown) => {
        if (isSkiffError(error, 'NOT_FOUND')) return { kind: 'List', apiVersion: 'v1', items: [] };
        throw error;
      });
    const kind = list.kind.replace(/List$/, '');
    found.push(...list.items.map((each) => ({ ...each, kind, apiVersion: list.apiVersion })));
  }
  return found;
}

/**
 * Deletes objects, pods first, and waits until they are gone.
 *
 * @param seconds grace period instead of the pods' own.
 */
export async function deleteObjects(
  api: ApiClient,
  manifests: readonly Manifest[],
  seconds: number | undefined,
  signal: AbortSignal,
): Promise<void> {
  const pods = manifests.filter((each) => each.kind === 'Pod');
  await Promise.all(pods.map((each) => deletePod(api, withoutUid(each), seconds)));
  await Promise.all(pods.map((each) => untilGone(api, pathOf(each), signal)));
  const others = inOrder(manifests.filter((each) => each.kind !== 'Pod')).reverse();
  for (const each of others) {
    await api.delete(pathOf(each)).catch((error: unknown) => {
      if (!hasReason(error, 'NotFound')) throw error;
    });
  }
}

function withoutUid(manifest: Manifest): Pod {
  const { name, namespace = 'default' } = manifest.metadata;
  return { metadata: { name, namespace } } as Pod;
}

/** Ends the node if `up` started it and no pod is left that anybody asked it to run. */
export async function stopIdleNode(context: Context, api: ApiClient): Promise<boolean> {
  const info = readNodeInfo(context.paths);
  if (info === undefined || info.startedBy !== 'up') return false;
  const { items } = await api.get<{ items: Pod[] }>('/api/v1/pods');
  if (items.length > 0) return false;
  await removeSandboxes(context);
  await stopNode(info);
  return true;
}

/** The kubelet keeps ended pods' sandboxes for a while, for their logs; without pods nobody will ask. */
async function removeSandboxes(context: Context): Promise<void> {
  using cri = connectNode(context, 'down');
  const { items } = await cri.runtime.listPodSandbox({});
  await Promise.all(items.map(({ id }) => cri.runtime.removePodSandbox({ podSandboxId: id })));
}
