/** Whether a pod needs a new sandbox. */
import { NamespaceMode } from '#contracts/cri/runtime_pb.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { specOf } from '../pods/identity.ts';
import type { RuntimePodStatus } from './model.ts';

export interface SandboxDecision {
  create: boolean;
  /** The newest sandbox, to use or to replace. */
  id: string | undefined;
  /** Of the sandbox to create, or of the present one. */
  attempt: number;
}

/**
 * None, more than one ready, the newest not ready, another network mode, or no address although it has a
 * network of its own: a new one is made.
 */
export function sandboxDecision(pod: Pod, status: RuntimePodStatus): SandboxDecision {
  const newest = status.sandboxes[0];
  if (newest === undefined) return { create: true, id: undefined, attempt: 0 };
  const ready = status.sandboxes.filter((sandbox) => sandbox.ready).length;
  const hostNetwork = specOf(pod).hostNetwork === true;
  const wanted = hostNetwork ? NamespaceMode.NODE : NamespaceMode.POD;
  const otherNetwork = newest.network !== undefined && newest.network !== wanted;
  const unusable = ready > 1 || !newest.ready || otherNetwork || (!hostNetwork && newest.ips.length === 0);
  return { create: unusable, id: newest.id, attempt: unusable ? newest.attempt + 1 : newest.attempt };
}
