/**
 * Verifies images: every blob is hashed, every layer is unpacked again beside the one in use and compared with
 * it. What is damaged is mended: blobs from the registry they came from, layers from their blobs.
 */
import type { Descriptor } from '#contracts/oci/image.ts';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import type { ImageParts } from '../deps.ts';
import { discard, fetchLayer } from '../pull/fetch-layer.ts';
import { readAll } from '../pull/read-all.ts';
import { parseReference, type Reference } from '../reference.ts';
import { digestLike } from '../store/chain.ts';
import type { ImageLayer, ImageRecord, LayerRecord } from '../store/model.ts';
import { describeUsers } from './remove.ts';

/** Something that was wrong. */
export interface Finding {
  imageId: string;
  /** The blob's digest or the layer's chain id. */
  what: string;
  problem: string;
  mended: boolean;
  /** Why it could not be mended. */
  error?: string;
}

/** How to verify. */
export interface VerifyOptions {
  /** Only find, do not mend. */
  checkOnly?: boolean;
  /** Told of each blob and layer that was checked. */
  onChecked?: (checked: Checked) => void;
}

/** One blob or layer that was checked. */
export interface Checked {
  /** The blob's digest or the layer's chain id. */
  what: string;
  /** How many of how many of the image were checked. */
  checked: number;
  total: number;
  finding?: Finding;
}

/** One thing to check, and how to mend it. */
interface Check {
  what: string;
  problem(): Promise<string | undefined>;
  mend(): Promise<void>;
}

/** What verifying works with. */
export interface VerifyParts extends ImageParts {
  /** The keys of the roots that show a layer's directory. */
  usersOfLayer(layer: LayerRecord): string[];
}

/** Verifies one image and mends it. @returns what was wrong; empty if nothing was. */
export async function verifyImage(
  parts: VerifyParts,
  image: ImageRecord,
  options: VerifyOptions,
  signal: AbortSignal,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const lease = parts.leases.open();
  for (const { descriptor } of image.layers) lease.blob(descriptor.digest);
  try {
    const checks = checksOf(parts, image, signal);
    for (const [at, check] of checks.entries()) {
      signal.throwIfAborted();
      const finding = await runCheck(image, check, options.checkOnly === true);
      if (finding !== undefined) findings.push(finding);
      options.onChecked?.({ what: check.what, checked: at + 1, total: checks.length, finding });
    }
    return findings;
  } finally {
    lease.close();
  }
}

function checksOf(parts: VerifyParts, image: ImageRecord, signal: AbortSignal): Check[] {
  const config: Descriptor = { mediaType: 'config', digest: image.id, size: image.configSize };
  const small = [...image.indexes, image.manifest, config].map((descriptor) => ({
    what: descriptor.digest,
    problem: () => blobProblem(parts, descriptor),
    mend: () => mendSmall(parts, image, descriptor, signal),
  }));
  const layers = image.layers.flatMap((layer, at): Check[] => {
    const below = image.layers.slice(0, at);
    return [
      {
        what: layer.descriptor.digest,
        problem: () => blobProblem(parts, layer.descriptor),
        mend: () => mendBlob(parts, image, layer, signal),
      },
      {
        what: layer.chainId,
        problem: () => layerProblem(parts, layer, below, false, signal),
        mend: async () => {
          const still = await layerProblem(parts, layer, below, true, signal);
          if (still !== undefined) throw new SkiffError('DATA_LOSS', still);
        },
      },
    ];
  });
  return [...small, ...layers];
}

async function runCheck(image: ImageRecord, check: Check, checkOnly: boolean): Promise<Finding | undefined> {
  const problem = await check.problem().catch((error: unknown) => messageOf(error));
  if (problem === undefined) return undefined;
  const finding = { imageId: image.id, what: check.what, problem };
  if (checkOnly) return { ...finding, mended: false };
  try {
    await check.mend();
    return { ...finding, mended: true };
  } catch (error) {
    return { ...finding, mended: false, error: messageOf(error) };
  }
}

async function blobProblem(
  { content, pool }: ImageParts,
  descriptor: Descriptor,
): Promise<string | undefined> {
  const { digest, size } = descriptor;
  const here = content.size(digest);
  if (here === undefined) return 'the blob is missing';
  if (here !== size) return `the blob has ${here} bytes instead of ${size}`;
  const found = await pool.run('digest', { path: content.path(digest), size, digest });
  return found === digest ? undefined : `the blob's digest is ${found}`;
}

