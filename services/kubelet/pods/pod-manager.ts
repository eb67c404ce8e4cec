/**
 * The pods this node should run, as their sources have them, and the API's mirrors of the static ones. Pods are
 * looked up by UID and by full name; static pods and mirrors share a full name, never a UID.
 */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { fullName, isMirror, uidOf } from './identity.ts';

export interface PodManager {
  set(pod: Pod): void;
  remove(pod: Pod): void;
  /** A pod, static or of the API; never a mirror. */
  get(uid: string): Pod | undefined;
  byName(name: string): Pod | undefined;
  mirrorOf(pod: Pod): Pod | undefined;
  /** The static pod behind a mirror. */
  staticOf(mirror: Pod): Pod | undefined;
  pods(): Pod[];
  mirrors(): Pod[];
}

export function createPodManager(): PodManager {
  const pods = new Map<string, Pod>();
  const byName = new Map<string, Pod>();
  const mirrors = new Map<string, Pod>();
  return {
    set(pod) {
      if (isMirror(pod)) {
        mirrors.set(fullName(pod), pod);
        return;
      }
      pods.set(uidOf(pod), pod);
      byName.set(fullName(pod), pod);
    },
    remove(pod) {
      const name = fullName(pod);
      if (isMirror(pod)) {
        if (mirrors.get(name)?.metadata.uid === pod.metadata.uid) mirrors.delete(name);
        return;
      }
      pods.delete(uidOf(pod));
      if (byName.get(name)?.metadata.uid === pod.metadata.uid) byName.delete(name);
    },
    get: (uid) => pods.get(uid),
    byName: (name) => byName.get(name),
    mirrorOf: (pod) => mirrors.get(fullName(pod)),
    staticOf: (mirror) => byName.get(fullName(mirror)),
    pods: () => [...pods.values()],
    mirrors: () => [...mirrors.values()],
  };
}
