/** Ends pods, whoever manages them. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { CriClient } from '#contracts/cri/client.ts';
import { PodSandboxState } from '#contracts/cri/runtime_pb.ts';
import type { ApiClient } from '#contracts/kubernetes/client/client.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import type { Context } from '../context.ts';
import { connectApi } from './api.ts';
import { readNodeInfo } from './info.ts';
import { readPods } from './kubelet.ts';
import { Label } from './labels.ts';
import type { Target } from './targets.ts';

/** Milliseconds between looks at whether a pod is gone. */
const pollMs = 50;

/**
 * Ends a pod: through the API if it came from there, else through the CRI. Returns when nothing of it runs.
 *
 * @param seconds grace period instead of the pod's own.
 * @throws SkiffError FAILED_PRECONDITION for a pod from a manifest file, which only the file's removal ends.
 */
export async function endPod(
  context: Context,
  cri: CriClient,
  target: Extract<Target, { kind: 'pod' }>,
  seconds: number | undefined,
): Promise<void> {
  const uid = target.sandboxes[0]?.labels[Label.podUid];
  const pod = (await readPods(context)).find((each) => each.metadata?.uid === uid);
  if (pod === undefined) return stopSandboxes(cri, target);
  const source = pod.metadata?.annotations?.['kubernetes.io/config.source'];
  if (source !== 'api') throw managedElsewhere(pod, source);
  if (readNodeInfo(context.paths)?.kubeconfig === undefined) return stopSandboxes(cri, target);
  await using api = connectApi(context);
  await deletePod(api, pod, seconds);
  await waitUntilStopped(cri, uid ?? '', context.interrupted);
}

function managedElsewhere(pod: Pod, source: string | undefined): SkiffError {
  return new SkiffError(
    'FAILED_PRECONDITION',
    `pod "${pod.metadata?.name}" comes from a ${source ?? 'manifest'} source: remove its manifest there to end it`,
  );
}

async function stopSandboxes(cri: CriClient, target: Extract<Target, { kind: 'pod' }>): Promise<void> {
  for (const sandbox of target.sandboxes) await cri.runtime.stopPodSandbox({ podSandboxId: sandbox.id });
}

/** Asks the API to delete a pod; one that is gone already is fine. */
export async function deletePod(api: ApiClient, pod: Pod, seconds: number | undefined): Promise<void> {
  const { namespace, name, uid } = pod.metadata ?? {};
  const body = {
    apiVersion: 'v1',
    kind: 'DeleteOptions',
    gracePeriodSeconds: seconds,
    preconditions: { uid },
  };
  try {
    await api.delete(`/api/v1/namespaces/${namespace}/pods/${name}`, body);
  } catch (error) {
    if (!isSkiffError(error, 'NOT_FOUND')) throw error;
  }
}

async function waitUntilStopped(cri: CriClient, uid: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const { items } = await cri.runtime.listPodSandbox({
      filter: { labelSelector: { [Label.podUid]: uid } },
    });
    if (items.every((each) => each.state !== PodSandboxState.SANDBOX_READY)) return;
    await sleep(pollMs);
  }
}