/** Where an image's blobs can be fetched again, the most likely first. */
function originsOf(image: ImageRecord): Reference[] {
  return [...image.digests, ...image.tags].map(parseReference);
}

async function fromOrigins<T>(image: ImageRecord, fetch: (reference: Reference) => Promise<T>): Promise<T> {
  let last: unknown = new SkiffError(
    'FAILED_PRECONDITION',
    'the image has no name to fetch it by; load or build it again',
  );
  for (const reference of originsOf(image)) {
    try {
      return await fetch(reference);
    } catch (error) {
      last = error;
    }
  }
  throw last;
}

async function mendSmall(
  parts: ImageParts,
  image: ImageRecord,
  descriptor: Descriptor,
  signal: AbortSignal,
): Promise<void> {
  const { registry, content } = parts;
  const isConfig = descriptor.digest === image.id;
  const bytes = await fromOrigins(image, async (reference) =>
    isConfig
      ? readAll(await registry.openBlob(reference, descriptor, { signal }), descriptor.size)
      : registry.fetchManifest(reference, descriptor, { signal }),
  );
  if (digestLike(descriptor.digest, bytes) !== descriptor.digest)
    throw new SkiffError('DATA_LOSS', 'the registry has something else under this digest');
  content.remove(descriptor.digest);
  await content.write(descriptor.digest, bytes);
}

async function mendBlob(
  parts: ImageParts,
  image: ImageRecord,
  layer: ImageLayer,
  signal: AbortSignal,
): Promise<void> {
  const { descriptor, diffId } = layer;
  // The damaged one stays until a good one is there: its layer may be whole.
  await fromOrigins(image, async (reference) => {
    parts.content.remove(descriptor.digest);
    return fetchLayer(
      parts,
      {
        descriptor,
        diffId,
        unpack: false,
        open: (offset, stopped) =>
          parts.registry.openBlob(reference, descriptor, { offset, signal: stopped }),
        onProgress: () => {},
      },
      signal,
    );
  });
  await parts.pool.run('sync', parts.directory);
}

/**
 * Unpacks the layer again and compares; with `replace` the fresh one takes the place of a different one.
 *
 * @throws SkiffError FAILED_PRECONDITION if containers run on what would be replaced.
 */
async function layerProblem(
  parts: VerifyParts,
  layer: ImageLayer,
  below: readonly ImageLayer[],
  replace: boolean,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { layers, pool } = parts;
  const record = layers.get(layer.chainId);
  if (record === undefined) return 'the layer is not unpacked';
  const { descriptor, diffId } = layer;
  const request = {
    descriptor,
    diffId,
    unpack: true,
    onProgress: () => {},
    open: () => Promise.reject(noBlob(descriptor)),
  };
  const fresh = await fetchLayer(parts, request, signal);
  if (fresh === undefined) throw noBlob(descriptor);
  let useless = fresh.path;
  try {
    const lower = layers.chain(below.map((each) => each.chainId)) ?? [];
    if (fresh.result.implied.length > 0 && lower.length > 0)
      await pool.run('adopt', {
        layer: fresh.path,
        folders: fresh.result.implied,
        below: lower.toReversed().map(layers.path),
      });
    const different = await pool.run('compare', { left: layers.path(record), right: fresh.path });
    if (different === undefined) return undefined;
    if (!replace) return `"${different}" is not as the layer has it`;
    await pool.run('sync', parts.directory);
    // From here on without a pause: no root is made of the damaged one meanwhile.
    const users = parts.usersOfLayer(record);
    if (users.length > 0)
      throw new SkiffError(
        'FAILED_PRECONDITION',
        `used by ${describeUsers(users)}, whose files would vanish; remove them, and verify the image again`,
      );
    useless = layers.replace(record, fresh.path);
    return undefined;
  } finally {
    await discard(parts, useless);
  }
}

function noBlob(descriptor: Descriptor): SkiffError {
  return new SkiffError('DATA_LOSS', `the blob ${descriptor.digest} is missing or damaged`);
}
