/** Pushes a manifest. */
import type { Descriptor } from '#contracts/oci/image.ts';
import { digestLike } from '../digest.ts';
import { corrupt, headerOf } from '../errors.ts';
import { discard } from '../http/send.ts';
import { askPlace, failedAnswer, type Operation, overHosts } from './operation.ts';

/**
 * Puts a manifest under the reference's tag, or under its digest.
 *
 * @throws SkiffError DATA_LOSS if the registry, or the reference, has another digest for it.
 */
export async function pushManifest(
  operation: Operation,
  mediaType: string,
  bytes: Uint8Array,
): Promise<Descriptor> {
  const { what, reference } = operation;
  const digest = digestLike(reference.digest ?? 'sha256:', bytes);
  if (reference.digest !== undefined && reference.digest !== digest)
    throw corrupt(what, `the manifest has digest ${digest}, not ${reference.digest}`);
  return overHosts(operation, 'push', async (place) => {
    const ask = {
      method: 'PUT',
      target: `${place.repository}/manifests/${reference.tag ?? digest}`,
      headers: { 'content-type': mediaType },
      body: { open: () => bytes, length: bytes.length },
      actions: 'pull,push',
    } as const;
    return askPlace(operation, place, ask, async (answer) => {
      if (answer.status !== 201 && answer.status !== 200) throw await failedAnswer(what, answer);
      await discard(answer.body);
      const told = headerOf(answer.headers, 'docker-content-digest');
      if (told !== undefined && told !== digest)
        throw corrupt(what, `${answer.url.host} stored it under ${told} instead of ${digest}`);
      return { done: { mediaType, digest, size: bytes.length } };
    });
  });
}
