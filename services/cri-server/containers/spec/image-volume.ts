/** Mounts whose source is an image: read-only, but programs in them may run. */
import { closeSync, readlinkSync } from 'node:fs';
import type { Mount } from '#contracts/cri/runtime_pb.ts';
import type { SpecMount } from '#contracts/oci/runtime.ts';
import { isSkiffError, messageOf, SkiffError } from '#foundation/base/errors.ts';
import { openInRoot } from '#foundation/linux/inroot.ts';

/** The kubelet tells this failure from others by the prefix. */
const failurePrefix = 'ImageVolumeMountFailed';

/**
 * The mount of an image volume.
 *
 * @param root where the image is mounted on the host.
 * @throws SkiffError INVALID_ARGUMENT if the request contradicts itself; UNKNOWN with the kubelet's prefix if
 *   the sub-path is not there or leaves the image.
 */
export function imageVolumeMount(mount: Mount, destination: string, root: string | undefined): SpecMount {
  const refuse = (why: string) =>
    new SkiffError('INVALID_ARGUMENT', `the image volume on "${destination}" ${why}`);
  if (mount.hostPath !== '') throw refuse('has a host_path as well');
  if (!mount.readonly) throw refuse('is not readonly; images cannot be written to');
  if (root === undefined)
    throw new SkiffError('INTERNAL', `the image volume on "${destination}" was not prepared`);
  const source = mount.imageSubPath === '' ? root : subPath(root, mount.imageSubPath, destination);
  return { destination, type: 'bind', source, options: ['rbind', 'rprivate', 'ro', 'nosuid', 'nodev'] };
}

function subPath(root: string, path: string, destination: string): string {
  const fail = (why: string) =>
    new SkiffError(
      'UNKNOWN',
      `${failurePrefix}: Cannot mount the sub-path "${path}" on "${destination}": ${why}`,
    );
  if (path.startsWith('/') || path.split('/').includes('..'))
    throw fail('it must be relative and stay inside');
  try {
    const fd = openInRoot(root, path);
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw fail(isSkiffError(error, 'NOT_FOUND') ? 'it is not in the image' : messageOf(error));
  }
}
