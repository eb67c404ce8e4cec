/** Finds the manifest behind a reference. */
import type { Descriptor } from '#contracts/oci/image.ts';
import { manifestType } from '../manifest-type.ts';
import type { ResolveOptions } from '../types.ts';
import { type GivenManifest, getManifest, headManifest } from './manifest.ts';
import { type Operation, overHosts, type Place } from './operation.ts';

/**
 * Gets the manifest that the reference's digest names, or else its tag. By tag only hosts with the capability
 * `resolve` are asked: what a tag means is a matter of trust, what a digest means is not.
 */
export async function resolve(
  operation: Operation & { options: ResolveOptions },
): Promise<{ descriptor: Descriptor; bytes: Buffer }> {
  const { digest } = operation.reference;
  const capability = digest === undefined ? 'resolve' : 'pull';
  return overHosts(operation, capability, async (place) => {
    const given = (await givenHere(operation, place)) ?? (await givenThere(operation, place));
    const { bytes } = given;
    const mediaType = manifestType(operation.what, bytes, given.contentType);
    return { descriptor: { mediaType, digest: given.digest, size: bytes.length }, bytes };
  });
}

/** The manifest from this machine, if the registry says that the tag still means one that is here. */
async function givenHere(
  operation: Operation & { options: ResolveOptions },
  place: Place,
): Promise<GivenManifest | undefined> {
  const { reference, options } = operation;
  if (options.local === undefined) return undefined;
  const name = reference.digest ?? reference.tag ?? 'latest';
  const head = reference.digest === undefined ? await headManifest(operation, place, name) : undefined;
  const digest = reference.digest ?? head?.digest;
  const bytes = digest === undefined ? undefined : await options.local(digest);
  return bytes === undefined || digest === undefined ? undefined : { bytes: Buffer.from(bytes), digest };
}

function givenThere(operation: Operation, place: Place): Promise<GivenManifest> {
  const { digest, tag } = operation.reference;
  return getManifest(operation, place, digest ?? tag ?? 'latest', { digest });
}
