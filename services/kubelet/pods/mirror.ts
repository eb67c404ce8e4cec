/**
 * Mirror pods: the API's picture of static pods. The kubelet makes them, replaces them when their static pod
 * has changed, and removes those that stand for nothing. Deleting one never stops its static pod.
 */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { isSkiffError, messageOf } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { KubeletApi } from '../ports.ts';
import {
  annotationOf,
  hashAnnotation,
  isDeleted,
  mirrorAnnotation,
  nameOf,
  namespaceOf,
  title,
} from './identity.ts';

export interface MirrorPods {
  /** Sees to it that a static pod has its mirror; works in the background. */
  reconcile(pod: Pod, mirror: Pod | undefined): void;
  /** Removes a mirror; works in the background. */
  remove(mirror: Pod): void;
}

export interface MirrorDeps {
  api: Pick<KubeletApi, 'createPod' | 'deletePod' | 'node'> | undefined;
  logger: Logger;
}

export function createMirrorPods({ api, logger }: MirrorDeps): MirrorPods {
  const busy = new Set<string>();
  const background = (key: string, work: () => Promise<void>) => {
    if (busy.has(key)) return;
    busy.add(key);
    work()
      .catch((error: unknown) =>
        logger.warn({ pod: key, error: messageOf(error) }, 'Cannot keep a mirror pod'),
      )
      .finally(() => busy.delete(key));
  };
  return {
    reconcile(pod, mirror) {
      if (api === undefined) return;
      const isCurrent =
        mirror !== undefined && !isDeleted(mirror) && hashOf(mirror) === annotationOf(pod, hashAnnotation);
      if (isCurrent) return;
      background(title(pod), async () => {
        if (mirror !== undefined) await deleteMirror(api, mirror);
        await createMirror(api, pod);
      });
    },
    remove(mirror) {
      if (api !== undefined) background(title(mirror), () => deleteMirror(api, mirror));
    },
  };
}

function hashOf(mirror: Pod): string | undefined {
  return annotationOf(mirror, mirrorAnnotation);
}

function deleteMirror(api: Pick<KubeletApi, 'deletePod'>, mirror: Pod): Promise<void> {
  const options = { uid: mirror.metadata.uid ?? '', gracePeriodSeconds: 0 };
  return api.deletePod(namespaceOf(mirror), nameOf(mirror), options);
}

/** A copy of the static pod that the node owns. The node must be registered: its UID is needed. */
async function createMirror(api: Pick<KubeletApi, 'createPod' | 'node'>, pod: Pod): Promise<void> {
  const node = api.node();
  if (node?.metadata.uid === undefined) return;
  const { uid: _, resourceVersion: __, ...metadata } = pod.metadata;
  const mirror: Pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    ...pod,
    metadata: {
      ...metadata,
      annotations: { ...metadata.annotations, [mirrorAnnotation]: annotationOf(pod, hashAnnotation) ?? '' },
      ownerReferences: [
        {
          apiVersion: 'v1',
          kind: 'Node',
          name: node.metadata.name,
          uid: node.metadata.uid,
          controller: true,
        },
      ],
    },
  };
  try {
    await api.createPod(mirror);
  } catch (error) {
    // Somebody made it meanwhile; the next sync compares it.
    if (!isSkiffError(error, 'ALREADY_EXISTS')) throw error;
  }
}
