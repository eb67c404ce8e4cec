/** Checks that the host side of a mount can do the propagation that was asked for: mount_namespaces(7). */

import { type Mount, MountPropagation } from '#contracts/cri/runtime_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { listMounts, type MountEntry } from '#foundation/linux/mount.ts';

/** @throws SkiffError FAILED_PRECONDITION if `source` lies on a mount that does not propagate. */
export function requirePropagation(
  mount: Pick<Mount, 'propagation' | 'containerPath'>,
  source: string,
): void {
  const { PROPAGATION_BIDIRECTIONAL, PROPAGATION_HOST_TO_CONTAINER } = MountPropagation;
  if (mount.propagation !== PROPAGATION_BIDIRECTIONAL && mount.propagation !== PROPAGATION_HOST_TO_CONTAINER)
    return;
  const host = mountOf(source);
  const shared = host?.propagation.some((field) => field.startsWith('shared:')) === true;
  const slave = host?.propagation.some((field) => field.startsWith('master:')) === true;
  if (shared || (slave && mount.propagation === PROPAGATION_HOST_TO_CONTAINER)) return;
  const wanted = mount.propagation === PROPAGATION_BIDIRECTIONAL ? 'shared' : 'shared or slave';
  throw new SkiffError(
    'FAILED_PRECONDITION',
    `the path "${source}" for the mount on "${mount.containerPath}" lies on "${host?.target ?? '/'}", which is no ` +
      `${wanted} mount; make it one with: mount --make-rshared ${host?.target ?? '/'}`,
  );
}

/** The mount that holds `path`: the deepest at or above it, the last where several lie on one another. */
function mountOf(path: string): MountEntry | undefined {
  let best: MountEntry | undefined;
  for (const entry of listMounts()) {
    const holds = entry.target === '/' || path === entry.target || path.startsWith(`${entry.target}/`);
    if (holds && entry.target.length >= (best?.target.length ?? 0)) best = entry;
  }
  return best;
}
