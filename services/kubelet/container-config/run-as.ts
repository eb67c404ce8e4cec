/** Which user a container would run as, and whether runAsNonRoot allows it. */
import type { Image } from '#contracts/cri/runtime_pb.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { AnyContainer } from '../ports.ts';
import { effectiveSecurity } from './security.ts';

/** The user an image asks for: a number, or a name that only the image's /etc/passwd can translate. */
export type ImageUser = { uid: number; username?: undefined } | { uid?: undefined; username: string };

/** The user of an image as the CRI tells it; root if it says nothing. */
export function imageUser(image: Image | undefined): ImageUser {
  if (image?.uid !== undefined) return { uid: Number(image.uid.value) };
  return image === undefined || image.username === '' ? { uid: 0 } : { username: image.username };
}

/**
 * Enforces runAsNonRoot.
 *
 * @throws SkiffError PERMISSION_DENIED with the original's words if the container would be root, or might be.
 */
export function verifyNonRoot(pod: Pod, container: AnyContainer, image: ImageUser): void {
  const security = effectiveSecurity(pod, container);
  if (security.runAsNonRoot !== true) return;
  const { name, namespace = 'default', uid = '' } = pod.metadata;
  const where = `(pod: "${name}_${namespace}(${uid})", container: ${container.name})`;
  const refuse = (why: string) => new SkiffError('PERMISSION_DENIED', why);
  if (security.runAsUser === 0) throw refuse(`container's runAsUser breaks non-root policy ${where}`);
  if (security.runAsUser !== undefined) return;
  if (image.uid === 0) throw refuse(`container has runAsNonRoot and image will run as root ${where}`);
  if (image.uid === undefined)
    throw refuse(
      `container has runAsNonRoot and image has non-numeric user (${image.username}), cannot verify user is non-root ${where}`,
    );
}
