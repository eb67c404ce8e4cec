/** Pulls an image: resolve, fetch and unpack what is missing, make it durable, name it. */
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import type { ImageParts } from '../deps.ts';
import { transferFailure } from '../failures.ts';
import type { PullTracker } from '../progress.ts';
import { formatReference, formatRepository, type Reference } from '../reference.ts';
import type { AuthRequest } from '../registry/types.ts';
import type { Lease } from '../store/leases.ts';
import type { ImageRecord } from '../store/model.ts';
import { obtainImage } from './obtain.ts';
import { readAll } from './read-all.ts';
import { intact, type ResolvedImage } from './resolve-image.ts';

/** What to pull. */
export interface PullRequest {
  /** As people write it: `nginx`, `quay.io/a/b@sha256:...`. */
  reference: string;
  auth?: AuthRequest;
  /** The Kubernetes namespace of the pod that it is for. */
  namespace?: string;
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
  const candidates = await parts.candidates(request.reference);
  for (const [at, reference] of candidates.entries()) {
    try {
      return await pullReference(parts, request, reference, signal);
    } catch (error) {
      // A short name may stand for images of several registries: the first that has it counts.
      if (at === candidates.length - 1 || !isSkiffError(error, 'NOT_FOUND', 'UNAUTHENTICATED')) throw error;
    }
  }
  throw new SkiffError('NOT_FOUND', `Cannot pull "${request.reference}": the name stands for no image`);
}

async function pullReference(
  parts: ImageParts,
  request: PullRequest,
  reference: Reference,
  signal: AbortSignal,
): Promise<ImageRecord> {
  const tracker = parts.board.begin(formatReference(reference), request.reference);
  const lease = parts.leases.open();
  try {
    await parts.policy.check(reference);
    const image = await pull(parts, { reference, request, tracker, lease }, signal);
    lease.close();
    tracker.end({ imageId: image.id });
    return image;
  } catch (error) {
    lease.expire(retryMs);
    const failure = transferFailure(error, 'pull', request.reference, reference);
    tracker.end({ error: failure.message });
    throw failure;
  }
}

interface Pull {
  reference: Reference;
  request: PullRequest;
  tracker: PullTracker;
  lease: Lease;
}

async function pull(
  parts: ImageParts,
  { reference, request, tracker, lease }: Pull,
  signal: AbortSignal,
): Promise<ImageRecord> {
  const { registry, content } = parts;
  const { auth, namespace } = request;
  const options = { auth, namespace, signal };
  const local = (digest: string) => {
    const bytes = intact(content, digest);
    // Something is to be fetched: the workers start while manifest and config come.
    if (bytes === undefined) parts.pool.warm();
    return bytes;
  };
  const top = await registry.resolve(reference, { ...options, local });
  return obtainImage(
    parts,
    {
      origin: {
        top,
        manifest: (descriptor) => registry.fetchManifest(reference, descriptor, options),
        blob: async (descriptor) =>
          readAll(await registry.openBlob(reference, descriptor, options), descriptor.size),
      },
      openLayer: (descriptor, offset, openSignal) =>
        registry.openBlob(reference, descriptor, { ...options, offset, signal: openSignal }),
      names: (resolved) => namesOf(reference, resolved),
    },
    { lease, tracker },
    signal,
  );
}

function namesOf(reference: Reference, resolved: ResolvedImage): { tags: string[]; digests: string[] } {
  const digests = [`${formatRepository(reference)}@${resolved.top.digest}`];
  // What was asked for by digest gets no tag, even if one was said too: the CRI wants it so.
  return { tags: reference.digest === undefined ? [formatReference(reference)] : [], digests };
}
