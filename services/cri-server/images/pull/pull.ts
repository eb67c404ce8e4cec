/** Pulls an image: resolve, fetch and unpack what is missing, make it durable, name it. */
import { messageOf, wrapError } from '#foundation/base/errors.ts';
import type { ImageParts } from '../deps.ts';
import type { PullTracker } from '../progress.ts';
import { formatReference, formatRepository, parseReference, type Reference } from '../reference.ts';
import type { AuthRequest } from '../registry/types.ts';
import type { Lease } from '../store/leases.ts';
import type { ImageRecord } from '../store/model.ts';
import { ensureLayers } from './ensure-layers.ts';
import { readAll } from './read-all.ts';
import { recordImage } from './record.ts';
import { type ResolvedImage, resolveImage } from './resolve-image.ts';

/** What to pull. */
export interface PullRequest {
  /** As people write it: `nginx`, `quay.io/a/b@sha256:...`. */
  reference: string;
  auth?: AuthRequest;
}

/** Milliseconds that a failed pull's content is kept for the next attempt, against garbage collection. */
const retryMs = 10 * 60_000;

/**
 * Pulls.
 *
 * @throws SkiffError with the registry's and the unpacker's codes; messages begin `Cannot pull "...": `, but for
 *   those that the kubelet tells by their first word (`RegistryUnavailable`).
 */
export async function pullImage(
  parts: ImageParts,
  request: PullRequest,
  signal: AbortSignal,
): Promise<ImageRecord> {
  const reference = parseReference(request.reference);
  const tracker = parts.board.begin(formatReference(reference));
  const lease = parts.leases.open();
  try {
    const image = await pull(parts, { reference, auth: request.auth, tracker, lease }, signal);
    lease.close();
    tracker.end({ imageId: image.id });
    return image;
  } catch (error) {
    lease.expire(retryMs);
    tracker.end({ error: messageOf(error) });
    throw /^(RegistryUnavailable|SignatureValidationFailed)\b/.test(messageOf(error))
      ? error
      : wrapError(error, `Cannot pull "${request.reference}"`);
  }
}

interface Pull {
  reference: Reference;
  auth: AuthRequest | undefined;
  tracker: PullTracker;
  lease: Lease;
}

async function pull(
  parts: ImageParts,
  { reference, auth, tracker, lease }: Pull,
  signal: AbortSignal,
): Promise<ImageRecord> {
  const options = { auth, signal };
  const resolved = await resolve(parts, { reference, auth, tracker, lease }, signal);
  const known = completeImage(parts, resolved);
  if (known !== undefined) return recordImage(parts, resolved, known.layers, namesOf(reference, resolved));
  parts.pool.warm();
  const { layers: descriptors } = resolved.manifest;
  tracker.layers(descriptors);
  const { layers, isNew } = await ensureLayers(
    parts,
    {
      layers: descriptors,
      diffIds: resolved.image.rootfs.diff_ids,
      lease,
      open: (descriptor, offset, openSignal) =>
        parts.registry.openBlob(reference, descriptor, { ...options, offset, signal: openSignal }),
      onLayer: (digest, change) => tracker.layer(digest, change),
    },
    signal,
  );
  if (isNew) await parts.pool.run('sync', parts.directory);
  signal.throwIfAborted();
  return recordImage(parts, resolved, layers, namesOf(reference, resolved));
}

async function resolve(
  { registry, content, platform }: ImageParts,
  { reference, auth, lease }: Pull,
  signal: AbortSignal,
): Promise<ResolvedImage> {
  const options = { auth, signal };
  const top = await registry.resolve(reference, { ...options, local: (digest) => content.read(digest) });
  return resolveImage(
    { content, platform, lease },
    {
      top,
      manifest: (descriptor) => registry.fetchManifest(reference, descriptor, options),
      blob: async (descriptor) =>
        readAll(await registry.openBlob(reference, descriptor, options), descriptor.size),
    },
  );
}

/** The image if it is here by the same manifest, with all that belongs to it. */
function completeImage(parts: ImageParts, resolved: ResolvedImage): ImageRecord | undefined {
  const image = parts.catalog.get(resolved.manifest.config.digest);
  if (image === undefined || image.manifest.digest !== resolved.descriptor.digest) return undefined;
  const isHere = image.layers.every(
    ({ descriptor, chainId }) =>
      parts.layers.get(chainId) !== undefined && parts.content.size(descriptor.digest) === descriptor.size,
  );
  return isHere ? image : undefined;
}

function namesOf(reference: Reference, resolved: ResolvedImage): { tags: string[]; digests: string[] } {
  const digests = [`${formatRepository(reference)}@${resolved.top.digest}`];
  // What was asked for by digest gets no tag, even if one was said too: the CRI wants it so.
  return { tags: reference.digest === undefined ? [formatReference(reference)] : [], digests };
}
