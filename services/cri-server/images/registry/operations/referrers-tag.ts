/**
 * Referrers without the API for them: an index under a tag that is made of the subject's digest (distribution spec,
 * "Referrers Tag Schema"). Clients keep it: two that push at the same time may lose one entry, as the spec says.
 */
import { z } from 'zod';
import type { Descriptor } from '#contracts/oci/image.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import { isDigest } from '../../reference.ts';
import { corrupt } from '../errors.ts';
import { getManifest } from './manifest.ts';
import type { Operation, Place } from './operation.ts';

/** Media type of the index. */
export const indexType = 'application/vnd.oci.image.index.v1+json';

const descriptor = z.looseObject({
  mediaType: z.string(),
  digest: z.string().refine(isDigest, 'is no digest'),
  size: z.int().nonnegative(),
  artifactType: z.string().optional(),
  annotations: z.record(z.string(), z.string()).optional(),
});
const index = z.looseObject({ schemaVersion: z.literal(2), manifests: z.array(descriptor).max(10_000) });

/** The descriptors of an index of referrers. @throws SkiffError DATA_LOSS if it is none. */
export function parseReferrers(what: string, bytes: Buffer): Descriptor[] {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString());
  } catch {
    throw corrupt(what, 'the list of referrers is not JSON');
  }
  const parsed = index.safeParse(value);
  if (parsed.success) return parsed.data.manifests;
  const issue = parsed.error.issues[0];
  throw corrupt(what, `the list of referrers is malformed: ${issue?.path.join('.')} ${issue?.message}`);
}

/** The tag: `sha256-` and hex, no longer than a tag may be. */
export function referrersTag(digest: string): string {
  const [algorithm = '', hex = ''] = digest.split(':');
  return `${algorithm.slice(0, 32)}-${hex.slice(0, 64)}`;
}

/** What the tag's index lists; nothing if there is no such tag. */
export async function readReferrersTag(
  operation: Operation,
  place: Place,
  digest: string,
): Promise<Descriptor[]> {
  try {
    const { bytes } = await getManifest(operation, place, referrersTag(digest), {});
    return parseReferrers(operation.what, bytes);
  } catch (error) {
    if (isSkiffError(error, 'NOT_FOUND')) return [];
    throw error;
  }
}
