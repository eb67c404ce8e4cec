/** Parses manifests, indexes and configs: bounded, checked, and refused with a reason. */
import { z } from 'zod';
import type { Image, Index, Manifest } from '#contracts/oci/image.ts';
import { artifactReason, isIndexType } from '#contracts/oci/media-types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { isDigest } from '../reference.ts';

/** Layers of one image: overlayfs takes 500, and their names must fit into its options. */
const maxLayers = 400;

const digest = z.string().refine(isDigest, 'is not a digest that Skiff verifies');
const size = z.int().nonnegative();
const platform = z.looseObject({
  architecture: z.string(),
  os: z.string(),
  variant: z.string().optional(),
});
const descriptor = z.looseObject({
  mediaType: z.string(),
  digest,
  size,
  platform: platform.optional(),
  annotations: z.record(z.string(), z.string()).nullish().transform(orUndefined),
  urls: z.array(z.string()).nullish().transform(orUndefined),
});
const manifest = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  artifactType: z.string().optional(),
  config: descriptor,
  layers: z.array(descriptor).max(maxLayers),
});
const index = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  manifests: z.array(descriptor).max(10_000),
});
const strings = z.array(z.string()).nullish().transform(orUndefined);
const keys = z.record(z.string(), z.looseObject({}).nullish()).nullish().transform(orUndefined);
const config = z.looseObject({
  architecture: z.string().default(''),
  os: z.string().default(''),
  variant: z.string().optional(),
  created: z.string().nullish().transform(orUndefined),
  config: z
    .looseObject({
      User: z.string().optional(),
      Env: strings,
      Entrypoint: strings,
      Cmd: strings,
      WorkingDir: z.string().optional(),
      StopSignal: z.string().optional(),
      Labels: z.record(z.string(), z.string()).nullish().transform(orUndefined),
      Volumes: keys,
      ExposedPorts: keys,
    })
    .nullish()
    .transform(orUndefined),
  rootfs: z.looseObject({ type: z.literal('layers'), diff_ids: z.array(digest).max(maxLayers).nullable() }),
});

function orUndefined<T>(value: T | null | undefined): T | undefined {
  return value ?? undefined;
}

/** What a reference resolved to. */
export type Resolved = { kind: 'manifest'; manifest: Manifest } | { kind: 'index'; index: Index };

/**
 * Parses a manifest or index. Bytes that could be read as both are refused (CVE-2021-41190).
 *
 * @throws SkiffError FAILED_PRECONDITION for artifacts and Docker's schema 1, DATA_LOSS for what is malformed.
 */
export function parseManifest(bytes: Uint8Array, mediaType: string): Resolved {
  const value = parseJson(bytes, 'manifest');
  if (typeof value !== 'object' || value === null) throw malformed('manifest', 'it is no object');
  if ('manifests' in value && ('layers' in value || 'config' in value))
    throw malformed('manifest', 'it could be read as an image and as an index');
  if ('schemaVersion' in value && value.schemaVersion === 1)
    throw new SkiffError(
      'FAILED_PRECONDITION',
      'it has the obsolete Docker schema 1; push it again with a newer tool',
    );
  if (
    'mediaType' in value &&
    typeof value.mediaType === 'string' &&
    isIndexType(value.mediaType) !== 'manifests' in value
  )
    throw malformed('manifest', 'its content is not what its media type says');
  if ('manifests' in value) return { kind: 'index', index: checked(index, value, 'index') as Index };
  if (isIndexType(mediaType)) throw malformed('index', 'it lists no manifests');
  const parsed = checked(manifest, value, 'manifest') as Manifest;
  const reason = artifactReason(parsed);
  if (reason !== undefined)
    throw new SkiffError('FAILED_PRECONDITION', `it is not a container image but an artifact: ${reason}`);
  return { kind: 'manifest', manifest: parsed };
}

/**
 * Parses an image's config.
 *
 * @throws SkiffError DATA_LOSS if it is malformed or does not fit to the manifest.
 */
export function parseConfig(bytes: Uint8Array, manifest: Manifest): Image {
  const image = checked(config, parseJson(bytes, 'config'), 'config') as Image;
  image.rootfs.diff_ids ??= [];
  const [ids, layers] = [image.rootfs.diff_ids.length, manifest.layers.length];
  if (ids !== layers) throw malformed('config', `it names ${ids} layers, but the manifest ${layers}`);
  return image;
}

function parseJson(bytes: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch (error) {
    throw new SkiffError('DATA_LOSS', `its ${what} is not JSON: ${(error as Error).message}`);
  }
}

function checked<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw malformed(what, `${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`.trim());
}

function malformed(what: string, why: string): SkiffError {
  return new SkiffError('DATA_LOSS', `its ${what} is malformed: ${why}`);
}
