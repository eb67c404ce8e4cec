/** Gets a manifest that a descriptor names, usually one of an index. */
import type { Descriptor } from '#contracts/oci/image.ts';
import { corrupt } from '../errors.ts';
import { manifestType } from '../manifest-type.ts';
import { getManifest } from './manifest.ts';
import { type Operation, overHosts } from './operation.ts';

/** Gets exactly the bytes that the descriptor names. */
export async function fetchManifest(operation: Operation, descriptor: Descriptor): Promise<Buffer> {
  const { what, deps } = operation;
  if (descriptor.size > deps.limits.maxManifestBytes)
    throw corrupt(
      what,
      `the manifest has ${descriptor.size} bytes, and ${deps.limits.maxManifestBytes} are accepted at the most`,
    );
  const { digest, size } = descriptor;
  return overHosts(operation, 'pull', async (place) => {
    const { bytes } = await getManifest(operation, place, digest, { digest, size });
    manifestType(what, bytes, descriptor.mediaType);
    return bytes;
  });
}
