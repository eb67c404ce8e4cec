/** Pulls the images that a pod mounts as volumes (KEP-4639). */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { messageOf } from '#foundation/base/errors.ts';
import { specOf } from '../pods/identity.ts';
import type { RuntimeManagerDeps } from './deps.ts';
import type { SandboxInUse } from './sandbox-in-use.ts';
import { StartError, type WaitingReason } from './start-error.ts';

/** Volumes by name: pulled, or why not. */
export type ImageVolumes = ReadonlyMap<string, Pulled>;
type Pulled = { imageRef: string } | { reason: WaitingReason; message: string };

/** The pulled references by volume name; a failed pull keeps only the containers that mount it from starting. */
export async function pullImageVolumes(
  deps: RuntimeManagerDeps,
  pod: Pod,
  sandbox: SandboxInUse,
  signal: AbortSignal,
): Promise<ImageVolumes> {
  const volumes = new Map<string, Pulled>();
  for (const volume of specOf(pod).volumes ?? []) {
    if (!volume.image?.reference) continue;
    const { reference: image, pullPolicy: policy } = volume.image;
    const { config: sandboxConfig, runtimeHandler } = sandbox;
    try {
      const found = await deps.images.ensure({ pod, image, policy, sandboxConfig, runtimeHandler, signal });
      volumes.set(volume.name, { imageRef: found.ref });
    } catch (error) {
      const reason = error instanceof StartError ? error.reason : 'ErrImagePull';
      volumes.set(volume.name, { reason, message: messageOf(error) });
    }
  }
  return volumes;
}
