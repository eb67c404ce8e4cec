/** Pushes an image: blobs that the registry has not yet, then the manifest. */
import { createReadStream } from 'node:fs';
import type { Descriptor } from '#contracts/oci/image.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { ImageParts } from '../deps.ts';
import { transferFailure } from '../failures.ts';
import { limiter } from '../limiter.ts';
import { formatRepository, parseReference } from '../reference.ts';
import type { AuthRequest, PushOutcome } from '../registry/types.ts';

/** What to push. */
export interface PushRequest {
  /** The image here, by any reference. */
  source: string;
  /** The name to push it under; `source` itself unless told. */
  target?: string;
  auth?: AuthRequest;
  /** Told how far each blob is. */
  onProgress?: (progress: PushProgress) => void;
}

/** How far one blob is. */
export interface PushProgress {
  digest: string;
  /** Bytes sent, of `total`. */
  done: number;
  total: number;
  /** Set when it is over. */
  outcome?: PushOutcome;
}

/** Blobs that are sent at once. */
const parallel = 3;

/**
 * Pushes.
 *
 * @returns the digest that the image has there.
 * @throws SkiffError NOT_FOUND for the image, and what the registry client throws.
 */
export async function pushImage(
  parts: ImageParts,
  request: PushRequest,
  signal: AbortSignal,
): Promise<{ digest: string }> {
  const { catalog, content, registry, leases } = parts;
  const image = catalog.find(request.source);
  if (image === undefined)
    throw new SkiffError('NOT_FOUND', `Cannot push "${request.source}": there is no such image here`);
  const name = request.target ?? request.source;
  const reference = parseReference(name);
  const lease = leases.open();
  const options = { auth: request.auth, signal };
  const mountFrom = [...image.tags, ...image.digests]
    .map(parseReference)
    .filter((each) => each.domain === reference.domain && each.path !== reference.path)
    .map((each) => each.path);
  const turns = limiter(parallel);
  const send = (descriptor: Descriptor) =>
    turns.run(async () => {
      const { digest, size: total } = descriptor;
      lease.blob(digest);
      let done = 0;
      const onProgress = (bytes: number) => {
        done += bytes;
        request.onProgress?.({ digest, done, total });
      };
      const open = (range?: { start: number; end: number }) => createReadStream(content.path(digest), range);
      const outcome = await registry.pushBlob(reference, descriptor, open, {
        ...options,
        mountFrom,
        onProgress,
      });
      request.onProgress?.({ digest, done: total, total, outcome });
    }, signal);
  try {
    const config = { mediaType: 'application/octet-stream', digest: image.id, size: image.configSize };
    const unique = new Map(
      [...image.layers.map((layer) => layer.descriptor), config].map((each) => [each.digest, each]),
    );
    await Promise.all([...unique.values()].map(send));
    const bytes = content.read(image.manifest.digest);
    if (bytes === undefined)
      throw new SkiffError('DATA_LOSS', `the manifest ${image.manifest.digest} is missing`);
    await registry.pushManifest(reference, image.manifest.mediaType, bytes, options);
    const digest = `${formatRepository(reference)}@${image.manifest.digest}`;
    const now = catalog.get(image.id);
    if (now !== undefined) catalog.put({ ...now, digests: [...new Set([...now.digests, digest])] });
    return { digest: image.manifest.digest };
  } catch (error) {
    throw transferFailure(error, 'push', name, reference);
  } finally {
    lease.close();
  }
}
