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
import type { ImageLayer, ImageRecord } from '../store/model.ts';

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

/** Verifies one image and mends it. @returns what was wrong; empty if nothing was. */
export async function verifyImage(
  parts: ImageParts,
  image: ImageRecord,
  signal: AbortSignal,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const lease = parts.leases.open();
  const check = async (
    what: string,
    problem: () => Promise<string | undefined>,
    mend: () => Promise<void>,
  ) => {
    signal.throwIfAborted();
    const found = await problem();
    if (found === undefined) return;
    const finding: Finding = { imageId: image.id, what, problem: found, mended: true };
    try {
      await mend();
    } catch (error) {
      Object.assign(finding, { mended: false, error: messageOf(error) });
    }
    findings.push(finding);
  };
  try {
    const config: Descriptor = { mediaType: 'config', digest: image.id, size: image.configSize };
    for (const descriptor of [...image.indexes, image.manifest, config])
      await check(
        descriptor.digest,
        () => blobProblem(parts, descriptor),
        () => mendSmall(parts, image, descriptor, signal),
      );
    for (const [at, layer] of image.layers.entries()) {
      lease.blob(layer.descriptor.digest);
      const { digest } = layer.descriptor;
      await check(
        digest,
        () => blobProblem(parts, layer.descriptor),
        () => mendBlob(parts, image, layer, signal),
      );
      const below = image.layers.slice(0, at);
      await check(
        layer.chainId,
        () => layerProblem(parts, layer, below, false, signal),
        async () => {
          const still = await layerProblem(parts, layer, below, true, signal);
          if (still !== undefined) throw new SkiffError('DATA_LOSS', still);
        },
      );
    }
    return findings;
  } finally {
    lease.close();
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
  content.write(descriptor.digest, bytes);
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

/** Unpacks the layer again and compares; with `replace` the fresh one takes the place of a different one. */
async function layerProblem(
  parts: ImageParts,
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
    layers.replace(record, fresh.path);
    return undefined;
  } finally {
    await discard(parts, fresh.path);
  }
}

function noBlob(descriptor: Descriptor): SkiffError {
  return new SkiffError('DATA_LOSS', `the blob ${descriptor.digest} is missing or damaged`);
}
