/** Pushes a manifest. */
import type { Descriptor, Manifest } from '#contracts/oci/image.ts';
import { isDigest } from '../../reference.ts';
import { digestLike } from '../digest.ts';
import { corrupt, headerOf } from '../errors.ts';
import { discard } from '../http/send.ts';
import { askPlace, failedAnswer, type Operation, overHosts, type Place } from './operation.ts';
import { indexType, readReferrersTag, referrersTag } from './referrers-tag.ts';

/**
 * Puts a manifest under the reference's tag, or under its digest. Where it refers to another and the registry does
 * not keep account of that, the account is kept under a tag.
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
  const descriptor = { mediaType, digest, size: bytes.length };
  return overHosts(operation, 'push', async (place) => {
    const { knowsSubject } = await put(operation, place, reference.tag ?? digest, descriptor, bytes);
    const manifest = parse(bytes);
    if (manifest?.subject !== undefined && isDigest(manifest.subject.digest) && !knowsSubject)
      await addToTag(operation, place, manifest.subject.digest, referrer(descriptor, manifest));
    return descriptor;
  });
}

function put(
  operation: Operation,
  place: Place,
  name: string,
  { mediaType, digest }: Descriptor,
  bytes: Uint8Array,
): Promise<{ knowsSubject: boolean }> {
  const { what } = operation;
  const ask = {
    method: 'PUT',
    target: `${place.repository}/manifests/${name}`,
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
    return { done: { knowsSubject: headerOf(answer.headers, 'oci-subject') !== undefined } };
  });
}

function parse(bytes: Uint8Array): Manifest | undefined {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()) as Manifest;
  } catch {
    return undefined; // Registries take what they take; then it refers to nothing.
  }
}

/** How a manifest stands in a list of referrers. */
function referrer(descriptor: Descriptor, { artifactType, config, annotations }: Manifest): Descriptor {
  const type = artifactType ?? config?.mediaType;
  return {
    ...descriptor,
    ...(type === undefined ? {} : { artifactType: type }),
    ...(annotations === undefined ? {} : { annotations }),
  };
}

async function addToTag(
  operation: Operation,
  place: Place,
  subject: string,
  added: Descriptor,
): Promise<void> {
  const there = await readReferrersTag(operation, place, subject);
  if (there.some((each) => each.digest === added.digest)) return;
  const index = { schemaVersion: 2, mediaType: indexType, manifests: [...there, added] };
  const bytes = Buffer.from(JSON.stringify(index));
  const descriptor = { mediaType: indexType, digest: digestLike('sha256:', bytes), size: bytes.length };
  await put(operation, place, referrersTag(subject), descriptor, bytes);
}
