/** Tells what a manifest is, and refuses what is none or two things at once. */
import { z } from 'zod';
import { SkiffError } from '#foundation/base/errors.ts';
import { corrupt } from './errors.ts';

/** The media types of manifests that are asked for, best first. */
export const manifestTypes = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
] as const;

const indexTypes: readonly string[] = [manifestTypes[0], manifestTypes[2]];
const known: readonly string[] = manifestTypes;

const manifest = z.looseObject({
  schemaVersion: z.unknown(),
  mediaType: z.string().optional(),
  manifests: z.array(z.unknown()).optional(),
  config: z.looseObject({}).optional(),
  layers: z.array(z.unknown()).optional(),
});

/**
 * The media type of a manifest. Its own `mediaType` and the registry's Content-Type must not disagree on
 * whether it is an index, and its fields must be of one kind: the image spec warns of documents that are read
 * as one thing here and as another elsewhere (CVE-2021-41190).
 *
 * @param contentType the Content-Type header, or the type that a descriptor gives.
 * @throws SkiffError DATA_LOSS for what is no manifest; UNIMPLEMENTED for Docker's schema 1.
 */
export function manifestType(what: string, bytes: Buffer, contentType: string | undefined): string {
  const parsed = manifest.safeParse(parseJson(what, bytes));
  if (!parsed.success) throw corrupt(what, `the manifest is malformed: ${describe(parsed.error)}`);
  const { schemaVersion, mediaType, manifests, config, layers } = parsed.data;
  if (schemaVersion === 1) throw schemaOne(what);
  if (schemaVersion !== 2) throw corrupt(what, 'the manifest is malformed: its schemaVersion is not 2');
  const isIndex = manifests !== undefined;
  const isImage = config !== undefined || layers !== undefined;
  if (isIndex && isImage)
    throw corrupt(what, 'the manifest is both an index and an image, which is not allowed');
  if (!isIndex && !isImage)
    throw corrupt(what, 'the manifest is malformed: it has neither layers nor manifests');
  const given = bare(contentType);
  for (const type of [mediaType, given])
    if (type !== undefined && known.includes(type) && indexTypes.includes(type) !== isIndex)
      throw corrupt(what, `the manifest is ${isIndex ? 'an index' : 'an image'}, but its type says ${type}`);
  if (mediaType !== undefined) return mediaType;
  if (given !== undefined && known.includes(given)) return given;
  return isIndex ? manifestTypes[0] : manifestTypes[1];
}

function parseJson(what: string, bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw corrupt(what, 'the manifest is not JSON');
  }
}

function describe(error: z.ZodError): string {
  const issue = error.issues[0];
  return `${issue?.path.join('.') || 'top level'}: ${issue?.message ?? 'invalid'}`;
}

function schemaOne(what: string): SkiffError {
  return new SkiffError(
    'UNIMPLEMENTED',
    `Cannot ${what}: it has Docker's image manifest version 2, schema 1, which registries gave up in 2024; push the image again with a current tool`,
  );
}

function bare(contentType: string | undefined): string | undefined {
  return contentType?.split(';')[0]?.trim().toLowerCase();
}
