/** Asks whether a registry has a blob. */
import type { Descriptor } from '#contracts/oci/image.ts';
import { corrupt, headerOf } from '../errors.ts';
import type { Answer } from '../http/exchange.ts';
import type { Attempt } from '../http/retry.ts';
import { discard } from '../http/send.ts';
import { askPlace, failedAnswer, type Operation, overHosts, type Place } from './operation.ts';

/** Whether the registry itself, not a mirror, has the blob; it is the one that is pushed to. */
export function hasBlob(operation: Operation, descriptor: Descriptor): Promise<boolean> {
  return overHosts(operation, 'push', (place) => hasBlobAt(operation, place, descriptor));
}

/**
 * Whether one place has the blob.
 *
 * @throws SkiffError DATA_LOSS if it has one of another size under this digest.
 */
export function hasBlobAt(
  operation: Operation,
  place: Place,
  { digest, size }: Descriptor,
): Promise<boolean> {
  const { what } = operation;
  const ask = {
    method: 'HEAD',
    target: `${place.repository}/blobs/${digest}`,
    actions: 'pull,push',
  } as const;
  const use = async (answer: Answer): Promise<Attempt<boolean>> => {
    await discard(answer.body);
    if (answer.status === 404) return { done: false };
    if (answer.status !== 200) throw await failedAnswer(what, answer);
    const length = headerOf(answer.headers, 'content-length');
    if (length !== undefined && Number(length) !== size)
      throw corrupt(what, `${answer.url.host} has ${length} bytes under ${digest}, here are ${size}`);
    return { done: true };
  };
  return askPlace(operation, place, ask, use);
}
