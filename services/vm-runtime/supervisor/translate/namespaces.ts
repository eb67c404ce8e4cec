/** Which namespaces a container gets in the guest. */
import type { LinuxSpec } from '#contracts/oci/runtime.ts';
import { cannot } from './refuse.ts';

type Namespaces = LinuxSpec['namespaces'];

/** What is needed of the pod. */
interface PidFacts {
  guestPidOf(shimPid: number): number | undefined;
  sharedPid: boolean;
}

/** Where the guest keeps the PID namespace that the pod's containers share. */
export const guestSharedPid = '/run/ns/pid';

/**
 * Network, IPC and host name are the whole pod's, which is the guest: no namespace of the list means that. A PID
 * namespace is the container's own, the pod's, or another container's, which is known by its shim.
 */
export function guestNamespaces(wanted: Namespaces, pod: PidFacts): Namespaces {
  // The guest has version 2 cgroups only, where each container sees its own group as the root.
  const result: Namespaces = [{ type: 'cgroup' }];
  for (const namespace of wanted) {
    if (['network', 'ipc', 'uts'].includes(namespace.type)) continue;
    const path = namespace.path ?? '';
    if (path === '') {
      if (namespace.type !== 'cgroup') result.push({ type: namespace.type });
    } else if (namespace.type === 'pid') result.push({ type: 'pid', path: pidPath(path, pod) });
    else throw cannot(`the ${namespace.type} namespace ${path}`, "it is the host's");
  }
  return result;
}

function pidPath(path: string, pod: PidFacts): string {
  const [, pid] = /^\/proc\/(\d+)\/ns\/pid$/.exec(path) ?? [];
  const guest = pid === undefined ? undefined : pod.guestPidOf(Number(pid));
  if (guest !== undefined) return `/proc/${guest}/ns/pid`;
  if (pod.sharedPid) return guestSharedPid;
  throw cannot(`the PID namespace ${path}`, 'it belongs to no container of its pod');
}
