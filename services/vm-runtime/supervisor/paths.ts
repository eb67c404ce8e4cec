/**
 * Where the VM runtime keeps things, below the runtime's root (`--root`). All of it ends with a reboot.
 *
 *     <root>/<container>/state.json        what `state` and `list` tell; there as long as the container is
 *     <root>/.pods/<key>/                  one pod VM; removed last of all
 *         pod.json                         what the VM is made of
 *         state.json                       what has been made: for the next supervisor
 *         lock                             held by the supervisor
 *         supervisor.sock, io.sock         its gRPC API; the streams of shims
 *         events, log                      what happened; what the supervisor says
 *         vm/, share/                      the hypervisor's files; what the guest sees of the host
 *     <root>/.cache/                       guest images, the shim, templates
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { SkiffError } from '#foundation/base/errors.ts';

/** The parent of the cgroups of pods whose callers named none. */
export const ownCgroupParent = '/skiff-vm';

/** The places of one pod VM. */
export interface PodPaths {
  directory: string;
  config: string;
  state: string;
  lock: string;
  socket: string;
  ioSocket: string;
  events: string;
  log: string;
  vm: string;
  share: string;
}

/** Names a pod's directory: short, since a socket's path has 107 bytes at most. */
export function podKey(podId: string): string {
  return createHash('sha256').update(podId).digest('hex').slice(0, 12);
}

/** The places of the pod `podId`. */
export function podPaths(root: string, podId: string): PodPaths {
  return podPathsIn(join(podsDirectory(root), podKey(podId)));
}

/** The places in a pod's directory. */
export function podPathsIn(directory: string): PodPaths {
  const at = (name: string) => join(directory, name);
  return {
    directory,
    config: at('pod.json'),
    state: at('state.json'),
    lock: at('lock'),
    socket: at('supervisor.sock'),
    ioSocket: at('io.sock'),
    events: at('events'),
    log: at('log'),
    vm: at('vm'),
    share: at('share'),
  };
}

/** All pods' directories are here. */
export function podsDirectory(root: string): string {
  return join(root, '.pods');
}

/** What is made once and used by all pods. */
export function cacheDirectory(root: string): string {
  return join(root, '.cache');
}

/** A container's directory. @throws SkiffError INVALID_ARGUMENT for an id that is none. */
export function containerDirectory(root: string, id: string): string {
  // As runc's, but for a leading dot, which our own directories have.
  if (!/^[\w+-][\w+.-]{0,1023}$/.test(id))
    throw new SkiffError('INVALID_ARGUMENT', `invalid container id ${JSON.stringify(id)}`);
  return join(root, id);
}

/** A container's state file. */
export function containerStateFile(root: string, id: string): string {
  return join(containerDirectory(root, id), 'state.json');
}
